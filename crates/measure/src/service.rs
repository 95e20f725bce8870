//! What the service said of itself while a run streamed: samples, their place in the series, and what they come to.

use crate::{record::ServiceView, tables::SeriesRow};
use std::collections::{BTreeMap, BTreeSet};

/// One look at the service. What it did not tell is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSample {
    /// Seconds from the start of the stream.
    pub at_s: f64,
    /// Messages waiting in the run's queues.
    pub ready: Option<u64>,
    /// Messages delivered from the run's queues and not yet acknowledged.
    pub unacknowledged: Option<u64>,
    /// Messages that came into the run's queues, per second, copies and replies counted.
    pub publish_per_second: Option<f64>,
    /// Messages that went out of them, per second.
    pub deliver_per_second: Option<f64>,
    /// Memory of all nodes.
    pub memory_bytes: Option<u64>,
    /// The largest part of a node's memory limit that is used.
    pub memory_of_limit: Option<f64>,
    /// Connections to the service, those of others among them.
    pub connections: Option<u64>,
    /// Alarms that are raised: `memory alarm on rabbit@node1`.
    pub alarms: BTreeSet<String>,
}

/// Puts each sample into the row of its second; of several the last one stays.
pub fn into_series(samples: &[ServiceSample], rows: &mut [SeriesRow]) {
    let by_second: BTreeMap<u64, &ServiceSample> = samples.iter().map(|sample| (sample.at_s as u64, sample)).collect();
    for row in rows {
        row.service = by_second.get(&row.second).map(|sample| (*sample).clone());
    }
}

impl ServiceView {
    /// What samples come to.
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

    /// What a reader must know before using the numbers: alarms, each with how often it was seen.
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
    }
}
