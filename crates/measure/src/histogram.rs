//! Latencies of one kind, in counters that line up on every rank so that ranks can be summed.
//!
//! The layout is fixed: 1 ns to 1 h at 3 significant digits, [`Histogram::LAYOUT_LEN`] counters (about 270 kB). Minimum
//! and maximum are kept exactly beside the counters, and values outside the layout are counted, never dropped:
//! `saturated` above the range, `negative` below it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Below this value each bucket holds one value; above, the width of buckets doubles with the value. 2048 is the power
/// of two above 2 * 10^3, which is what 3 significant digits need.
const SUB_BUCKETS: u64 = 1 << SUB_BUCKET_BITS;
const SUB_BUCKET_BITS: u32 = 11;

/// A quantile is printed only when at least this many samples lie beyond it.
const SAMPLES_BEYOND_MIN: u64 = 10;

/// Samples of one latency, in nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    counters: hdrhistogram::Histogram<u64>,
    extremes: Extremes,
}

/// The exact minimum and maximum of a [`Histogram`], and its samples out of range.
///
/// The four fields travel beside the counters when ranks are merged: `min_ns` by minimum, `max_ns` by maximum, the
/// other two by sum. The values of an empty histogram are the neutral ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremes {
    /// The smallest sample; `u64::MAX` if there is none.
    pub min_ns: u64,
    /// The largest sample, also above the layout; 0 if there is none.
    pub max_ns: u64,
    /// Samples above [`Histogram::HIGHEST_NS`]. They are counted at that bound.
    pub saturated: u64,
    /// Samples below zero, a sign of clock error. They are in no counter and in no quantile.
    pub negative: u64,
}

impl Default for Extremes {
    fn default() -> Self {
        Self { min_ns: u64::MAX, max_ns: 0, saturated: 0, negative: 0 }
    }
}

impl Extremes {
    /// Adds the extremes of another rank or worker.
    pub fn merge(&mut self, other: &Self) {
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.saturated += other.saturated;
        self.negative += other.negative;
    }
}

/// The figures of one latency in a record.
///
/// A quantile is absent (null) unless at least ten samples lie beyond it, so p99.9 needs 10 000 samples; the median
/// needs one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LatencySummary {
    /// Samples counted. Negative ones are not among them.
    pub count: u64,
    /// The smallest sample, exactly.
    pub min_ns: Option<u64>,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 90 % of the samples are at most this.
    pub p90_ns: Option<u64>,
    /// 99 % of the samples are at most this.
    pub p99_ns: Option<u64>,
    /// 99.9 % of the samples are at most this.
    pub p999_ns: Option<u64>,
    /// The largest sample, exactly, also if it saturated.
    pub max_ns: Option<u64>,
    /// Arithmetic mean, to the resolution of the counters; saturated samples count as 1 h.
    pub mean_ns: Option<f64>,
    /// Samples above 1 h, counted at 1 h.
    #[serde(default)]
    pub saturated: u64,
    /// Samples below zero, counted here and nowhere else.
    #[serde(default)]
    pub negative: u64,
}

impl LatencySummary {
    /// The quantiles that may be absent, each with the number of samples that it needs.
    pub(crate) const LEAST_SAMPLES: [(&str, u64); 3] =
        [("p90_ns", least_samples(900)), ("p99_ns", least_samples(990)), ("p999_ns", least_samples(999))];
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    /// The upper end of the layout: one hour.
    pub const HIGHEST_NS: u64 = 3_600_000_000_000;
    /// How many counters the layout has: the same on every rank, by construction. Buckets are added
    /// by octaves, so it ends at the power of two above [`Self::HIGHEST_NS`].
    pub const LAYOUT_LEN: usize = index_of(Self::HIGHEST_NS.next_power_of_two() - 1) + 1;

    /// An empty histogram. Allocates all its counters (about 270 kB).
    pub fn new() -> Self {
        let counters = hdrhistogram::Histogram::new_with_bounds(1, Self::HIGHEST_NS, 3)
            .expect("1 ns to 1 h at 3 digits is a layout that HdrHistogram accepts");
        Self { counters, extremes: Extremes::default() }
    }

