//! When each event happened, in seconds since 1970 as a 64-bit float: a closed form for both ends.
//!
//! From 2^30 to 2^31 s (2004 to 2038) such a float counts in steps of 2^-22 s, 238 ns, in 52 bits. With the highest of
//! them set (January 2021), the sequence number fills bits above those of the event: each of its bits is one bit of
//! every time, never a carry, which is what lets the checksum follow the sequence (`sequence_crc`).

use crate::draws::mix;

/// Sign and exponent of 2^30, and the highest bit of the fraction.
const FROM: u64 = (1023 + 30) << 52 | 1 << 51;
const STEP_S: f64 = 1.0 / (1u64 << 22) as f64;
/// About 1 kHz, where a workload has no rate.
const EVENT_STEPS_DEFAULT: u64 = 1 << 12;
/// From 1 MHz (LCLS-II) to one event in four seconds: slower ones would use up the years.
const EVENT_STEPS: std::ops::RangeInclusive<f64> = 4.0..=(1u64 << 24) as f64;

/// Times of one run's events.
#[derive(Debug, Clone, Copy)]
pub struct Seconds {
    seed: u64,
    event_steps: u64,
    message_bits: u32,
}

impl Seconds {
    /// For messages of at most `events_max` events, at the distance that the rate gives, to the next power of two.
    pub fn new(seed: u64, events_max: u32, events_per_second: Option<f64>) -> Self {
        let event_steps = events_per_second.map_or(EVENT_STEPS_DEFAULT, |rate| {
            let steps = (1.0 / (rate * STEP_S)).clamp(*EVENT_STEPS.start(), *EVENT_STEPS.end());
            1 << steps.log2().round() as u32
        });
        let message_bits = (u64::from(events_max) * event_steps).next_power_of_two().trailing_zeros();
        Self { seed, event_steps, message_bits }
    }

    /// The time of one event; starts anew after 2^29 s, 17 years of beam: no sooner than after 2^19 messages of 256 events
    /// four seconds apart.
    pub fn of(self, producer: u32, sequence: u64, event: u32) -> f64 {
        let jitter = mix(self.seed ^ mix(u64::from(producer) << 32 | u64::from(event))) % self.event_steps;
        let within = u64::from(event) * self.event_steps + jitter;
        let steps = (sequence << self.message_bits | within) & ((1 << 51) - 1);
        f64::from_bits(FROM | steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_increase_and_are_of_the_years_from_2021_on() {
        for (events, rate) in [(1, None), (8, Some(28_600.0)), (300, Some(1e7)), (1, Some(2000.0))] {
            let seconds = Seconds::new(1, events, rate);
            let all =
                (0..50).chain(1 << 20..(1 << 20) + 50).flat_map(|s| (0..events).map(move |e| seconds.of(5, s, e)));
            let all: Vec<f64> = all.collect();
            assert!(all.is_sorted_by(|a, b| a < b), "{events} at {rate:?}");
            assert!(all.iter().all(|time| (1_610_612_736.0..2_147_483_648.0).contains(time)));
        }
    }

    #[test]
    fn the_rate_sets_the_time_between_events() {
        let seconds = Seconds::new(1, 8, Some(2000.0));
        let mean = (seconds.of(0, 100_000, 0) - seconds.of(0, 0, 0)) / 800_000.0;
        assert!((mean * 2000.0 - 1.0).abs() < 0.4, "{mean}");
    }

    #[test]
    fn each_bit_of_the_sequence_flips_the_same_bit_of_every_time() {
        let seconds = Seconds::new(1, 8, Some(28_600.0));
        for (sequence, event) in (0..64).map(|bit| 1u64 << bit).flat_map(|s| (0..8).map(move |e| (s, e))) {
            let flipped = |event| seconds.of(3, sequence, event).to_bits() ^ seconds.of(3, 0, event).to_bits();
            assert_eq!(flipped(event), flipped(0));
        }
    }
}
