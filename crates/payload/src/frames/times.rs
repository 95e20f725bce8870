//! When each event happened, as a 64-bit float: a closed form for both ends.
//!
//! All times have the same sign and exponent, and each step of time is one bit of the fraction or a sum of such bits. So each
//! bit of the sequence number is one bit of every time, never a carry, which is what lets the checksum follow the sequence
//! (`sequence_crc`).

use crate::draws::mix;
use profile::EventClock;

/// About 1 kHz, where a workload has no rate.
const DISTANCE_DEFAULT_S: f64 = 1.0 / 1024.0;
/// From 1 MHz (LCLS-II; psana2's steps allow 0.5 MHz) to one event in four seconds: slower ones would use up the years.
const DISTANCES_S: std::ops::RangeInclusive<f64> = 1e-6..=4.0;

/// How steps of time are written.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// Of step 0: sign, exponent and the bits that all times share.
    from: u64,
    /// Steps in a second, as a power of two.
    second_bits: u32,
    /// Bits of the fraction between the steps within a second and the seconds, which stay 0.
    gap_bits: u32,
    /// Bits of steps before they start anew.
    bits: u32,
}

/// Seconds since 1970, from 2^30 to 2^31 s (2004 to 2038): steps of 2^-22 s, 238 ns, in 52 bits, the highest of which is set (January
/// 2021).
const UNIX: Scale = Scale { from: (1023 + 30) << 52 | 1 << 51, second_bits: 22, gap_bits: 0, bits: 51 };
/// As LCLStreamer writes psana2's times: 32 bits of seconds since 1990 and 32 bits of nanoseconds, as one whole number (`Event.timestamp`),
/// made a float. From 2^30 s on (January 2024) it counts in steps of 1,024 ns. The lowest 19 of these bits are the time within a second, so
/// events are in its first 0.54 s.
const PSANA2: Scale = Scale { from: (1023 + 62) << 52, second_bits: 19, gap_bits: 3, bits: 49 };

/// Times of one run's events.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    seed: u64,
    scale: Scale,
    event_steps: u64,
    message_bits: u32,
}

impl Times {
    /// For messages of at most `events_max` events, at the distance that the rate gives, to the next power of two and at
    /// least one step.
    pub fn new(seed: u64, clock: EventClock, events_max: u32, events_per_second: Option<f64>) -> Self {
        let scale = match clock {
            EventClock::Unix => UNIX,
            EventClock::Psana2 => PSANA2,
        };
        let distance_s = events_per_second.map_or(DISTANCE_DEFAULT_S, |rate| 1.0 / rate);
        let steps = distance_s.clamp(*DISTANCES_S.start(), *DISTANCES_S.end()) * (1u64 << scale.second_bits) as f64;
        let event_steps = 1 << (steps.log2().round().max(0.0) as u32);
        let message_bits = (u64::from(events_max) * event_steps).next_power_of_two().trailing_zeros();
        Self { seed, scale, event_steps, message_bits }
    }

    /// The time of one event; starts anew after 2^29 s, 17 years of beam, or later: no sooner than after 2^19 messages of 256 events
    /// four seconds apart.
    pub fn of(self, producer: u32, sequence: u64, event: u32) -> f64 {
        let Scale { from, second_bits, gap_bits, bits } = self.scale;
        let jitter = mix(self.seed ^ mix(u64::from(producer) << 32 | u64::from(event))) % self.event_steps;
        let within = u64::from(event) * self.event_steps + jitter;
        let steps = (sequence << self.message_bits | within) & ((1 << bits) - 1);
        let (seconds, part) = (steps >> second_bits, steps & ((1 << second_bits) - 1));
        f64::from_bits(from | seconds << (second_bits + gap_bits) | part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCKS: [EventClock; 2] = [EventClock::Unix, EventClock::Psana2];

    #[test]
    fn times_increase_and_are_of_the_years_from_2021_on() {
        for (events, rate) in [(1, None), (8, Some(28_600.0)), (300, Some(1e7)), (1, Some(2000.0))] {
            for clock in CLOCKS {
                let times = Times::new(1, clock, events, rate);
                let all =
                    (0..50).chain(1 << 20..(1 << 20) + 50).flat_map(|s| (0..events).map(move |e| times.of(5, s, e)));
                let all: Vec<f64> = all.collect();
                assert!(all.is_sorted_by(|a, b| a < b), "{events} at {rate:?} by {clock}");
                let years = match clock {
                    EventClock::Unix => 1_610_612_736.0..2_147_483_648.0,
                    EventClock::Psana2 => 2f64.powi(62)..2f64.powi(63),
                };
                assert!(all.iter().all(|time| years.contains(time)));
            }
        }
    }

    #[test]
    fn psana2s_times_are_whole_numbers_of_seconds_and_nanoseconds() {
        let times = Times::new(1, EventClock::Psana2, 8, Some(28_600.0));
        for sequence in [0, 1, 77, 1 << 20, 1 << 30] {
            let number = times.of(2, sequence, 3);
            let (seconds, nanoseconds) = (number as u64 >> 32, number as u64 & 0xffff_ffff);
            assert_eq!((number.fract(), number as u64 as f64), (0.0, number));
            assert!(seconds >= 1 << 30 && nanoseconds < 1_000_000_000, "{seconds} {nanoseconds}");
        }
    }

    #[test]
    fn the_rate_sets_the_time_between_events() {
        for (clock, second) in CLOCKS.into_iter().zip([1.0, 2f64.powi(32)]) {
            let times = Times::new(1, clock, 8, Some(2000.0));
            let mean = (times.of(0, 100_000, 0) - times.of(0, 0, 0)) / second / 800_000.0;
            assert!((mean * 2000.0 - 1.0).abs() < 0.4, "{mean} by {clock}");
        }
    }

    #[test]
    fn each_bit_of_the_sequence_flips_the_same_bit_of_every_time() {
        for times in CLOCKS.map(|clock| Times::new(1, clock, 8, Some(28_600.0))) {
            for (sequence, event) in (0..64).map(|bit| 1u64 << bit).flat_map(|s| (0..8).map(move |e| (s, e))) {
                let flipped = |event| times.of(3, sequence, event).to_bits() ^ times.of(3, 0, event).to_bits();
                assert_eq!(flipped(event), flipped(0));
            }
        }
    }
}
