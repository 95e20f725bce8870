//! What the workloads send: bodies with the byte layouts of real instruments, built from a seed, and their checks.
//!
//! A workload is a [`Workload`]; the bodies of one producer are its [`Bodies`]. Each layout is one module and one
//! variant of `Layout`; the ring and the checksums are the same for all of them.

#![forbid(unsafe_code)]

mod dstream;
mod ring;
mod sequence_crc;

pub use ring::Bodies;

use dstream::Dstream;
use engine::ports::{Corruption, PayloadError, Payloads};
use profile::{Format, Plan};

/// The bodies of one run, for producers to send and consumers to check.
#[derive(Debug, Clone)]
pub struct Workload {
    layout: Layout,
    ring_bodies: usize,
}

/// How the bytes of a body are laid out. Body and stamp are two steps because only the second is on the hot path.
#[derive(Debug, Clone)]
enum Layout {
    Dstream(Dstream),
}

impl Workload {
    /// The workload that a plan asks for.
    pub fn new(plan: &Plan) -> Result<Self, PayloadError> {
        let message = &plan.message;
        if message.event_bytes.checked_mul(u64::from(message.events)) != Some(message.body_bytes) {
            return Err(PayloadError(format!(
                "a body of {} B does not hold {} events of {} B: give a plan that was resolved from a profile",
                message.body_bytes, message.events, message.event_bytes
            )));
        }
        if message.events == 0 || message.ring_bodies == 0 {
            return Err(PayloadError("a producer needs at least one event in at least one body".to_owned()));
        }
        let layout = match message.format {
            Format::GebRaw => Layout::Dstream(Dstream::new(plan.seed, message.event_bytes, message.events)?),
        };
        Ok(Self { layout, ring_bodies: message.ring_bodies as usize })
    }
}

impl Payloads for Workload {
    type Source = Bodies;

    fn source(&self, producer: u32) -> Result<Bodies, PayloadError> {
        Ok(Bodies::new(self.layout.clone(), producer, self.ring_bodies))
    }

    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        if body.len() != self.layout.body_bytes() {
            Err(Corruption::Length)
        } else if crc32c::crc32c(body) != checksum {
            Err(Corruption::Checksum)
        } else if !self.layout.matches(body, producer, sequence) {
            Err(Corruption::Structure)
        } else {
            Ok(())
        }
    }
}

impl Layout {
    fn body_bytes(&self) -> usize {
        match self {
            Self::Dstream(dstream) => dstream.body_bytes(),
        }
    }

    fn events(&self) -> u32 {
        match self {
            Self::Dstream(dstream) => dstream.events(),
        }
    }

    /// The body of a slot, without a stamp.
    fn build(&self, producer: u32, slot: u64) -> Vec<u8> {
        match self {
            Self::Dstream(dstream) => dstream.build(producer, slot),
        }
    }

    /// Makes a slot's body the body of message `sequence`. Which bytes it writes does not depend on the sequence, and
    /// each bit of the sequence flips always the same bits of the body: the checksum's shortcut rests on this.
    fn stamp(&self, body: &mut [u8], producer: u32, sequence: u64) {
        match self {
            Self::Dstream(dstream) => dstream.stamp(body, producer, sequence),
        }
    }

    /// Whether a body of the right length has the structure and the stamp of this message.
    fn matches(&self, body: &[u8], producer: u32, sequence: u64) -> bool {
        match self {
            Self::Dstream(dstream) => dstream.matches(body, producer, sequence),
        }
    }
}
