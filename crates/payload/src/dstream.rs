//! Dstream: events of a gamma-ray tracking array, as GRETINA writes them to its raw ("mode 3") files.
//!
//! Deleria's own wire layout is not public; the layouts below are the nearest public stand-in. A body is `events`
//! events back to back; an event is one GEB header and `n` channels back to back, `16 + n * (32 + 2 T)` bytes.
//!
//! # GEB header, 16 bytes, little-endian
//! Source: GRETINA's definition of the global event builder (GEB) header.
//!
//! | offset | type | field | here |
//! |---|---|---|---|
//! | 0 | i32 | type | 2, raw |
//! | 4 | i32 | payload length, header not counted | `n * (32 + 2 T)` |
//! | 8 | i64 | timestamp in ticks of 10 ns | **stamped** |
//!
//! # Channel, 32 + 2 T bytes, 16-bit words, big-endian
//! Source: GRETINA's mode 3 definition, older firmware. `L` counts the 32-bit words after the sync word: T = 2 L - 14.
//!
//! | offset | word | field | here |
//! |---|---|---|---|
//! | 0, 2 | sync | 0xAAAA, 0xAAAA | |
//! | 4 | hdr 0 | bits 15..11 board id, bits 10..0 length L | board 0-3 |
//! | 6 | hdr 1 | bits 15..4 module, bits 3..0 channel | module 4 * (producer mod 1024) + board; channel 9 is the core |
//! | 8, 10 | hdr 2, 3 | timestamp bits 31..16, 15..0 | **stamped** |
//! | 12 | hdr 4 | energy bits 15..0 | in 1/32 ADC count |
//! | 14 | hdr 5 | timestamp bits 47..32 | **stamped** |
//! | 16 | hdr 6 | CFD time bits 15..0 | fraction of a tick |
//! | 18 | hdr 7 | bit 15 pile-up, bit 8 sign, bits 7..0 energy bits 23..16 | no pile-up |
//! | 20 | hdr 8 | CFD time bits 47..32 | 0 |
//! | 22 | hdr 9 | CFD time bits 31..16 | sample of the crossing; relative to the trace, so it needs no stamp |
//! | 24-31 | hdr 10-13 | free | 0 |
//! | 32 | u16\[T\] | samples, signed, swapped in pairs | |
//!
//! A producer is one crystal of the array. Boards are filled in turn, each up to ten channels, and the last channel of
//! each board is the core contact (9).
//!
//! # The stamp
//! The sequence number is in the timestamp of every event and, because a reader that sorts channels by time would
//! otherwise see each slot's first turn for ever, in those of all its channels. Timestamps increase strictly with the
//! sequence, so no two messages of a producer are equal even when a slot recurs (a channel's 48 bits start anew after 32
//! days of beam, 2^37 messages of eight events; the GEB header's 63 bits do not); producers differ in module, jitter
//! and contents. Nothing in the body belongs to the harness.

mod pulse;
mod shape;
mod ticks;

use engine::ports::PayloadError;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use shape::{CHANNELS_MAX, Shape};
use ticks::Ticks;

const GEB_HEADER_BYTES: usize = 16;
const GEB_TYPE_RAW: u32 = 2;
const CHANNEL_HEADER_BYTES: usize = 32;
const SYNC: u64 = 0xAAAA_AAAA;
const CHANNELS_PER_BOARD: usize = 10;
const CORE: usize = 9;
/// Module numbers have 12 bits, of which two are the board.
const CRYSTALS: u32 = 1024;

/// Bodies of the Dstream workload.
#[derive(Debug, Clone)]
pub struct Dstream {
    seed: u64,
    events: u32,
    shape: Shape,
    ticks: Ticks,
    is_core: [bool; CHANNELS_MAX],
    /// The first eight bytes of each channel of crystal 0, as a big-endian number.
    openings: [u64; CHANNELS_MAX],
}

impl Dstream {
    /// For bodies of `events` events of `event_bytes` each.
    pub fn new(seed: u64, event_bytes: u64, events: u32) -> Result<Self, PayloadError> {
        let shape = Shape::of_event(event_bytes)?;
        let (mut is_core, mut openings) = ([false; CHANNELS_MAX], [0; CHANNELS_MAX]);
        for index in 0..shape.channels {
            let (board, place) = (index / CHANNELS_PER_BOARD, index % CHANNELS_PER_BOARD);
            is_core[index] = place == CORE || index + 1 == shape.channels;
            let channel = if is_core[index] { CORE } else { place };
            let length = board << 11 | usize::from(shape.length_word());
            openings[index] = SYNC << 32 | (length << 16 | board << 4 | channel) as u64;
        }
        Ok(Self { seed, events, shape, ticks: Ticks::new(seed, events), is_core, openings })
    }

