//! Histograms as a standard HdrHistogram interval log, which other tools can read.

use crate::{Histogram, Metric};
use base64::{Engine, prelude::BASE64_STANDARD};
use hdrhistogram::serialization::{
    Deserializer, V2DeflateSerializer,
    interval_log::{IntervalLogIterator, IntervalLogWriterBuilder, LogEntry, Tag},
};
use std::time::{Duration, SystemTime};

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

/// Samples of one latency as stored: the upper end of each non-empty bucket in nanoseconds, and its number of samples.
/// Ascending.
pub type Buckets = Vec<(u64, u64)>;

/// Reads a log that [`fn@hlog`] wrote; lines of unknown metrics are skipped. `None` if it is not such a log, or cut
/// off.
pub fn read_hlog(log: &[u8]) -> Option<Vec<(Metric, Buckets)>> {
    let mut sections = Vec::new();
    let mut deserializer = Deserializer::new();
    for entry in IntervalLogIterator::new(log) {
        let LogEntry::Interval(interval) = entry.ok()? else { continue };
        let tag = interval.tag()?;
        let Some(metric) = Metric::ALL.into_iter().find(|metric| metric.name() == tag.as_str()) else { continue };
        let bytes = BASE64_STANDARD.decode(interval.encoded_histogram()).ok()?;
        let counters: hdrhistogram::Histogram<u64> = deserializer.deserialize(&mut bytes.as_slice()).ok()?;
        let buckets = counters.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        sections.push((metric, buckets));
    }
    Some(sections)
}

const WRITES_TO_MEMORY: &str = "writing to memory cannot fail";

#[cfg(test)]
mod tests {
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

    #[test]
    fn what_was_written_is_read_back_and_half_of_it_is_refused() {
        let mut histogram = Histogram::new();
        [1_500, 1_500, 7_000_000].into_iter().for_each(|ns| histogram.record(ns));
        let log = hlog(&[(Metric::Service, &histogram)], SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        let sections = read_hlog(&log).expect("it was just written");
        let [(Metric::Service, buckets)] = &sections[..] else { panic!("{sections:?}") };
        let counts: Vec<_> = buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [2, 1]);
        assert!(buckets[1].0.abs_diff(7_000_000) < 7_000, "{buckets:?}");
        assert!(read_hlog(&log[..log.len() - 20]).is_none());
        assert!(read_hlog(b"second,sent\n0,5\n").is_none());
    }
}
