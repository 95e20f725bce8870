//! Generic: one item of binary variables, a header and 64-bit floats.
//!
//! The paper names the format "binary" and "variables" and sends random bytes; this layout is ours. Little-endian.
//!
//! | offset | type | field | here |
//! |---|---|---|---|
//! | 0 | u8\[8\] | name | `VARIABLE` |
//! | 8 | u32 | version | 1 |
//! | 12 | u32 | producer | |
//! | 16 | u64 | step | **stamped**: the sequence |
//! | 24 | u64 | count of values | |
//! | 32 | 32 | | 0 |
//! | 64 | f64\[count\] | values from 1 to 2 | patches of 512 alike where they are to compress |
//!
//! A message of several items has them back to back.

use crate::{draws::Draws, noise::Silence};
use engine::ports::PayloadError;
use std::sync::Arc;

const NAME: &[u8; 8] = b"VARIABLE";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const STEP_AT: std::ops::Range<usize> = 16..24;
/// Random mantissas drawn once: 512 KiB, read from a place of each patch's own.
const TAPE: usize = 1 << 16;
/// Values that are read from one place. Within a body no two patches are alike: each is XORed with a number of its own.
const PATCH: usize = 512;
/// The bits of 1.0; with any mantissa a number from 1 to 2.
const ONE: u64 = 1023 << 52;
const MANTISSA: u64 = (1 << 52) - 1;

/// Bodies of binary variables.
#[derive(Debug, Clone)]
pub struct Variables {
    seed: u64,
    item_bytes: usize,
    silence: Silence,
    tape: Arc<[u64]>,
}

impl Variables {
    /// For items of `item_bytes` of which the share `compressible` is the same number over and over.
    pub fn new(seed: u64, item_bytes: u64, compressible: f64) -> Result<Self, PayloadError> {
        let fits = usize::try_from(item_bytes).ok().filter(|bytes| *bytes > HEADER_BYTES && bytes.is_multiple_of(8));
        let Some(item_bytes) = fits else {
            return Err(PayloadError(format!(
                "an item of {item_bytes} B cannot be a header of {HEADER_BYTES} B and values of 8 B: set event_bytes to a \
                 multiple of 8 B from 72B on"
            )));
        };
        let mut draws = Draws::new(seed, "variables", 0, 0);
        let tape = (0..TAPE + PATCH).map(|_| draws.bits() & MANTISSA).collect();
        Ok(Self { seed, item_bytes, silence: Silence::new(compressible), tape })
    }

    /// Size of a body.
    pub fn body_bytes(&self, events: u32) -> usize {
        events as usize * self.item_bytes
    }

    /// Writes everything but the step.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64) {
        let mut draws = Draws::new(self.seed, "variables", producer, key);
        for item in body.chunks_exact_mut(self.item_bytes) {
            let (header, values) = item.split_at_mut(HEADER_BYTES);
            header.copy_from_slice(&self.header(producer, 0));
            for patch in values.chunks_mut(8 * PATCH) {
                let (place, salt) = (draws.below(TAPE as u32) as usize, draws.bits() & MANTISSA);
                if self.silence.draw(&mut draws) {
                    patch.chunks_exact_mut(8).for_each(|value| value.copy_from_slice(&(ONE | salt).to_le_bytes()));
                } else {
                    let tape = &self.tape[place..place + PATCH];
                    for (value, bits) in patch.chunks_exact_mut(8).zip(tape) {
                        value.copy_from_slice(&(ONE | (bits ^ salt)).to_le_bytes());
                    }
                }
            }
        }
    }

    /// Writes the step of message `sequence`.
    pub fn stamp(&self, body: &mut [u8], sequence: u64) {
        for item in body.chunks_exact_mut(self.item_bytes) {
            item[STEP_AT].copy_from_slice(&sequence.to_le_bytes());
        }
    }

    /// Whether all headers are where they should be, and are those of this message.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64) -> Result<(), String> {
        let expected = self.header(producer, sequence);
        match body.chunks_exact(self.item_bytes).position(|item| item[..HEADER_BYTES] != expected) {
            Some(item) => Err(format!("the header of item {item} is not that of this message")),
            None => Ok(()),
        }
    }

    /// The parts of an item.
    pub fn describe(&self) -> Vec<String> {
        vec![format!(
            "item: header {HEADER_BYTES} B, {} 64-bit floats from 1 to 2",
            (self.item_bytes - HEADER_BYTES) / 8
        )]
    }

    fn header(&self, producer: u32, sequence: u64) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(NAME);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&producer.to_le_bytes());
        header[STEP_AT].copy_from_slice(&sequence.to_le_bytes());
        header[24..32].copy_from_slice(&(((self.item_bytes - HEADER_BYTES) / 8) as u64).to_le_bytes());
        header
    }
}