    /// Counts one sample.
    #[inline]
    pub fn record(&mut self, ns: u64) {
        self.extremes.min_ns = self.extremes.min_ns.min(ns);
        self.extremes.max_ns = self.extremes.max_ns.max(ns);
        self.extremes.saturated += u64::from(ns > Self::HIGHEST_NS);
        // The last bucket extends beyond 1 h, so HdrHistogram would spread saturated samples over it.
        self.counters.saturating_record(ns.min(Self::HIGHEST_NS));
    }

    /// Counts one sample that clock error may have made negative; negative samples are only counted.
    #[inline]
    pub fn record_signed(&mut self, ns: i64) {
        match u64::try_from(ns) {
            Ok(ns) => self.record(ns),
            Err(_) => self.extremes.negative += 1,
        }
    }

    /// Counts `times` samples of one value that clock error may have made negative.
    pub fn record_signed_many(&mut self, ns: i64, times: u64) {
        let Some(left) = times.checked_sub(1) else { return };
        self.record_signed(ns);
        match u64::try_from(ns) {
            Ok(ns) => {
                self.extremes.saturated += if ns > Self::HIGHEST_NS { left } else { 0 };
                self.counters.saturating_record_n(ns.min(Self::HIGHEST_NS), left);
            }
            Err(_) => self.extremes.negative += left,
        }
    }

    /// Number of samples, without the negative ones.
    pub fn len(&self) -> u64 {
        self.counters.len()
    }

    /// Whether no sample was counted. There may still be negative ones.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty()
    }

    /// The exact ends and the samples out of range.
    pub fn extremes(&self) -> &Extremes {
        &self.extremes
    }

    /// Adds the samples of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.counters.add(&other.counters).expect("every histogram has the same layout");
        self.extremes.merge(&other.extremes);
    }

    /// The counters of the layout, index-aligned on every rank.
    pub fn counts(&self) -> Vec<u64> {
        let mut slots = vec![0; Self::LAYOUT_LEN];
        self.add_to(&mut slots);
        slots
    }

    /// Adds the counters to `slots`, which must be [`Self::LAYOUT_LEN`] long.
    pub fn add_to(&self, slots: &mut [u64]) {
        assert_eq!(slots.len(), Self::LAYOUT_LEN, "slots of another layout");
        for bucket in self.counters.iter_recorded() {
            slots[index_of(bucket.value_iterated_to())] += bucket.count_at_value();
        }
    }

    /// The histogram whose counters and extremes were summed over ranks.
    pub fn from_counts(counts: &[u64], extremes: &Extremes) -> Self {
        assert_eq!(counts.len(), Self::LAYOUT_LEN, "counts of another layout");
        let mut histogram = Self::new();
        for (index, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram
                .counters
                .record_n(lowest_value_of(index), count)
                .expect("every counter of the layout stands for a value within it");
        }
        assert!(
            histogram.is_empty() || extremes.min_ns <= extremes.max_ns,
            "samples without extremes: sum and gather over the same ranks"
        );
        histogram.extremes = *extremes;
        histogram
    }

    /// The figures for a record.
    pub fn summary(&self) -> LatencySummary {
        let some = !self.is_empty();
        LatencySummary {
            count: self.len(),
            min_ns: some.then_some(self.extremes.min_ns),
            p50_ns: some.then(|| self.value_at(0.5)),
            p90_ns: self.quantile_per_mille(900),
            p99_ns: self.quantile_per_mille(990),
            p999_ns: self.quantile_per_mille(999),
            max_ns: some.then_some(self.extremes.max_ns),
            mean_ns: some.then(|| self.mean()),
            saturated: self.extremes.saturated,
            negative: self.extremes.negative,
        }
    }

    /// The recorded buckets in ascending order: the largest value of each, and how many samples are
    /// at most that. The last value is the exact maximum.
    pub fn cdf(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut cumulative = 0;
        self.counters.iter_recorded().map(move |bucket| {
            cumulative += bucket.count_at_value();
            let is_last = cumulative == self.len();
            let value_ns = if is_last { self.extremes.max_ns } else { bucket.value_iterated_to() };
            (value_ns, cumulative)
        })
    }

    /// The counters as HdrHistogram's own type, for its serialisers.
    pub(crate) fn counters(&self) -> &hdrhistogram::Histogram<u64> {
        &self.counters
    }

    /// A quantile with enough samples beyond it.
    fn quantile_per_mille(&self, per_mille: u64) -> Option<u64> {
        (self.len() >= least_samples(per_mille)).then(|| self.value_at(per_mille as f64 / 1000.0))
    }

    /// A bucket counts with its middle, which may lie beyond the largest sample.
    fn mean(&self) -> f64 {
        self.counters.mean().clamp(self.extremes.min_ns as f64, self.extremes.max_ns as f64)
    }

    /// The value is the upper end of a bucket, which may lie beyond the largest sample.
    fn value_at(&self, quantile: f64) -> u64 {
        self.counters.value_at_quantile(quantile).clamp(self.extremes.min_ns, self.extremes.max_ns)
    }
}

