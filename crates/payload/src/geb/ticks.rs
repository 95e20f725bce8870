//! The time of each event, in ticks of 10 ns: a closed form that producer and consumer both evaluate.
//!
//! A message owns a power of two of ticks, so the sequence number fills the high bits of a timestamp and the place
//! within the message the low ones. Each bit of the sequence is then one bit of every timestamp, without carries, so
//! that the checksum follows from the sequence (`sequence_crc`, D7).

use crate::draws::mix;

/// Mean distance of two events of a producer: 2.56 us, or 390,625 events/s, the order of GRETA's 500K/s.
const EVENT_TICKS: u64 = 256;

/// Timestamps of one run's events.
#[derive(Debug, Clone, Copy)]
pub struct Ticks {
    seed: u64,
    message_bits: u32,
}

impl Ticks {
    /// For messages of at most `events_max` events.
    pub fn new(seed: u64, events_max: u32) -> Self {
        let message_bits = (u64::from(events_max) * EVENT_TICKS).next_power_of_two().trailing_zeros();
        Self { seed, message_bits }
    }

    /// The timestamp of one event: never negative as an i64, and increasing with sequence and event (up to
    /// 2^52 messages of eight events, 3,000 years at 50,000 messages/s).
    pub fn of(self, producer: u32, sequence: u64, event: u32) -> u64 {
        // Events are not periodic: each lies anywhere in its own 256 ticks.
        let jitter = mix(self.seed ^ mix(u64::from(producer) << 32 | u64::from(event))) % EVENT_TICKS;
        (sequence << self.message_bits & i64::MAX as u64) | (u64::from(event) * EVENT_TICKS + jitter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_increase_with_every_event_of_a_producer() {
        for events in [1, 2, 7, 8, 1000] {
            let ticks = Ticks::new(1, events);
            let all = (0..50).chain(1 << 30..(1 << 30) + 50).flat_map(|s| (0..events).map(move |e| ticks.of(5, s, e)));
            let all: Vec<_> = all.collect();
            assert!(all.is_sorted_by(|a, b| a < b), "{events} events");
        }
    }

    #[test]
    fn each_bit_of_the_sequence_flips_the_same_bit_of_every_timestamp() {
        let ticks = Ticks::new(1, 8);
        for (sequence, event) in (0..64).map(|bit| 1u64 << bit).flat_map(|s| (0..8).map(move |e| (s, e))) {
            let flipped = ticks.of(3, sequence, event) ^ ticks.of(3, 0, event);
            assert_eq!(flipped, ticks.of(3, sequence, 0) ^ ticks.of(3, 0, 0));
            assert!(flipped <= i64::MAX as u64);
        }
    }

    #[test]
    fn producers_and_seeds_have_timestamps_of_their_own() {
        let times = |seed, producer| (0..8).map(|event| Ticks::new(seed, 8).of(producer, 9, event)).collect::<Vec<_>>();
        assert_ne!(times(1, 0), times(1, 1));
        assert_ne!(times(1, 0), times(1, 1024));
        assert_ne!(times(1, 0), times(2, 0));
    }
}
