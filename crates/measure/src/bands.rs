//! Latencies in coarse bands, for a look at a run while it streams. What is reported comes from histograms.

use crate::{Count, Metric};
use serde::{Deserialize, Serialize};

/// Number of bands of each metric.
pub const BANDS: usize = 24;
/// Binary logarithm of the upper bound of the first band, in nanoseconds: 8 us. Each further band ends at twice the one before, and the
/// last one, from 34 s on, does not end.
const FIRST_BITS: u32 = 13;

/// Latencies of one worker, or of many after [`Bands::merge`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bands {
    counts: [[u64; BANDS]; Bands::METRICS.len()],
    sums_ns: [u64; Bands::METRICS.len()],
}

impl Bands {
    /// The metrics that have bands: those that are known once a message arrives, on one clock.
    pub const METRICS: [Metric; 3] = [Metric::Confirm, Metric::OneWay, Metric::RttFromDue];

    /// The upper bound of each band but the last, in nanoseconds.
    pub fn bounds_ns() -> [u64; BANDS - 1] {
        std::array::from_fn(|band| 1 << (FIRST_BITS + band as u32))
    }

    /// Each metric that occurred, with its samples by band and their sum in nanoseconds.
    pub fn occurred(&self) -> impl Iterator<Item = (Metric, &[u64; BANDS], u64)> {
        let all = Self::METRICS.into_iter().zip(&self.counts).zip(self.sums_ns);
        all.filter(|((_, counts), _)| counts.iter().any(|count| *count > 0))
            .map(|((metric, counts), sum)| (metric, counts, sum))
    }

    /// Adds those of another worker or rank.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().flatten().zip(other.counts.iter().flatten()) {
            *mine += theirs;
        }
        self.sums_ns.iter_mut().zip(other.sums_ns).for_each(|(mine, theirs)| *mine += theirs);
    }
}

/// The same while a worker is at work.
#[derive(Debug, Default)]
pub struct LiveBands {
    counts: [[Count; BANDS]; Bands::METRICS.len()],
    sums_ns: [Count; Bands::METRICS.len()],
}

impl LiveBands {
    /// Counts one sample of a metric that has bands; others are not counted.
    #[inline]
    pub fn record(&self, metric: Metric, ns: u64) {
        if let Some(of) = Bands::METRICS.iter().position(|known| *known == metric) {
            self.counts[of][band(ns)].add(1);
            self.sums_ns[of].add(ns);
        }
    }

    /// The samples so far.
    pub fn read(&self) -> Bands {
        let counts = std::array::from_fn(|of| std::array::from_fn(|band| self.counts[of][band].get()));
        Bands { counts, sums_ns: std::array::from_fn(|of| self.sums_ns[of].get()) }
    }
}

/// The band of a value; a value that is the bound of a band is in it.
fn band(ns: u64) -> usize {
    let bits = u64::BITS - ns.saturating_sub(1).leading_zeros();
    (bits.saturating_sub(FIRST_BITS) as usize).min(BANDS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_band_whose_bound_it_does_not_exceed() {
        for (number, bound_ns) in Bands::bounds_ns().into_iter().enumerate() {
            assert_eq!([bound_ns - 1, bound_ns, bound_ns + 1].map(band), [number, number, number + 1], "{bound_ns}");
        }
        assert_eq!([0, 1, u64::MAX].map(band), [0, 0, BANDS - 1]);
    }

    #[test]
    fn bands_of_workers_add_up_and_metrics_without_bands_are_not_counted() {
        let (one, other) = (LiveBands::default(), LiveBands::default());
        one.record(Metric::Confirm, 10_000);
        one.record(Metric::Service, 10_000);
        other.record(Metric::Confirm, 30_000);
        other.record(Metric::RttFromDue, 7);
        let mut all = one.read();
        all.merge(&other.read());
        let occurred: Vec<_> =
            all.occurred().map(|(metric, counts, sum)| (metric, counts[..3].to_vec(), sum)).collect();
        assert_eq!(occurred, [(Metric::Confirm, vec![0, 1, 1], 40_000), (Metric::RttFromDue, vec![1, 0, 0], 7)]);
    }
}
