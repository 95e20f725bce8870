//! One-way latencies between hosts, sorted by time until the clocks have been compared again.

use crate::time::clocks::Compared;
use measure::{Histograms, Metric};
use std::{collections::HashMap, sync::Arc};

/// Samples are sorted into at most this many intervals of the time streamed, and in a long run into at least half as
/// many ([`crate::time::clocks`] relies on that).
const PARTS_MAX: u64 = 32;
/// Length of an interval at first; it doubles as the run gets longer.
const PART_NS: u64 = 50_000_000;
/// Bits of a sample that are kept: the resolution of a histogram.
const BITS: u32 = 12;

/// The samples of one consumer whose producers are on other hosts.
#[derive(Debug, Clone, Default)]
pub struct OneWay {
    /// The host of each producer; producers that are not in the list are on the consumer's own host.
    hosts: Arc<[u32]>,
    mine: u32,
    start_ns: u64,
    part_ns: u64,
    counts: HashMap<Key, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    host: u32,
    part: u32,
    ns: i64,
}

impl OneWay {
    /// For a consumer on host `mine`, from `start_ns` on in common time; `hosts` lists the host of each producer.
    pub fn new(hosts: Arc<[u32]>, mine: u32, start_ns: u64) -> Self {
        Self { hosts, mine, start_ns, part_ns: PART_NS, counts: HashMap::new() }
    }

    /// Counts one sample of `ns` (may be negative) from `producer`, which arrived at `now_ns`. Returns false and counts
    /// nothing if both share a clock: such a sample needs no correction.
    pub fn takes(&mut self, producer: u32, now_ns: u64, ns: i64) -> bool {
        match self.hosts.get(producer as usize) {
            Some(host) if *host != self.mine => self.record(*host, now_ns, ns),
            _ => return false,
        }
        true
    }

    fn record(&mut self, host: u32, now_ns: u64, ns: i64) {
        while now_ns.saturating_sub(self.start_ns) / self.part_ns >= PARTS_MAX {
            self.widen();
        }
        let part = (now_ns.saturating_sub(self.start_ns) / self.part_ns) as u32;
        *self.counts.entry(Key { host, part, ns: rounded(ns) }).or_default() += 1;
    }

    fn widen(&mut self) {
        self.part_ns *= 2;
        let mut counts = HashMap::with_capacity(self.counts.len());
        for (key, count) in self.counts.drain() {
            *counts.entry(Key { part: key.part / 2, ..key }).or_default() += count;
        }
        self.counts = counts;
    }

    /// Adds the samples to `histograms`, each corrected by the offset of both clocks in its interval: zero at the
    /// start, the result of the second comparison at the end, linear in between.
    pub fn settle(&self, compared: &Compared, histograms: &mut Histograms) {
        let whole_ns = compared.at_ns.saturating_sub(self.start_ns).max(1) as f64;
        let residual = |host: u32| compared.residuals_ns[host as usize] as f64;
        for (key, count) in &self.counts {
            let way = (f64::from(key.part) + 0.5) * self.part_ns as f64 / whole_ns;
            let moved_ns = key.ns + ((residual(self.mine) - residual(key.host)) * way.min(1.)).round() as i64;
            histograms.record_signed_many(Metric::OneWay, moved_ns, *count);
        }
    }
}

/// The middle of all values that share the leading bits.
fn rounded(ns: i64) -> i64 {
    let magnitude = ns.unsigned_abs();
    let dropped = (u64::BITS - magnitude.leading_zeros()).saturating_sub(BITS);
    let middle = (magnitude >> dropped << dropped) + (1 << dropped >> 1);
    middle as i64 * ns.signum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::clocks::{ClockError, PARTS_MIN};

    fn settled(one_way: &OneWay, at_ns: u64, residuals_ns: &[i64]) -> Histograms {
        let compared = Compared { at_ns, residuals_ns: residuals_ns.to_vec(), error: ClockError::default() };
        let mut histograms = Histograms::new();
        one_way.settle(&compared, &mut histograms);
        histograms
    }

    #[test]
    fn a_clock_that_ran_away_is_made_up_for_in_proportion() {
        // Every message took 1 ms; the producer's clock fell behind by 10 ms in 10 s, so its stamps are too early.
        let mut one_way = OneWay::new([0, 1].into(), 0, 5);
        for message in 0..10_000u64 {
            let now_ns = message * 1_000_000;
            assert!(one_way.takes(1, 5 + now_ns, 1_000_000 + now_ns as i64 / 1000));
            assert!(!one_way.takes(0, 5 + now_ns, 1), "this producer has the same clock");
        }
        let histograms = settled(&one_way, 10_000_000_005, &[0, 10_000_000]);
        let summary = histograms.get(Metric::OneWay).unwrap().summary();
        let left = 10_000_000 / u64::from(2 * PARTS_MIN) + 10_000;
        assert_eq!(summary.count, 10_000);
        assert!(summary.min_ns.unwrap() >= 1_000_000 - left, "{summary:?}");
        assert!(summary.max_ns.unwrap() <= 1_000_000 + left, "{summary:?}");
    }

    #[test]
    fn samples_below_zero_come_back_where_the_clocks_explain_them() {
        let mut one_way = OneWay::new([0, 1, 2].into(), 0, 0);
        assert!(one_way.takes(1, 900, -2_000_000));
        assert!(one_way.takes(2, 900, -2_000_000));
        let histograms = settled(&one_way, 1000, &[0, -4_000_000, 0]);
        let summary = histograms.get(Metric::OneWay).unwrap().summary();
        assert_eq!((summary.count, summary.negative), (1, 1));
        assert!(summary.p50_ns.unwrap().abs_diff(2_000_000) < 2_000, "{summary:?}");
    }

    #[test]
    fn a_value_keeps_the_digits_that_a_histogram_has() {
        for ns in [0, 1, -3, 4095, 123_456_789, -987_654_321_000] {
            let error = (rounded(ns) - ns).abs() as f64;
            assert!(error <= 0.0005 * ns.abs() as f64, "{ns} became {}", rounded(ns));
        }
    }
}