    pub fn body_bytes(&self) -> usize {
        self.events as usize * self.shape.event_bytes()
    }

    pub fn events(&self) -> u32 {
        self.events
    }

    /// The body of a slot, its timestamps still zero.
    pub fn build(&self, producer: u32, slot: u64) -> Vec<u8> {
        let mut random = ChaCha8Rng::from_seed(self.key(producer, slot));
        let mut body = vec![0; self.body_bytes()];
        for event in body.chunks_exact_mut(self.shape.event_bytes()) {
            let (geb, channels) = event.split_at_mut(GEB_HEADER_BYTES);
            geb[..8].copy_from_slice(&self.geb_opening().to_le_bytes());
            let energies = pulse::energies(&mut random, &self.is_core[..self.shape.channels]);
            let crossing = pulse::start(self.shape.samples) as u16;
            for (index, channel) in channels.chunks_exact_mut(self.shape.channel_bytes()).enumerate() {
                let (header, trace) = channel.split_at_mut(CHANNEL_HEADER_BYTES);
                // 24 bits and a sign, in two's complement.
                let energy = energies[index] as u32;
                let energy_high = (energy >> 16 & 0x1ff) as u16;
                let fraction = pulse::below(&mut random, 1 << 16) as u16;
                header[..8].copy_from_slice(&self.opening(index, producer).to_be_bytes());
                header[12..14].copy_from_slice(&(energy as u16).to_be_bytes());
                header[16..18].copy_from_slice(&fraction.to_be_bytes());
                header[18..20].copy_from_slice(&energy_high.to_be_bytes());
                header[22..24].copy_from_slice(&crossing.to_be_bytes());
                pulse::trace(&mut random, energies[index], trace);
            }
        }
        body
    }

    /// Writes the timestamps of message `sequence`.
    pub fn stamp(&self, body: &mut [u8], producer: u32, sequence: u64) {
        for (event, bytes) in (0u32..).zip(body.chunks_exact_mut(self.shape.event_bytes())) {
            let ticks = self.ticks.of(producer, sequence, event);
            let (geb, channels) = bytes.split_at_mut(GEB_HEADER_BYTES);
            geb[8..].copy_from_slice(&ticks.to_le_bytes());
            let low = (ticks as u32).to_be_bytes();
            let high = ((ticks >> 32) as u16).to_be_bytes();
            for channel in channels.chunks_exact_mut(self.shape.channel_bytes()) {
                // One bounds check for both.
                let header = &mut channel[..CHANNEL_HEADER_BYTES];
                header[8..12].copy_from_slice(&low);
                header[14..16].copy_from_slice(&high);
            }
        }
    }

    /// Whether all headers are where they should be, and are those of this message.
    pub fn matches(&self, body: &[u8], producer: u32, sequence: u64) -> bool {
        let mut events = (0u32..).zip(body.chunks_exact(self.shape.event_bytes()));
        events.all(|(event, bytes)| {
            let ticks = self.ticks.of(producer, sequence, event);
            let (geb, channels) = bytes.split_at(GEB_HEADER_BYTES);
            let (low, high) = ((ticks as u32).to_be_bytes(), ((ticks >> 32) as u16).to_be_bytes());
            let mut channels = channels.chunks_exact(self.shape.channel_bytes()).enumerate();
            geb[..8] == self.geb_opening().to_le_bytes()
                && geb[8..] == ticks.to_le_bytes()
                && channels.all(|(index, channel)| {
                    let header = &channel[..CHANNEL_HEADER_BYTES];
                    header[..8] == self.opening(index, producer).to_be_bytes()
                        && header[8..12] == low
                        && header[14..16] == high
                })
        })
    }

    /// Type and payload length, as one little-endian number.
    fn geb_opening(&self) -> u64 {
        let payload = self.shape.event_bytes() - GEB_HEADER_BYTES;
        (payload as u64) << 32 | u64::from(GEB_TYPE_RAW)
    }

    /// Sync words, length and address of a channel, as one big-endian number.
    fn opening(&self, index: usize, producer: u32) -> u64 {
        self.openings[index] | u64::from(producer % CRYSTALS) << 6
    }

    /// Key of a slot's contents: seed at 0, slot at 8, producer at 16 (all little-endian), then a name, so that no other
    /// workload draws the same numbers.
    fn key(&self, producer: u32, slot: u64) -> [u8; 32] {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&self.seed.to_le_bytes());
        key[8..16].copy_from_slice(&slot.to_le_bytes());
        key[16..20].copy_from_slice(&producer.to_le_bytes());
        key[20..].copy_from_slice(b"dstream raw\0");
        key
    }
}
