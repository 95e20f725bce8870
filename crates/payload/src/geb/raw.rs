//! Raw channels ("mode 3"): one payload of `n` channels back to back, each a header and a trace.
//!
//! An event has `16 + n * (32 + 2 T)` bytes; [`Shape`] finds the `n` and `T` that fill a given size.
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
//! Boards are filled in turn, each up to ten channels, and the last channel of each board is the core contact (9).

use super::{
    CRYSTALS, events, opening,
    pulse::{Pulses, energies},
    shape::{CHANNEL_HEADER_BYTES, CHANNELS_MAX, Shape},
    ticks::Ticks,
};
use crate::{draws::Draws, noise::Noise};
use engine::ports::PayloadError;
use profile::sizes::GEB_HEADER_BYTES;

const TYPE_RAW: u32 = 2;
const SYNC: u64 = 0xAAAA_AAAA;
const CHANNELS_PER_BOARD: usize = 10;
const CORE: usize = 9;

/// Bodies of raw events.
#[derive(Debug, Clone)]
pub struct Raw {
    seed: u64,
    shape: Shape,
    ticks: Ticks,
    pulses: Pulses,
    is_core: [bool; CHANNELS_MAX],
    /// The first eight bytes of each channel of crystal 0, as a big-endian number.
    openings: [u64; CHANNELS_MAX],
}

impl Raw {
    /// For bodies of at most `events_max` events of `event_bytes` each.
    pub fn new(seed: u64, event_bytes: u64, events_max: u32, noise: Noise) -> Result<Self, PayloadError> {
        let shape = Shape::of_event(event_bytes)?;
        let (mut is_core, mut openings) = ([false; CHANNELS_MAX], [0; CHANNELS_MAX]);
        for index in 0..shape.channels {
            let (board, place) = (index / CHANNELS_PER_BOARD, index % CHANNELS_PER_BOARD);
            is_core[index] = place == CORE || index + 1 == shape.channels;
            let channel = if is_core[index] { CORE } else { place };
            let length = board << 11 | usize::from(shape.length_word());
            openings[index] = SYNC << 32 | (length << 16 | board << 4 | channel) as u64;
        }
        let pulses = Pulses::new(shape.samples, noise);
        Ok(Self { seed, shape, ticks: Ticks::new(seed, events_max), pulses, is_core, openings })
    }

    /// Size of a body.
    pub fn body_bytes(&self, events: u32) -> usize {
        events as usize * self.shape.event_bytes()
    }

    /// Writes everything except the timestamps.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64) {
        let mut draws = Draws::new(self.seed, "geb-raw", producer, key);
        let crossing = self.pulses.crossing().to_be_bytes();
        for event in body.chunks_exact_mut(self.shape.event_bytes()) {
            let (geb, channels) = event.split_at_mut(GEB_HEADER_BYTES);
            geb[..8].copy_from_slice(&self.geb_opening().to_le_bytes());
            let energies = energies(&mut draws, &self.is_core[..self.shape.channels]);
            for (index, channel) in channels.chunks_exact_mut(self.shape.channel_bytes()).enumerate() {
                let (header, trace) = channel.split_at_mut(CHANNEL_HEADER_BYTES);
                // 24 bits and a sign, in two's complement.
                let energy = energies[index] as u32;
                let energy_high = (energy >> 16 & 0x1ff) as u16;
                header.fill(0);
                header[..8].copy_from_slice(&self.opening(index, producer).to_be_bytes());
                header[12..14].copy_from_slice(&(energy as u16).to_be_bytes());
                header[16..18].copy_from_slice(&(draws.bits() as u16).to_be_bytes());
                header[18..20].copy_from_slice(&energy_high.to_be_bytes());
                header[22..24].copy_from_slice(&crossing);
                self.pulses.trace(&mut draws, energies[index], trace);
            }
        }
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

    /// Checks that all headers are in their places and belong to this message.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64) -> Result<(), String> {
        for (event, geb, channels) in events(body, self.shape.event_bytes()) {
            let ticks = self.ticks.of(producer, sequence, event);
            if geb[..8] != self.geb_opening().to_le_bytes() || geb[8..] != ticks.to_le_bytes() {
                return Err(format!("the GEB header of event {event} is not that of this message"));
            }
            let (low, high) = ((ticks as u32).to_be_bytes(), ((ticks >> 32) as u16).to_be_bytes());
            let mut channels = channels.chunks_exact(self.shape.channel_bytes()).enumerate();
            let wrong = channels.find(|(index, channel)| {
                let header = &channel[..CHANNEL_HEADER_BYTES];
                header[..8] != self.opening(*index, producer).to_be_bytes()
                    || header[8..12] != low
                    || header[14..16] != high
            });
            if let Some((index, _)) = wrong {
                return Err(format!("the header of channel {index} of event {event} is not that of this message"));
            }
        }
        Ok(())
    }

    /// The layout of an event, one line per part.
    pub fn describe(&self) -> Vec<String> {
        let Shape { channels, samples } = self.shape;
        vec![
            format!("event: GEB header 16 B (type 2), {channels} raw channels of {} B", self.shape.channel_bytes()),
            format!("channel: header 32 B, {samples} samples of 16 bits (big-endian, swapped in pairs)"),
        ]
    }

    fn geb_opening(&self) -> u64 {
        opening(TYPE_RAW, self.shape.event_bytes() - GEB_HEADER_BYTES)
    }

    /// Sync words, length and address of a channel, as one big-endian number.
    fn opening(&self, index: usize, producer: u32) -> u64 {
        self.openings[index] | u64::from(producer % CRYSTALS) << 6
    }
}