/// Number of samples that a quantile needs. Computed in integers: `n * (1.0 - 0.999)` falls short of ten at 10 000
/// samples.
const fn least_samples(per_mille: u64) -> u64 {
    (SAMPLES_BEYOND_MIN * 1000).div_ceil(1000 - per_mille)
}

/// The counter that a value belongs to.
const fn index_of(value: u64) -> usize {
    let octave = u64::BITS - SUB_BUCKET_BITS - (value | (SUB_BUCKETS - 1)).leading_zeros();
    ((octave as usize) << (SUB_BUCKET_BITS - 1)) + (value >> octave) as usize
}

/// The smallest value that belongs to a counter: the inverse of [`index_of`].
fn lowest_value_of(index: usize) -> u64 {
    let half = (SUB_BUCKETS / 2) as usize;
    let octave = (index / half).saturating_sub(1);
    ((index - octave * half) as u64) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn of(samples: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::new();
        for ns in samples {
            histogram.record(ns);
        }
        histogram
    }

    fn random_samples(seed: u64) -> Vec<u64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let count = random.random_range(0..3000);
        (0..count).map(|_| random.random::<u64>() >> random.random_range(18..64)).collect()
    }

    #[test]
    fn the_layout_is_the_one_that_hdrhistogram_allocates() {
        let histogram = Histogram::new();
        assert_eq!(Histogram::LAYOUT_LEN, histogram.counters.distinct_values(), "counters");
        for index in 0..Histogram::LAYOUT_LEN {
            let value = lowest_value_of(index);
            assert_eq!(index_of(value), index);
            assert_eq!(histogram.counters.lowest_equivalent(value), value);
            assert_eq!(
                index_of(histogram.counters.highest_equivalent(value)),
                index,
                "both ends of a bucket are in it"
            );
        }
    }

    #[test]
    fn an_empty_histogram_has_no_figures() {
        let histogram = Histogram::new();
        assert!(histogram.is_empty());
        assert_eq!(histogram.summary(), LatencySummary::default());
        assert_eq!(histogram.cdf().count(), 0);
        assert!(histogram.counts().iter().all(|count| *count == 0));
    }

    #[test]
    fn one_sample_is_its_own_minimum_median_and_maximum() {
        let summary = of([123_456_789]).summary();
        assert_eq!(summary.count, 1);
        for figure in [summary.min_ns, summary.p50_ns, summary.max_ns] {
            assert_eq!(figure, Some(123_456_789), "not rounded to a bucket");
        }
        assert_eq!(summary.mean_ns, Some(123_456_789.0));
        assert_eq!(summary.p90_ns, None);
    }

    #[test]
    fn zero_is_a_sample() {
        let summary = of([0, 0]).summary();
        assert_eq!((summary.count, summary.min_ns, summary.max_ns), (2, Some(0), Some(0)));
    }

    #[test]
    fn samples_above_an_hour_count_at_the_bound_and_keep_their_maximum() {
        let hour = Histogram::HIGHEST_NS;
        let at_bound = of([hour, hour]);
        assert_eq!(at_bound.extremes().saturated, 0, "an hour still fits");
        let above = of([hour + hour / 10, u64::MAX]);
        assert_eq!(above.counts(), at_bound.counts());
        let summary = above.summary();
        assert_eq!((summary.count, summary.saturated), (2, 2));
        assert_eq!(summary.min_ns, Some(hour + hour / 10));
        assert_eq!(summary.max_ns, Some(u64::MAX));
        assert_eq!(above.cdf().last(), Some((u64::MAX, 2)));
    }

    #[test]
    fn negative_samples_are_counted_and_recorded_nowhere() {
        let mut histogram = Histogram::new();
        for ns in [-1, i64::MIN, 0, 7] {
            histogram.record_signed(ns);
        }
        let summary = histogram.summary();
        assert_eq!((summary.count, summary.negative), (2, 2));
        assert_eq!((summary.min_ns, summary.max_ns), (Some(0), Some(7)));
    }

    #[test]
    fn a_quantile_needs_ten_samples_beyond_it() {
        #[track_caller]
        fn check(samples: u64, p90: bool, p99: bool, p999: bool) {
            let summary = of(1..=samples).summary();
            assert_eq!(
                (
                    summary.p50_ns.is_some(),
                    summary.p90_ns.is_some(),
                    summary.p99_ns.is_some(),
                    summary.p999_ns.is_some()
                ),
                (true, p90, p99, p999)
            );
        }
        check(1, false, false, false);
        check(99, false, false, false);
        check(100, true, false, false);
        check(999, true, false, false);
        check(1000, true, true, false);
        check(9_999, true, true, false);
        check(10_000, true, true, true);
    }

    #[test]
    fn figures_are_right_to_three_digits() {
        let summary = of(1..=100_000).summary();
        for (figure, exact) in [
            (summary.p50_ns, 50_000.0),
            (summary.p90_ns, 90_000.0),
            (summary.p99_ns, 99_000.0),
            (summary.p999_ns, 99_900.0),
        ] {
            let figure = figure.expect("there are samples enough") as f64;
            assert!((figure / exact - 1.0).abs() < 1e-3, "{figure} for {exact}");
        }
        let mean = summary.mean_ns.expect("there are samples");
        assert!((mean / 50_000.5 - 1.0).abs() < 1e-3, "{mean}");
    }

    #[test]
    fn the_distribution_ends_at_the_maximum_with_all_samples() {
        let histogram = of([5, 5, 1_000_003]);
        let cdf: Vec<_> = histogram.cdf().collect();
        assert_eq!(cdf, [(5, 2), (1_000_003, 3)]);
    }

    #[test]
    fn merging_is_the_same_as_recording_all_in_one() {
        for seed in 0..20 {
            let (a, b) = (random_samples(seed), random_samples(seed + 1000));
            let mut merged = of(a.iter().copied());
            merged.merge(&of(b.iter().copied()));
            let all = of(a.into_iter().chain(b));
            assert_eq!(merged.counters, all.counters);
            assert_eq!(merged.extremes, all.extremes);
            assert_eq!(merged.summary(), all.summary());
        }
    }

    #[test]
    fn counts_summed_over_ranks_give_the_merged_histogram() {
        for seed in 0..20 {
            let (a, b) = (of(random_samples(seed)), of(random_samples(seed + 1000)));
            let mut slots = a.counts();
            b.add_to(&mut slots);
            let mut extremes = *a.extremes();
            extremes.merge(b.extremes());
            let reduced = Histogram::from_counts(&slots, &extremes);
            let mut merged = a;
            merged.merge(&b);
            assert_eq!(reduced.counts(), merged.counts());
            assert_eq!(reduced.summary(), merged.summary());
        }
    }
}
