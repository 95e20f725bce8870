//! Groups runs into points: repetitions of the same settings.

use crate::{Estimate, FiguresError, Run};
use measure::{
    Metric, foreign,
    record::{FaultCost, differences},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

/// The common settings of runs that are repetitions of each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Such as `dstream`; for a file, its name without the extension.
    pub workload: String,
    /// Such as `work-sharing`. With replies of a given size, the size follows a `+`.
    pub pattern: String,
    /// Such as `prs-haproxy`.
    pub architecture: String,
    /// How many consumers.
    pub consumers: u32,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self { workload, pattern, architecture, consumers } = self;
        write!(f, "{workload} {pattern} over {architecture} with {consumers} consumer(s)")
    }
}

impl Key {
    pub(crate) fn of(run: &Run) -> Self {
        let plan = &run.record.plan;
        let mut pattern = text(plan, "/pattern");
        let replies = plan.pointer("/flow/replies").and_then(Value::as_u64).unwrap_or(0);
        let reply = text(plan, "/service/reply");
        if replies > 0 && !reply.is_empty() && reply != "echo" {
            pattern = format!("{pattern}+{reply}");
        }
        Self {
            workload: stem(&text(plan, "/workload")),
            pattern,
            architecture: stem(&run.record.route.architecture),
            consumers: plan.pointer("/placement/consumers").and_then(Value::as_u64).unwrap_or(0) as u32,
        }
    }
}

/// From the beginning of a fault until the last consumer that it stalled got a message; 0 if it stalled none.
pub(crate) fn first_delivery_s(cost: &FaultCost) -> Option<f64> {
    if cost.stalled == 0 { Some(0.0) } else { cost.first_delivery_last_s }
}

