//! The distribution of one latency in one run, or in several taken together.

use measure::Buckets;

/// Least number of samples beyond a reported quantile, as in a record.
const SAMPLES_BEYOND_MIN: u64 = 10;

/// Values in ascending order, each with the number of samples that do not exceed it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    /// Upper ends of the buckets, in seconds.
    values_s: Vec<f64>,
    /// Number of samples up to and including each.
    cumulative: Vec<u64>,
}

impl Distribution {
    /// From the buckets of a histogram, ascending, in nanoseconds.
    pub fn of(buckets: &Buckets) -> Self {
        let mut sum = 0;
        let cumulative = buckets.iter().map(|(_, count)| {
            sum += count;
            sum
        });
        Self {
            cumulative: cumulative.collect(),
            values_s: buckets.iter().map(|(value_ns, _)| *value_ns as f64 / 1e9).collect(),
        }
    }

    /// Number of samples.
    pub fn samples(&self) -> u64 {
        self.cumulative.last().copied().unwrap_or(0)
    }

    /// The smallest value, in seconds, that a fraction `p` of the samples does not exceed; absent without samples.
    pub fn quantile(&self, p: f64) -> Option<f64> {
        let wanted = (p * self.samples() as f64).ceil().max(1.0) as u64;
        let index = self.cumulative.partition_point(|below| *below < wanted);
        self.values_s.get(index).copied()
    }

    /// The same, absent if fewer than ten samples lie beyond it; the median is always present.
    pub fn reliable_quantile(&self, p: f64) -> Option<f64> {
        let beyond = self.samples().saturating_sub((p * self.samples() as f64).ceil() as u64);
        let reliable = p <= 0.5 || beyond >= SAMPLES_BEYOND_MIN;
        self.quantile(p).filter(|_| reliable)
    }

    /// The fraction of samples that do not exceed `value_s`, in seconds.
    pub fn share(&self, value_s: f64) -> f64 {
        let index = self.values_s.partition_point(|value| *value <= value_s);
        let below = index.checked_sub(1).map_or(0, |index| self.cumulative[index]);
        below as f64 / self.samples().max(1) as f64
    }

    /// The largest gap (Kolmogorov-Smirnov) between two sets of distributions; within a set each distribution has the
    /// same weight, whatever its number of samples.
    pub fn gap(one: &[&Self], other: &[&Self]) -> f64 {
        let share = |side: &[&Self], value: f64| {
            side.iter().map(|distribution| distribution.share(value)).sum::<f64>() / side.len().max(1) as f64
        };
        let values = one.iter().chain(other).flat_map(|distribution| &distribution.values_s);
        values.map(|value| (share(one, *value) - share(other, *value)).abs()).fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ns: &[(u64, u64)]) -> Distribution {
        Distribution::of(&ns.to_vec())
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let distribution = of(&[(1_000_000_000, 50), (2_000_000_000, 30), (9_000_000_000, 20)]);
        for (p, value) in [(0.0, 1.0), (0.5, 1.0), (0.51, 2.0), (0.8, 2.0), (0.81, 9.0), (1.0, 9.0)] {
            assert_eq!(distribution.quantile(p), Some(value), "{p}");
        }
        assert_eq!(distribution.reliable_quantile(0.9), Some(9.0));
        assert_eq!(distribution.reliable_quantile(0.95), None, "five samples beyond");
        assert_eq!((distribution.share(0.5), distribution.share(2.0)), (0.0, 0.8));
        assert_eq!(Distribution::default().quantile(0.5), None);
    }

    #[test]
    fn the_gap_is_the_largest_between_the_curves() {
        let (one, other) = (of(&[(1, 5), (3, 5)]), of(&[(1, 1), (2, 9)]));
        let gap = Distribution::gap(&[&one], &[&other]);
        assert!((gap - 0.5).abs() < 1e-12, "at 2: {gap}");
        assert_eq!(Distribution::gap(&[&one], &[&one]), 0.0);
    }
}
