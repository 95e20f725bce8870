//! Histograms as a standard HdrHistogram interval log, which other people's tools can read.

use std::time::{Duration, SystemTime};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::{Histogram, Metric};

/// The log of one run: one line per metric, tagged with its name, over the same interval.
///
/// Values are nanoseconds and are not scaled (Java's writer divides the third column by 10^6).
pub fn hlog(sections: &[(Metric, &Histogram)], start: SystemTime, duration: Duration) -> Vec<u8> {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut writer = IntervalLogWriterBuilder::new()
        .add_comment("[Histogram log format version 1.3]")
        .add_comment("[All values, Interval_Max too, are nanoseconds: max value divisor 1.0]")
        .with_start_time(start)
        .begin_log_with(&mut log, &mut serializer)
        .expect(WRITES_TO_MEMORY);
    for (metric, histogram) in sections {
        let tag = Tag::new(metric.name()).expect("metric names have no blanks and no commas");
        writer.write_histogram(histogram.counters(), Duration::ZERO, duration, Some(tag)).expect(WRITES_TO_MEMORY);
    }
    log
}

const WRITES_TO_MEMORY: &str = "writing to memory cannot fail";

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn a_log_has_one_tagged_line_per_metric_after_its_start_time() {
        let (confirm, empty) = ([1_500, 7_000_000_000], Histogram::new());
        let mut histogram = Histogram::new();
        confirm.into_iter().for_each(|ns| histogram.record(ns));
        let log = hlog(
            &[(Metric::Confirm, &histogram), (Metric::OneWay, &empty)],
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250),
            Duration::from_millis(2_500),
        );
        let entries: Vec<_> =
            IntervalLogIterator::new(&log).map(|entry| entry.expect("every line can be read")).collect();
        let [LogEntry::StartTime(start), LogEntry::Interval(first), LogEntry::Interval(second)] = &entries[..] else {
            panic!("{entries:?}");
        };
        assert_eq!(start.as_millis(), 1_700_000_000_250);
        assert_eq!(first.tag(), Tag::new("confirm"));
        assert_eq!(first.duration(), Duration::from_millis(2_500));
        assert!((first.max() / 7e9 - 1.0).abs() < 1e-3, "in nanoseconds");
        assert_eq!(second.tag(), Tag::new("one_way"));
    }
}
