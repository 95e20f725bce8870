//! What is shown, in the text format of OpenMetrics 1.0.

use crate::shown::Shown;
use measure::{Bands, Counters, bands::BANDS};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet, text},
    metrics::{
        MetricType,
        counter::ConstCounter,
        family::Family,
        gauge::{ConstGauge, Gauge},
    },
    registry::{Registry, Unit},
};
use std::fmt;

/// The type to reply with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A histogram that is counted already.
#[derive(Debug)]
struct Counted {
    buckets: Vec<(f64, u64)>,
    sum_s: f64,
}

impl Counted {
    fn new(counts: &[u64; BANDS], sum_ns: u64) -> Self {
        let bounds = Bands::bounds_ns().into_iter().map(|ns| ns as f64 / 1e9).chain([f64::INFINITY]);
        Self { buckets: bounds.zip(counts.iter().copied()).collect(), sum_s: sum_ns as f64 / 1e9 }
    }
}

impl EncodeMetric for Counted {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(self.sum_s, count, &self.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// All metrics. Counters begin again with each run, as `streamharness_run_info` tells.
pub fn text(shown: &Shown) -> String {
    let mut registry = Registry::with_prefix("streamharness");
    let run = &shown.run;
    let labels = [
        ("run_id", &run.run_id),
        ("workload", &run.workload),
        ("architecture", &run.architecture),
        ("pattern", &run.pattern),
        ("phase", &shown.phase),
    ];
    let labels: Vec<(String, String)> = labels.map(|(key, value)| (key.to_owned(), value.clone())).into();
    // A gauge, which readers of the older format of Prometheus know too, and not an `info`.
    let info = Family::<_, Gauge>::default();
    info.get_or_create(&labels).set(1);
    registry.register("run_info", "The run that streams", info);
    for ((name, about), count) in Counters::NAMES.iter().zip(Counters::ABOUT).zip(shown.moment.counters.to_vector()) {
        // The library adds a full stop.
        let about = about.trim().trim_end_matches('.');
        match name.strip_suffix("_ns") {
            Some(name) => {
                registry.register_with_unit(name, about, Unit::Seconds, ConstCounter::new(count as f64 / 1e9));
            }
            None => registry.register(*name, about, ConstCounter::new(count)),
        }
    }
    for (metric, counts, sum_ns) in shown.moment.bands.occurred() {
        let about =
            format!("Latency `{}` of all messages so far, those outside the measured window included", metric.name());
        registry.register_with_unit(metric.name(), about, Unit::Seconds, Counted::new(counts, sum_ns));
    }
    let moment = &shown.moment;
    let service = moment.service.as_ref();
    let gauges = [
        ("elapsed_seconds", "Time since streaming began", Some(moment.elapsed_s)),
        ("connections_blocked", "Connections that the service blocks", Some(f64::from(moment.blocked))),
        (
            "connections_lost",
            "Connections that are lost and not made again yet",
            Some(f64::from(moment.without_connection)),
        ),
        ("resident_bytes", "Memory of all ranks", Some(moment.resident_bytes as f64)),
        (
            "queue_ready",
            "Messages that wait in the queues of the run",
            service.and_then(|seen| seen.ready).map(|n| n as f64),
        ),
        (
            "queue_unacknowledged",
            "Messages delivered from the queues of the run and not acknowledged",
            service.and_then(|seen| seen.unacknowledged).map(|n| n as f64),
        ),
        (
            "service_memory_bytes",
            "Memory of all nodes of the service",
            service.and_then(|seen| seen.memory_bytes).map(|n| n as f64),
        ),
        ("service_alarms", "Alarms that are raised", service.map(|seen| seen.alarms.len() as f64)),
    ];
    for (name, about, value) in gauges {
        if let Some(value) = value {
            registry.register(name, about, ConstGauge::new(value));
        }
    }
    let launch = [
        ("runs", "Runs of the launch that are over", shown.runs[0]),
        ("runs_failed", "Runs of the launch that failed", shown.runs[1]),
    ];
    launch.into_iter().for_each(|(name, about, count)| registry.register(name, about, ConstCounter::new(count)));
    let mut text = String::new();
    text::encode(&mut text, &registry).expect("a string takes any text");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shown::{Moment, Run};
    use measure::{LiveBands, Metric, ServiceSample};

    #[test]
    fn metrics_have_the_names_types_and_sums_that_collectors_expect() {
        let bands = LiveBands::default();
        [9_000, 100_000, 100_000_000_000].into_iter().for_each(|ns| bands.record(Metric::Confirm, ns));
        let counters = Counters { sent: 12, blocked_ns: 1_500_000_000, ..Counters::default() };
        let service = Some(ServiceSample { ready: Some(7), ..ServiceSample::default() });
        let run =
            Run { run_id: "20261129T1".to_owned(), architecture: "a \"quoted\" file".to_owned(), ..Run::default() };
        let moment = Moment { elapsed_s: 2.5, counters, bands: bands.read(), service, ..Moment::default() };
        let text = text(&Shown { run, moment, runs: [3, 1], ..Shown::default() });
        for line in [
            "# TYPE streamharness_run_info gauge",
            "# TYPE streamharness_sent counter",
            "# HELP streamharness_sent Messages published for the first time.",
            "streamharness_sent_total 12",
            "# UNIT streamharness_blocked_seconds seconds",
            "streamharness_blocked_seconds_total 1.5",
            "# TYPE streamharness_confirm_seconds histogram",
            "streamharness_confirm_seconds_sum 100.000109",
            "streamharness_confirm_seconds_count 3",
            "streamharness_confirm_seconds_bucket{le=\"0.000008192\"} 0",
            "streamharness_confirm_seconds_bucket{le=\"0.000016384\"} 1",
            "streamharness_confirm_seconds_bucket{le=\"0.000131072\"} 2",
            "streamharness_confirm_seconds_bucket{le=\"+Inf\"} 3",
            "streamharness_elapsed_seconds 2.5",
            "streamharness_queue_ready 7.0",
            "streamharness_runs_total 3",
            "streamharness_runs_failed_total 1",
            "# EOF",
        ] {
            assert!(text.lines().any(|is| is == line), "{line}\n{text}");
        }
        assert!(text.contains("architecture=\"a \\\"quoted\\\" file\""), "{text}");
        assert!(
            !text.contains("one_way") && !text.contains("queue_unacknowledged"),
            "what nobody knows is absent: {text}"
        );
    }

    #[test]
    fn every_metric_that_the_dashboard_asks_for_is_served() {
        let dashboard = include_str!("../../../analysis/grafana/streamharness.json");
        let bands = LiveBands::default();
        Bands::METRICS.into_iter().for_each(|metric| bands.record(metric, 1_000));
        let known = Some(1);
        let service = Some(ServiceSample {
            ready: known,
            unacknowledged: known,
            memory_bytes: known,
            ..ServiceSample::default()
        });
        let moment = Moment { bands: bands.read(), service, ..Moment::default() };
        let text = text(&Shown { moment, ..Shown::default() });
        let asked = dashboard.split("streamharness_").skip(1).map(|rest| {
            let end = rest.find(|sign: char| !sign.is_ascii_lowercase() && sign != '_').unwrap_or(rest.len());
            format!("streamharness_{}", &rest[..end])
        });
        let asked: Vec<String> = asked.collect();
        assert!(asked.len() > 10, "{asked:?}");
        for name in asked {
            let served = |line: &str| line.strip_prefix(&name).is_some_and(|rest| rest.starts_with([' ', '{']));
            assert!(text.lines().any(served), "{name}\n{text}");
        }
    }
}
