//! Decomposed crystals ("mode 2"): one payload of 464 bytes with the interaction points of a crystal.
//!
//! Source: GRETINA's mode 2 definition, variant 0xABCD5678. Little-endian, as x86 writes it. An event has 480 bytes with
//! its GEB header.
//!
//! | offset | type | field | here |
//! |---|---|---|---|
//! | 0 | i32 | type | 0xABCD5678 |
//! | 4 | i32 | crystal_id | producer mod 1024 |
//! | 8 | i32 | num, interaction points | 1 to 4 |
//! | 12 | f32 | tot_e, keV | |
//! | 16 | i32\[4\] | core_e, 1/32 ADC count | all the same |
//! | 32 | i64 | timestamp, 10 ns | **stamped** |
//! | 40 | i64 | trig_time, 10 ns | **stamped**, the same |
//! | 48 | f32 | t0, ns | |
//! | 52 | f32 | cfd | 0 to 1 |
//! | 56, 60 | f32 | chisq, norm_chisq | |
//! | 64, 68, 72 | f32 | baseline, prestep, poststep | |
//! | 76 | i32 | pad | 0, no error |
//! | 80 | 16 x 24 | points: f32 x, y, z in mm, e as a part of tot_e; i32 seg; f32 seg_energy, keV | unused ones are 0 |

use super::{CRYSTALS, events, opening, ticks::Ticks};
use crate::{draws::Draws, noise::Silence};
use profile::sizes::{GEB_CRYSTAL_BYTES, GEB_HEADER_BYTES};

const TYPE_DECOMPOSED: u32 = 1;
const EVENT_BYTES: usize = GEB_HEADER_BYTES + GEB_CRYSTAL_BYTES;
const PAYLOAD_TYPE: u32 = 0xABCD_5678;
const POINTS_MAX: u32 = 4;
const POINTS_AT: usize = 80;
const POINT_BYTES: usize = 24;
const TIMES_AT: [usize; 2] = [32, 40];
/// Half the width of a crystal, and its length.
const RADIUS_MM: f32 = 40.0;
const LENGTH_MM: f32 = 90.0;
const SEGMENTS: u32 = 36;

/// Bodies of decomposed events.
#[derive(Debug, Clone)]
pub struct Decomposed {
    seed: u64,
    ticks: Ticks,
    silence: Silence,
}

impl Decomposed {
    /// For bodies of at most `events_max` events; the fraction `compressible` of them has a single point.
    pub fn new(seed: u64, events_max: u32, compressible: f64) -> Self {
        Self { seed, ticks: Ticks::new(seed, events_max), silence: Silence::new(compressible) }
    }

    /// Size of a body.
    pub fn body_bytes(&self, events: u32) -> usize {
        events as usize * EVENT_BYTES
    }

    /// Writes everything except the timestamps.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64) {
        let mut draws = Draws::new(self.seed, "geb-decomposed", producer, key);
        for event in body.chunks_exact_mut(EVENT_BYTES) {
            event.fill(0);
            let (geb, crystal) = event.split_at_mut(GEB_HEADER_BYTES);
            geb[..8].copy_from_slice(&opening(TYPE_DECOMPOSED, GEB_CRYSTAL_BYTES).to_le_bytes());
            let mut put = |at: usize, word: u32| crystal[at..at + 4].copy_from_slice(&word.to_le_bytes());
            let points = if self.silence.draw(&mut draws) { 1 } else { 1 + draws.below(POINTS_MAX) };
            let energy = 50.0 + 3000.0 * draws.unit();
            put(0, PAYLOAD_TYPE);
            put(4, producer % CRYSTALS);
            put(8, points);
            put(12, energy.to_bits());
            for core in 0..4 {
                put(16 + 4 * core, (energy * 32.0) as u32);
            }
            for (at, most) in [(48, 100.0), (52, 1.0), (56, 10.0), (60, 1.0), (64, 100.0), (68, 10.0), (72, 10.0)] {
                put(at, (most * draws.unit()).to_bits());
            }
            let mut left = 1.0;
            // Each point in a segment of its own.
            let first_segment = draws.below(SEGMENTS);
            for point in 0..points {
                let share = if point + 1 == points { left } else { left * draws.unit() };
                left -= share;
                let place = [
                    RADIUS_MM * (2.0 * draws.unit() - 1.0),
                    RADIUS_MM * (2.0 * draws.unit() - 1.0),
                    LENGTH_MM * draws.unit(),
                ];
                let at = POINTS_AT + point as usize * POINT_BYTES;
                for (index, value) in place.into_iter().chain([share]).enumerate() {
                    put(at + 4 * index, value.to_bits());
                }
                put(at + 16, (first_segment + point) % SEGMENTS);
                put(at + 20, (share * energy).to_bits());
            }
        }
    }

    /// Writes the timestamps of message `sequence`.
    pub fn stamp(&self, body: &mut [u8], producer: u32, sequence: u64) {
        for (event, bytes) in (0u32..).zip(body.chunks_exact_mut(EVENT_BYTES)) {
            let ticks = self.ticks.of(producer, sequence, event).to_le_bytes();
            bytes[8..GEB_HEADER_BYTES].copy_from_slice(&ticks);
            for at in TIMES_AT {
                bytes[GEB_HEADER_BYTES + at..GEB_HEADER_BYTES + at + 8].copy_from_slice(&ticks);
            }
        }
    }

    /// Checks that all headers are in their places and belong to this message.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64) -> Result<(), String> {
        for (event, geb, crystal) in events(body, EVENT_BYTES) {
            let ticks = self.ticks.of(producer, sequence, event).to_le_bytes();
            let word = |at: usize| u32::from_le_bytes([crystal[at], crystal[at + 1], crystal[at + 2], crystal[at + 3]]);
            if geb[..8] != opening(TYPE_DECOMPOSED, GEB_CRYSTAL_BYTES).to_le_bytes() || geb[8..] != ticks {
                return Err(format!("the GEB header of event {event} is not that of this message"));
            }
            if word(0) != PAYLOAD_TYPE
                || word(4) != producer % CRYSTALS
                || TIMES_AT.iter().any(|at| crystal[*at..at + 8] != ticks)
            {
                return Err(format!("the crystal of event {event} is not that of this message"));
            }
            if !(1..=POINTS_MAX).contains(&word(8)) {
                return Err(format!(
                    "event {event} has {} interaction points, where 1 to {POINTS_MAX} are sent",
                    word(8)
                ));
            }
        }
        Ok(())
    }

    /// The layout of an event, one line per part.
    pub fn describe(&self) -> Vec<String> {
        vec![
            "event: GEB header 16 B (type 1), crystal 464 B (variant 0xABCD5678)".to_owned(),
            format!("crystal: head 80 B, room for 16 interaction points of {POINT_BYTES} B, 1 to {POINTS_MAX} in use"),
        ]
    }
}
