//! How late packets were handed on: a histogram that can be subtracted, so that each run has its own.

use serde::{Deserialize, Serialize};

/// Counts of latenesses. Each bucket is an eighth of an octave of nanoseconds, from 1 us on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lateness {
    buckets: Vec<u64>,
}

/// Smaller latenesses are one bucket.
const LEAST_BITS: u32 = 10;

impl Lateness {
    /// Counts one.
    pub fn record(&mut self, late_ns: u64) {
        let bucket = bucket(late_ns);
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
    }

    /// Those since an earlier count.
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |bucket: usize| earlier.buckets.get(bucket).copied().unwrap_or(0);
        let less = |(bucket, count): (usize, &u64)| count.saturating_sub(before(bucket));
        Self { buckets: self.buckets.iter().enumerate().map(less).collect() }
    }

    /// The lateness that a share of packets does not exceed, an eighth too large at most; `None` without packets.
    pub fn quantile_s(&self, share: f64) -> Option<f64> {
        let all: u64 = self.buckets.iter().sum();
        let wanted = ((all as f64 * share).ceil() as u64).max(1);
        let mut so_far = 0;
        let found = self.buckets.iter().position(|count| {
            so_far += count;
            so_far >= wanted
        });
        found.map(|bucket| upper_ns(bucket) as f64 / 1e9)
    }
}

fn bucket(late_ns: u64) -> usize {
    if late_ns < 1 << LEAST_BITS {
        return 0;
    }
    let octave = late_ns.ilog2();
    1 + ((octave - LEAST_BITS) * 8) as usize + ((late_ns >> (octave - 3)) & 7) as usize
}

fn upper_ns(bucket: usize) -> u64 {
    let (octave, eighth) = (LEAST_BITS as usize + bucket.saturating_sub(1) / 8, bucket.saturating_sub(1) % 8);
    if bucket == 0 { 1 << LEAST_BITS } else { (8 + eighth as u64 + 1) << (octave - 3) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lateness_is_below_the_end_of_its_bucket_and_at_most_an_eighth() {
        for late_ns in [1024, 1025, 1151, 1152, 2047, 2048, 50_000, 123_456_789, 9_999_999_999] {
            let upper = upper_ns(bucket(late_ns));
            assert!(upper > late_ns && upper as f64 <= late_ns as f64 * 1.126, "{late_ns}: {upper}");
        }
    }

    #[test]
    fn a_run_has_its_own_largest_lateness() {
        let mut all = Lateness::default();
        all.record(900_000_000);
        let before = all.clone();
        assert_eq!(all.since(&before).quantile_s(1.0), None);
        (0..99).for_each(|_| all.record(500));
        all.record(40_000);
        let run = all.since(&before);
        assert_eq!(run.quantile_s(0.99), Some(1024e-9));
        assert!((40e-6..45e-6).contains(&run.quantile_s(1.0).unwrap()));
    }
}
