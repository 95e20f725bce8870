//! The measured latencies, each defined by two instants, with one histogram for each.
//!
//! Instants of message *i*, on the clock of its producer unless noted otherwise: due `t`, publish begins `s`, publish
//! returns `p`, confirm arrives `c`, reply arrives `r`, and delivery `d` at the consumer.

use crate::{Extremes, Histogram, LatencySummary};
use std::collections::BTreeMap;

/// A kind of latency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    /// `c - s`: from the beginning of the publish to the broker's confirm. A confirm means acceptance, not consumption.
    Confirm,
    /// `c - t`: from the due time to the broker's confirm. Charges a stall to every message that it delayed.
    ConfirmFromDue,
    /// `d - s`, with `d` converted from the consumer's clock to the producer's. The only metric on two clocks, so it is
    /// reported with the clock error and may be negative.
    OneWay,
    /// `r - t`: the delay that a user notices. Charges a stall to every message that it delayed.
    RttFromDue,
    /// `r - p`: the paper's RTT, which leaves out the time blocked in the publish.
    RttFromSent,
    /// `s - t`: how late the message was offered.
    ScheduleLag,
    /// `r - s`: the delay once it was offered. `rtt_from_due = schedule_lag + service`, message by message.
    Service,
    /// `max r - t`: from the due time until the last of the replies of all consumers.
    Gather,
    /// From the time that an external producer wrote into a message to its delivery. On two clocks that nobody compared unless both are
    /// of one host, so it may be negative.
    FromTimestamp,
    /// The time from delivery to reply that an external consumer reports in its reply, on its own clock.
    ConsumerOwn,
    /// `r - s` without `consumer_own`, message by message: network, service, and the client libraries on both sides.
    RttWithoutConsumer,
    /// The time that the producer spends on adding up the replies to a message, where they are vectors. It begins anew with each
    /// reply, and the last one is added after `max r`.
    Reduce,
}

impl Metric {
    /// Number of metrics.
    pub const COUNT: usize = 12;

    /// Every metric, in the order of a reduced vector.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Confirm,
        Self::ConfirmFromDue,
        Self::OneWay,
        Self::RttFromDue,
        Self::RttFromSent,
        Self::ScheduleLag,
        Self::Service,
        Self::Gather,
        Self::FromTimestamp,
        Self::ConsumerOwn,
        Self::RttWithoutConsumer,
        Self::Reduce,
    ];

    /// The key of this metric in a record, and its tag in a histogram log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Confirm => "confirm",
            Self::ConfirmFromDue => "confirm_from_due",
            Self::OneWay => "one_way",
            Self::RttFromDue => "rtt_from_due",
            Self::RttFromSent => "rtt_from_sent",
            Self::ScheduleLag => "schedule_lag",
            Self::Service => "service",
            Self::Gather => "gather",
            Self::FromTimestamp => "from_timestamp",
            Self::ConsumerOwn => "consumer_own",
            Self::RttWithoutConsumer => "rtt_without_consumer",
            Self::Reduce => "reduce",
        }
    }
}

/// One histogram per metric, allocated by its first sample: most workers use two or three of them.
#[derive(Debug, Clone, Default)]
pub struct Histograms {
    slots: [Option<Box<Histogram>>; Metric::COUNT],
}

impl Histograms {
    /// Without any samples.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts one sample.
    #[inline]
    pub fn record(&mut self, metric: Metric, ns: u64) {
        self.of(metric).record(ns);
    }

    /// Counts one sample that clock error may have made negative.
    #[inline]
    pub fn record_signed(&mut self, metric: Metric, ns: i64) {
        self.of(metric).record_signed(ns);
    }

    /// Counts `times` such samples of one value.
    pub fn record_signed_many(&mut self, metric: Metric, ns: i64, times: u64) {
        self.of(metric).record_signed_many(ns, times);
    }

    /// The histogram of a metric, if it was ever recorded.
    pub fn get(&self, metric: Metric) -> Option<&Histogram> {
        self.slots[metric as usize].as_deref()
    }

    /// Removes a metric whose samples turn out to be unusable.
    pub fn remove(&mut self, metric: Metric) {
        self.slots[metric as usize] = None;
    }

    /// Everything that was recorded, in the order of [`Metric::ALL`].
    pub fn recorded(&self) -> Vec<(Metric, &Histogram)> {
        Metric::ALL.into_iter().filter_map(|metric| Some((metric, self.get(metric)?))).collect()
    }

    /// The figures of everything that was recorded, by record key.
    pub fn summaries(&self) -> BTreeMap<String, LatencySummary> {
        self.recorded().into_iter().map(|(metric, histogram)| (metric.name().to_owned(), histogram.summary())).collect()
    }

    /// Adds the samples of another worker.
    pub fn merge(&mut self, other: &Self) {
        for (metric, histogram) in other.recorded() {
            self.of(metric).merge(histogram);
        }
    }