pub(crate) fn text(plan: &Value, pointer: &str) -> String {
    match plan.pointer(pointer) {
        Some(Value::String(text)) => foreign::line(text).into_owned(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

fn stem(name: &str) -> String {
    foreign::line(&Path::new(name).file_stem().unwrap_or_default().to_string_lossy()).into_owned()
}

/// All repetitions of one key.
#[derive(Debug, Clone)]
pub struct Point {
    /// Their common settings.
    pub key: Key,
    /// Ordered by directory.
    pub runs: Vec<Run>,
}

/// A number of a run that is estimated over runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Quantity {
    /// Messages delivered per second in the common window.
    MessagesPerSecond,
    /// Body bits of these.
    BitsPerSecond,
    /// Events in these.
    EventsPerSecond,
    /// The paper's estimator: the sum of the rates of all consumers.
    SumOfRates,
    /// The same in events.
    SumOfEventRates,
    /// The paper's estimator over the common window's.
    SumOfRatesRatio,
    /// CPU time of all ranks per message, in microseconds.
    CpuPerMessage,
    /// Lost messages, in per cent of those that were to arrive.
    Lost,
    /// Messages that are lost or of which that is not known, in per cent of those that were to arrive.
    Missing,
    /// From the beginning of the longest fault until the last consumer that it stalled got a message, seconds; 0 if it stalled none.
    FirstDelivery,
    /// Mean time from the first packet of an event to its last one, seconds.
    Assembly,
    /// The median of a latency, seconds.
    Median(Metric),
    /// The 99th percentile of a latency, seconds.
    P99(Metric),
}

impl Quantity {
    /// All of them, in the order in which tables show them.
    pub fn all() -> Vec<Self> {
        let rates = [
            Self::MessagesPerSecond,
            Self::BitsPerSecond,
            Self::EventsPerSecond,
            Self::SumOfRates,
            Self::SumOfRatesRatio,
        ];
        let latencies = Metric::ALL.into_iter().flat_map(|metric| [Self::Median(metric), Self::P99(metric)]);
        rates.into_iter().chain([Self::CpuPerMessage]).chain(latencies).collect()
    }

    /// The quantity with a name: that of [`Self::word`], or `rtt_p50` and `rtt_p99` for the round trip from the due
    /// time.
    pub fn called(word: &str) -> Option<Self> {
        let word = word.strip_prefix("rtt_p").map_or_else(|| word.to_owned(), |rest| format!("rtt_from_due_p{rest}"));
        Self::all().into_iter().find(|quantity| quantity.word() == word)
    }

    /// All words that [`Self::called`] knows.
    pub fn words() -> Vec<String> {
        let short = ["rtt_p50", "rtt_p99"].map(str::to_owned);
        short.into_iter().chain(Self::all().into_iter().map(Self::word)).collect()
    }

    /// Its name in one word, as people type it.
    pub fn word(self) -> String {
        match self {
            Self::MessagesPerSecond => "throughput".to_owned(),
            Self::BitsPerSecond => "bit_rate".to_owned(),
            Self::EventsPerSecond => "event_rate".to_owned(),
            Self::SumOfRates => "sum_of_rates".to_owned(),
            Self::SumOfEventRates => "sum_of_event_rates".to_owned(),
            Self::SumOfRatesRatio => "sum_of_rates_ratio".to_owned(),
            Self::CpuPerMessage => "cpu_per_message".to_owned(),
            Self::Lost => "lost".to_owned(),
            Self::Missing => "missing".to_owned(),
            Self::FirstDelivery => "first_delivery".to_owned(),
            Self::Assembly => "assembly".to_owned(),
            Self::Median(metric) => format!("{}_p50", metric.name()),
            Self::P99(metric) => format!("{}_p99", metric.name()),
        }
    }

    /// The value of one run; absent if unmeasured.
    pub fn of(self, run: &Run) -> Option<f64> {
        let record = &run.record;
        let seconds = |ns: u64| ns as f64 / 1e9;
        let expected = record.integrity.expected as f64;
        let share = |count: u64| (expected > 0.0).then(|| 100.0 * count as f64 / expected);
        match self {
            Self::MessagesPerSecond => record.throughput.messages_per_second,
            Self::BitsPerSecond => record.throughput.bits_per_second,
            Self::EventsPerSecond => record.throughput.events_per_second,
            Self::SumOfRates => record.throughput.sum_of_rates_messages_per_second,
            Self::SumOfEventRates => {
                let throughput = &record.throughput;
                let events = throughput.events_per_second? / throughput.messages_per_second?;
                Some(throughput.sum_of_rates_messages_per_second? * events)
            }
            Self::SumOfRatesRatio => record.throughput.sum_of_rates_ratio,
            Self::CpuPerMessage => record.harness.cpu_us_per_message,
            Self::Lost => share(record.integrity.lost),
            Self::Missing => share(record.integrity.lost + record.integrity.undetermined),
            Self::FirstDelivery => {
                let all = record.faults.iter().map(|fault| first_delivery_s(fault.cost.as_ref()?));
                all.collect::<Option<Vec<f64>>>()?.into_iter().reduce(f64::max)
            }
            Self::Assembly => {
                let count = |name: &str| record.transport.get(name).map(|count| *count as f64);
                let taken = count("events_taken").filter(|taken| *taken > 0.0)?;
                Some(count("assembly_us")? / taken / 1e6)
            }
            Self::Median(metric) => record.latency.get(metric.name())?.p50_ns.map(seconds),
            Self::P99(metric) => record.latency.get(metric.name())?.p99_ns.map(seconds),
        }
    }

    /// Whether more of it is better.
    pub fn more_is_better(self) -> bool {
        matches!(
            self,
            Self::MessagesPerSecond
                | Self::BitsPerSecond
                | Self::EventsPerSecond
                | Self::SumOfRates
                | Self::SumOfEventRates
        )
    }

    /// Its name in tables, unit last.
    pub fn name(self) -> String {
        match self {
            Self::MessagesPerSecond => "messages/s".to_owned(),
            Self::BitsPerSecond => "bits/s".to_owned(),
            Self::EventsPerSecond => "events/s".to_owned(),
            Self::SumOfRates => "sum of rates, messages/s".to_owned(),
            Self::SumOfEventRates => "sum of rates, events/s".to_owned(),
            Self::SumOfRatesRatio => "sum of rates / rate".to_owned(),
            Self::CpuPerMessage => "CPU, us/message".to_owned(),
            Self::Lost => "lost, %".to_owned(),
            Self::Missing => "lost or undetermined, %".to_owned(),
            Self::FirstDelivery => "first delivery after a fault, s".to_owned(),
            Self::Assembly => "assembly, s".to_owned(),
            Self::Median(metric) => format!("{} p50, s", metric.name()),
            Self::P99(metric) => format!("{} p99, s", metric.name()),
        }
    }
}

impl Point {
    /// The value of each run that has it.
    pub fn values(&self, quantity: Quantity) -> Vec<f64> {
        self.runs.iter().filter_map(|run| quantity.of(run)).collect()
    }

    /// The estimate over the runs; absent if no run has the quantity.
    pub fn estimate(&self, quantity: Quantity) -> Option<Estimate> {
        Estimate::of(&self.values(quantity))
    }
}

/// All points, ordered by their keys.
#[derive(Debug, Clone, Default)]
pub struct Points {
    points: BTreeMap<Key, Point>,
    /// Warnings for a reader that compares points with each other.
    pub warnings: Vec<String>,
}

impl Points {
    /// Groups repetitions. Repetitions have the same plan, except for the values of a single run (its number, seed and
    /// the names of its queues).
    ///
    /// # Errors
    ///
    /// [`FiguresError`] if runs of one point have different plans.
    pub fn of(runs: Vec<Run>) -> Result<Self, FiguresError> {
        let mut points: BTreeMap<Key, Point> = BTreeMap::new();
        for run in runs {
            let key = Key::of(&run);
            let point = points.entry(key.clone()).or_insert_with(|| Point { key, runs: Vec::new() });
            if let Some(first) = point.runs.first()
                && let Some(field) = difference(&comparable(first), &comparable(&run))
            {
                return Err(FiguresError::MixedPlans {
                    point: point.key.to_string(),
                    one: first.dir.clone(),
                    other: run.dir,
                    field,
                });
            }
            point.runs.push(run);
        }
        let warnings = warnings(&points);
        Ok(Self { points, warnings })
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Point> {
        self.points.values()
    }

    /// The point of a key.
    pub fn get(&self, key: &Key) -> Option<&Point> {
        self.points.get(key)
    }

    /// The distinct values of a part of the keys, ascending.
    pub fn distinct<T: Ord>(&self, part: impl Fn(&Key) -> T) -> Vec<T> {
        let set: std::collections::BTreeSet<T> = self.points.keys().map(part).collect();
        set.into_iter().collect()
    }

    /// The directories of all runs.
    pub fn dirs(&self) -> Vec<PathBuf> {
        self.iter().flat_map(|point| point.runs.iter().map(|run| run.dir.clone())).collect()
    }
}

/// The part of a plan that must be equal in repetitions.
pub(crate) fn comparable(run: &Run) -> Value {
    let mut plan = run.record.plan.clone();
    if let Some(fields) = plan.as_object_mut() {
        for own in ["run", "seed", "limits", "architecture"] {
            fields.remove(own);
        }
    }
    for list in ["/service/queues", "/service/exchanges"] {
        for item in plan.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(fields) = item.as_object_mut() {
                fields.remove("name");
                fields.remove("binding");
            }
        }
    }
    // Not in the plan, but no two distances are repetitions of each other.
    if let Some(link) = run.record.links.iter().find(|link| link.distance.is_some()) {
        let others = link.distance.as_ref().map(|distance| (distance.jitter_s, distance.loss, distance.reorder));
        plan["distance"] = serde_json::json!([link.host, link.delay_s, others]);
    }
    // Nor two predictions that rest on different things.
    if let Some(prediction) = &run.record.prediction {
        plan["testbed"] = serde_json::json!([prediction.testbed, prediction.scale, prediction.hypotheses]);
    }
    plan
}

/// The part of a plan that must be equal for architectures to be compared. The spread of workers over addresses belongs
/// to the architecture.
fn without_route(run: &Run) -> Value {
    let mut plan = comparable(run);
    plan.as_object_mut().and_then(|fields| fields.remove("spread"));
    plan
}

/// The path of the first field in which two plans differ.
pub fn difference(one: &Value, other: &Value) -> Option<String> {
    let mut first = None;
    differences(one, other, "", &mut |path, _, _| {
        first.get_or_insert_with(|| path.to_owned());
    });
    first
}

fn warnings(points: &BTreeMap<Key, Point>) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut first: BTreeMap<(&str, &str, u32), &Point> = BTreeMap::new();
    let mut unlike: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for (key, point) in points {
        let like = first.entry((&key.workload, &key.pattern, key.consumers)).or_insert(point);
        if let Some(field) = difference(&without_route(&like.runs[0]), &without_route(&point.runs[0])) {
            let of = (&key.workload, &key.pattern, &key.architecture, &like.key.architecture, field);
            unlike.entry(of).or_default().push(key.consumers.to_string());
        }
    }
    warnings.extend(unlike.into_iter().map(|((workload, pattern, architecture, other, field), consumers)| {
        format!(
            "{workload} {pattern} over {architecture} differs from {other} in its plan as well (`{field}`, with {} \
             consumer(s)), so their difference is not the architecture's alone",
            consumers.join(", ")
        )
    }));
    let machines: std::collections::BTreeSet<_> = points
        .values()
        .flat_map(|point| &point.runs)
        .map(|run| (&run.record.environment.cpu_model, run.record.environment.cores))
        .collect();
    if machines.len() > 1 {
        warnings.push(format!("the runs are from {} kinds of machines", machines.len()));
    }
    let limited = points.values().flat_map(|point| &point.runs).filter(|run| run.record.harness.generator_limited);
    let limited = limited.count();
    if limited > 0 {
        warnings.push(format!("{limited} run(s) were generator-limited: they are no result about the route"));
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn run(dir: &str, record: measure::Record) -> Run {
        Run { dir: dir.into(), record }
    }

    #[test]
    fn repetitions_come_together_whatever_their_seed_and_queue_names() {
        let one = sample::record("dts", 2, 100.0);
        let mut other = sample::record("dts", 2, 110.0);
        other.plan["seed"] = 7.into();
        other.plan["service"]["queues"][0]["name"] = "another".into();
        let points =
            Points::of(vec![run("a", one), run("b", other), run("c", sample::record("mss", 2, 50.0))]).unwrap();
        let sizes: Vec<_> = points.iter().map(|point| (point.key.architecture.as_str(), point.runs.len())).collect();
        assert_eq!(sizes, [("dts", 2), ("mss", 1)]);
        assert!(points.warnings.is_empty(), "{:?}", points.warnings);
    }

    #[test]
    fn plans_that_differ_are_rejected_within_a_point_and_reported_between_points() {
        let one = sample::record("dts", 2, 100.0);
        let mut other = sample::record("dts", 2, 110.0);
        other.plan["service"]["prefetch"] = 1.into();
        let error = Points::of(vec![run("a", one.clone()), run("b", other.clone())]).unwrap_err().to_string();
        assert!(error.contains("`a` and `b`") && error.contains("`service.prefetch`"), "{error}");
        other.route.architecture = "mss".to_owned();
        let points = Points::of(vec![run("a", one), run("b", other)]).unwrap();
        assert!(points.warnings[0].contains("`service.prefetch`"), "{:?}", points.warnings);
    }

    #[test]
    fn architectures_that_differ_in_more_than_their_route_are_reported_once_for_all_consumers() {
        let with = |architecture: &str, consumers: u32, key: &str, value: u32| {
            let mut record = sample::record(architecture, consumers, 100.0);
            record.plan[key] = value.into();
            run(&format!("{architecture}-{consumers}"), record)
        };
        let all = |key: &str| {
            let runs = [2, 4].iter().flat_map(|c| [with("dts", *c, key, 1), with("mss", *c, key, 2)]).collect();
            Points::of(runs).unwrap().warnings
        };
        let warnings = all("verify");
        assert!(
            warnings.len() == 1 && warnings[0].contains("mss differs from dts") && warnings[0].contains("2, 4"),
            "{warnings:?}"
        );
        assert!(all("spread").is_empty(), "it belongs to the route");
    }

    #[test]
    fn a_quantity_is_called_by_its_word() {
        for quantity in Quantity::all() {
            assert_eq!(Quantity::called(&quantity.word()), Some(quantity));
        }
        assert_eq!(Quantity::called("rtt_p99"), Some(Quantity::P99(Metric::RttFromDue)));
        assert_eq!(Quantity::called("rtt"), None);
    }

    #[test]
    fn replies_that_are_no_echo_make_another_point() {
        let mut small = sample::record("dts", 2, 100.0);
        small.plan["flow"] = serde_json::json!({ "replies": 1 });
        small.plan["service"]["reply"] = "0B".into();
        assert_eq!(Key::of(&run("a", small)).pattern, "work-sharing+0B");
    }
}
