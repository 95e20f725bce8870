//! The service's own figures while a run streamed: samples, their rows in the series, and their summary.

use crate::{record::ServiceView, tables::SeriesRow};
use std::collections::{BTreeMap, BTreeSet};

/// One sample of the service. Values that it did not report are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ServiceSample {
    /// Seconds from the start of the stream.
    pub at_s: f64,
    /// Messages waiting in the run's queues.
    pub ready: Option<u64>,
    /// Messages delivered from the run's queues and not yet acknowledged.
    pub unacknowledged: Option<u64>,
    /// Messages into the run's queues per second, including copies and replies.
    pub publish_per_second: Option<f64>,
    /// Messages out of the run's queues per second.
    pub deliver_per_second: Option<f64>,
    /// Memory of all nodes.
    pub memory_bytes: Option<u64>,
    /// The largest used fraction of a node's memory limit.
    pub memory_of_limit: Option<f64>,
    /// Connections to the service, including those of others.
    pub connections: Option<u64>,
    /// Alarms that are raised: `memory alarm on rabbit@node1`.
    pub alarms: BTreeSet<String>,
}

/// Puts each sample into its row; if there are several in one, the last one counts.
pub fn into_series(samples: &[ServiceSample], rows: &mut [SeriesRow]) {
    let by_second: BTreeMap<u64, &ServiceSample> = samples.iter().map(|sample| (sample.at_s as u64, sample)).collect();
    let step = if let [first, second, ..] = rows { second.second - first.second } else { 1 };
    for row in rows {
        let last = by_second.range(row.second..row.second + step).next_back();
        row.service = last.map(|(_, sample)| (*sample).clone());
    }
}

impl ServiceView {
    /// The summary of samples.
    pub fn of(samples: &[ServiceSample]) -> Self {
        fn most<T>(
            samples: &[ServiceSample],
            part: fn(&ServiceSample) -> Option<T>,
            larger: fn(T, T) -> T,
        ) -> Option<T> {
            samples.iter().filter_map(part).reduce(larger)
        }
        let mut alarms: BTreeMap<String, u64> = BTreeMap::new();
        samples
            .iter()
            .flat_map(|sample| &sample.alarms)
            .for_each(|alarm| *alarms.entry(alarm.clone()).or_default() += 1);
        Self {
            samples: samples.len() as u64,
            ready_max: most(samples, |sample| sample.ready, u64::max),
            unacknowledged_max: most(samples, |sample| sample.unacknowledged, u64::max),
            memory_max_bytes: most(samples, |sample| sample.memory_bytes, u64::max),
            memory_of_limit_max: most(samples, |sample| sample.memory_of_limit, f64::max),
            connections_max: most(samples, |sample| sample.connections, u64::max),
            alarms,
            ..Self::default()
        }
    }

    /// Warnings for the reader of the numbers: alarms, each with the number of samples that have it.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        self.alarms.iter().map(|(alarm, times)| {
            format!(
                "{alarm} in {times} of {} looks at the service, which blocks publishers meanwhile: give it more memory or \
                 disk, or offer less",
                self.samples
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_to_their_largest_and_alarms_to_warnings() {
        let sample = |at_s: f64, ready, alarm: Option<&str>| ServiceSample {
            at_s,
            ready,
            alarms: alarm.into_iter().map(str::to_owned).collect(),
            ..ServiceSample::default()
        };
        let samples = [
            sample(0.5, Some(7), None),
            sample(1.5, None, Some("memory alarm on rmq1")),
            sample(2.5, Some(3), Some("memory alarm on rmq1")),
        ];
        let view = ServiceView::of(&samples);
        assert_eq!((view.samples, view.ready_max, view.unacknowledged_max), (3, Some(7), None));
        let warnings: Vec<String> = view.warnings().collect();
        assert!(warnings.len() == 1 && warnings[0].starts_with("memory alarm on rmq1 in 2 of 3 looks"), "{warnings:?}");

        let mut rows: Vec<SeriesRow> = [0, 1, 3].map(|second| SeriesRow { second, ..SeriesRow::default() }).into();
        into_series(&samples, &mut rows);
        let ready: Vec<_> = rows.iter().map(|row| row.service.as_ref().map(|service| service.ready)).collect();
        assert_eq!(ready, [Some(Some(7)), Some(None), None]);

        let mut rows: Vec<SeriesRow> = [0, 2].map(|second| SeriesRow { second, ..SeriesRow::default() }).into();
        into_series(&samples, &mut rows);
        let at_s: Vec<_> = rows.iter().map(|row| row.service.as_ref().map(|service| service.at_s)).collect();
        assert_eq!(at_s, [Some(1.5), Some(2.5)], "rows of two seconds");
    }
}