    /// The counters of `metrics` in one vector, to be summed over ranks. It has the same length on every rank, whatever
    /// that rank recorded. `metrics` are all metrics of this run, in the same order on every rank.
    pub fn reduce_vector(&self, metrics: &[Metric]) -> Vec<u64> {
        assert!(
            self.recorded().iter().all(|(metric, _)| metrics.contains(metric)),
            "a metric was recorded that would not be reduced"
        );
        let mut vector = vec![0; metrics.len() * Histogram::LAYOUT_LEN];
        for (slots, metric) in vector.chunks_mut(Histogram::LAYOUT_LEN).zip(metrics) {
            if let Some(histogram) = self.get(*metric) {
                histogram.add_to(slots);
            }
        }
        vector
    }

    /// The extremes of all metrics, to be gathered and merged beside the vector.
    pub fn extremes(&self) -> [Extremes; Metric::COUNT] {
        Metric::ALL.map(|metric| self.get(metric).map_or_else(Extremes::default, |histogram| *histogram.extremes()))
    }

    /// The histograms of all ranks, from the sum of their vectors of `metrics` and their merged
    /// extremes.
    pub fn from_reduced(vector: &[u64], metrics: &[Metric], extremes: &[Extremes; Metric::COUNT]) -> Self {
        assert_eq!(vector.len(), metrics.len() * Histogram::LAYOUT_LEN, "a vector of another layout");
        let mut histograms = Self::new();
        for (counts, metric) in vector.chunks(Histogram::LAYOUT_LEN).zip(metrics) {
            let extremes = &extremes[*metric as usize];
            if *extremes != Extremes::default() || counts.iter().any(|count| *count > 0) {
                histograms.slots[*metric as usize] = Some(Box::new(Histogram::from_counts(counts, extremes)));
            }
        }
        histograms
    }

    fn of(&mut self, metric: Metric) -> &mut Histogram {
        self.slots[metric as usize].get_or_insert_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_in_the_order_of_the_vector() {
        for (index, metric) in Metric::ALL.into_iter().enumerate() {
            assert_eq!(metric as usize, index);
        }
        let names: std::collections::BTreeSet<_> = Metric::ALL.map(Metric::name).into();
        assert_eq!(names.len(), Metric::COUNT);
    }

    #[test]
    fn a_metric_that_was_never_recorded_is_absent() {
        let histograms = Histograms::new();
        assert!(histograms.get(Metric::Confirm).is_none());
        assert!(histograms.summaries().is_empty());
        let vector = histograms.reduce_vector(&Metric::ALL);
        assert_eq!(vector.len(), Metric::COUNT * Histogram::LAYOUT_LEN, "for every rank alike");
        assert!(Histograms::from_reduced(&vector, &Metric::ALL, &histograms.extremes()).recorded().is_empty());
    }

    #[test]
    #[should_panic = "would not be reduced"]
    fn a_metric_that_is_not_on_the_list_is_never_dropped_in_silence() {
        let mut histograms = Histograms::new();
        histograms.record(Metric::Service, 5);
        histograms.reduce_vector(&[Metric::Confirm]);
    }

    #[test]
    #[should_panic = "samples without extremes"]
    fn samples_are_never_dropped_for_want_of_extremes() {
        let mut histograms = Histograms::new();
        histograms.record(Metric::Confirm, 5);
        Histograms::from_reduced(&histograms.reduce_vector(&Metric::ALL), &Metric::ALL, &Default::default());
    }

    #[test]
    fn two_ranks_reduce_to_what_one_would_have_recorded() {
        let (mut a, mut b, mut all) = (Histograms::new(), Histograms::new(), Histograms::new());
        for ns in 0..5000 {
            let rank = if ns % 3 == 0 { &mut a } else { &mut b };
            let metric = if ns % 2 == 0 { Metric::RttFromDue } else { Metric::Service };
            rank.record(metric, ns * 1000);
            all.record(metric, ns * 1000);
        }
        // Nothing but negative samples: still something that was measured.
        b.record_signed(Metric::OneWay, -5);
        all.record_signed(Metric::OneWay, -5);

        let sum: Vec<u64> =
            a.reduce_vector(&Metric::ALL).iter().zip(b.reduce_vector(&Metric::ALL)).map(|(a, b)| a + b).collect();
        let mut extremes = a.extremes();
        for (mine, other) in extremes.iter_mut().zip(b.extremes()) {
            mine.merge(&other);
        }
        let reduced = Histograms::from_reduced(&sum, &Metric::ALL, &extremes);
        assert_eq!(reduced.summaries(), all.summaries());
        assert_eq!(reduced.summaries()["one_way"].negative, 1);

        a.merge(&b);
        assert_eq!(a.summaries(), all.summaries());

        a.remove(Metric::OneWay);
        assert!(a.get(Metric::OneWay).is_none());
    }
}
