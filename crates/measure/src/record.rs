//! The record of a run: immutable, versioned, complete.

mod effort;
mod environment;
mod external;
mod fault;
mod harness;
mod load_balancer;
mod neighbour;
mod prediction;
mod reconnection;
mod route;
mod service;

use crate::{Exit, Integrity, LatencySummary, Throughput, Volume};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use thiserror::Error;

pub use effort::Effort;
pub use environment::{Clocks, Environment, Interface, Machine};
pub use external::External;
pub use fault::{Fault, FaultCost};
pub use harness::{Harness, RankSummary, SinkCost, Spread};
pub use load_balancer::{LoadBalancer, Shares};
pub use neighbour::Neighbour;
pub use prediction::{Prediction, Utilisation};
pub use reconnection::{LostConnection, Outage, Outages, Reconnection};
pub use route::{
    Broker, Connection, CpuLimit, Distance, Forwarded, Hop, HopEnd, Link, LinkCount, Provisioned, Route, ServicePart,
    Tls,
};
pub use service::{ServiceNode, ServiceSettings, ServiceView};

/// The version that this crate writes. New optional fields do not change it.
pub const SCHEMA: &str = "streamharness/record/1";

/// Why a text is not a record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// Not JSON, or a field is missing or of another type.
    #[error("this is not a run record ({0}); give the record.json of a streamharness run")]
    Json(#[from] serde_json::Error),
    /// A record of another version.
    #[error(
        "the record is of schema {found:?} and this program reads {SCHEMA:?}; \
         use the version of streamharness that wrote it"
    )]
    OtherSchema {
        /// The schema that the record names.
        found: String,
    },
}

/// Measured fields, and those that are new in each run, as paths without indices. All other fields describe the plan and the
/// place, and are the same in a rerun of the plan in the same place.
pub const MEASURED: [&str; 37] = [
    "run_id",
    "started",
    "repetition",
    "status",
    "plan.run",
    "route.hops.address",
    "route.hops.process",
    "route.parts",
    "route.effort.set_up_s",
    "environment.clock_error_ns",
    "environment.clocks",
    "environment.slurm_job_id",
    "environment.service",
    "throughput",
    "totals",
    "latency",
    "integrity",
    "backpressure",
    "reconnection",
    "links",
    "cpu_limits.periods",
    "cpu_limits.used_up",
    "neighbours",
    "external",
    "faults",
    "transport",
    "load_balancer",
    "harness",
    "service",
    "completion",
    "phases",
    "ranks",
    "assertions",
    "left_behind",
    "failures",
    "warnings",
    "environment.hosts",
];

/// Everything about one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "streamharness run record")]
pub struct Record {
    /// Always [`SCHEMA`].
    pub schema: String,
    /// Unique name of the run. It is in the envelope of every message.
    pub run_id: String,
    /// When the run began, RFC 3339.
    pub started: String,
    /// Which repetition it is; absent where the launch had this run only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repetition: Option<Repetition>,
    /// The cell of an experiment that it belongs to; absent in a run of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<Point>,
    /// How it was predicted; absent if it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prediction: Option<Prediction>,
    /// The verdict.
    pub status: Status,
    /// The resolved plan, as the `profile` crate writes it.
    pub plan: serde_json::Value,
    /// The way the messages took.
    pub route: Route,
    /// How figures show its architecture and workload, where their names are not meant for that.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Where the run took place.
    pub environment: Environment,
    /// How fast messages were delivered.
    pub throughput: Throughput,
    /// How long all of it took.
    #[serde(default)]
    pub completion: Completion,
    /// How much was sent and delivered in all.
    #[serde(default)]
    pub totals: Totals,
    /// How long messages took, by metric. A metric that was not taken, or is withheld, is absent.
    pub latency: BTreeMap<String, LatencySummary>,
    /// The fate of every message.
    pub integrity: Integrity,
    /// How the service held producers back.
    #[serde(default)]
    pub backpressure: Backpressure,
    /// How workers came back after lost connections; absent where a lost connection ends the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnection: Option<Reconnection>,
    /// The service's reports about itself while streaming; absent if its management API was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceView>,
    /// The traffic of each link of the testbed's own network while streaming; empty on any other network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// The parts of the testbed whose CPU is limited, and whether that held them back; empty where none is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpu_limits: Vec<CpuLimit>,
    /// What each other tenant of the service achieved; empty without `[neighbours]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub neighbours: Vec<Neighbour>,
    /// The end that belongs to programs of others; absent where both ends are the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// Faults that the run has caused on purpose, ascending in time, and what each cost; empty without `[[fault]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// Counts of the transport itself by name, summed over all workers, such as packets that the kernel dropped; empty over AMQP.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub transport: BTreeMap<String, u64>,
    /// What the control plane of EJFAT reported about the load balancer; absent on other routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// The cost of the harness itself.
    pub harness: Harness,
    /// Seconds spent in each phase, by name, from `mpi` (its start) and `route` (a testbed, a tunnel, a cluster) on.
    #[serde(default)]
    pub phases: BTreeMap<String, f64>,
    /// The counts of each rank, ascending by rank.
    pub ranks: Vec<RankSummary>,
    /// The assertions, and whether each holds; empty without assertions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<AssertionOutcome>,
    /// Queues and exchanges that the run could not delete, or, if it was killed, had declared; empty if nothing is left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<LeftBehind>,
    /// The failures, each with its rank.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// Warnings for a reader of the numbers.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// How figures show a run's architecture and workload: as its profiles have it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Labels {
    /// The title of the architecture; if it is absent, the name serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// The title of the workload; if it is absent, the name serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// The colour of the architecture in figures, as `#rrggbb`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub colour: Option<String>,
    /// Its marker in figures, by its word in profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<String>,
}

impl Labels {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The verdict on a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether the numbers can be used.
    pub pass: bool,
    /// One sentence; empty if there is nothing to report.
    pub reason: String,
    /// The exit code of the program.
    #[serde(default)]
    pub exit_code: u8,
}

impl Status {
    /// The verdict that goes with an exit code.
    pub fn new(exit: Exit, reason: String) -> Self {
        Self { pass: exit == Exit::Pass, reason, exit_code: exit as u8 }
    }
}

/// A cell of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The experiment, by its name.
    pub experiment: String,
    /// The cell, such as `prs-haproxy_consumers-4`; its repetitions have the same name.
    pub name: String,
}

/// One of several runs that have the same plan: of a launch, or of a cell of an experiment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repetition {
    /// Its number, from 1.
    pub number: u32,
    /// The `run_id` of the first of them.
    pub first_run_id: String,
}

/// How long a run took, warm-up and drain included. On the clock that all ranks share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// From the first publish to the last delivery or reply; absent where nothing arrived.
    pub total_s: Option<f64>,
    /// From the first publish until the first rank with workers had sent or got its last message: far below `total_s`, the
    /// rest was the work of fewer.
    pub first_rank_s: Option<f64>,
}

/// How much was sent and delivered from the start to the end of a run, exactly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Published, each message once.
    pub sent: Volume,
    /// Delivered, duplicates included.
    pub received: Volume,
}

/// How the service held producers back: each of these is the service's doing and no error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backpressure {
    /// Publishes that a full queue refused (`reject-publish`), each counted.
    pub rejected: u64,
    /// Times that the service stopped a connection (`connection.blocked`), over all connections.
    pub blocked_times: u64,
    /// Seconds for which it did, summed over connections.
    pub blocked_s: f64,
}

/// Whether an assertion holds of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssertionOutcome {
    /// As it was typed.
    pub expression: String,
    /// Whether it holds. What was not measured meets no bound.
    pub holds: bool,
    /// The fields that it names, each with what it was.
    pub measured: String,
}

/// Something that a run declared on the service and could not delete.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LeftBehind {
    /// `queue`, `stream` (with all its messages) or `exchange`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The service deletes it by itself so long after its last use; absent where it stays until somebody deletes it.
    #[serde(default)]
    pub expires_s: Option<f64>,
}

/// A failure of a rank.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Where.
    pub rank: u32,
    /// The failure, in one sentence.
    pub message: String,
}

impl Record {
    /// The record as it is kept: indented, and ending in a line feed.
    pub fn to_json(&self) -> String {
        let mut json =
            serde_json::to_string_pretty(self).expect("a record has text keys only, so it can always be written");
        json.push('\n');
        json
    }

    /// Reads a record. Fields that this version does not know are passed over.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the text is not a record, or has another schema.
    pub fn from_json(json: &str) -> Result<Self, RecordError> {
        // The version first: a record of another one may lack what this one needs.
        #[derive(Deserialize)]
        struct Version {
            schema: String,
        }
        let Version { schema } = serde_json::from_str(json)?;
        if schema != SCHEMA {
            return Err(RecordError::OtherSchema { found: schema });
        }
        Ok(serde_json::from_str(json)?)
    }

    /// Whether the service confirmed messages: otherwise the number of confirmed messages is unknown.
    pub fn has_confirms(&self) -> bool {
        self.plan.pointer("/service/confirms").and_then(serde_json::Value::as_str) != Some("none")
    }

    /// Paths of what two runs did differently: fields that are not [`MEASURED`]. Names of queues and exchanges, which have
    /// the number of the run in them, are alike where they are apart from it.
    pub fn done_differently(&self, other: &Self) -> Vec<String> {
        let mut paths = Vec::new();
        let measured = |path: &str| {
            let path: Vec<&str> = path.split('.').filter(|key| key.parse::<usize>().is_err()).collect();
            let path = path.join(".");
            MEASURED.iter().any(|measured| {
                path.strip_prefix(measured).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        differences(&self.without_run(), &other.without_run(), "", &mut |path, _, _| {
            if !measured(path) {
                paths.push(path.to_owned());
            }
        });
        paths
    }

    /// As JSON, with names of its own as if its number were 0.
    fn without_run(&self) -> serde_json::Value {
        let run = self.plan.get("run").and_then(serde_json::Value::as_u64).unwrap_or_default();
        let own = format!("streamharness.{run:08x}.");
        let json = serde_json::to_string(self).expect("a record has text keys only");
        serde_json::from_str(&json.replace(&own, "streamharness.00000000.")).expect("it was just written")
    }

    /// The JSON schema of a record, as docs/record.schema.json keeps it.
    pub fn json_schema() -> String {
        let mut json =
            serde_json::to_string_pretty(&schemars::schema_for!(Self)).expect("a schema is JSON by construction");
        json.push('\n');
        json
    }
}

/// Reports every leaf in which two values differ, with its path and both values; a missing value is null.
pub fn differences(
    one: &serde_json::Value,
    other: &serde_json::Value,
    path: &str,
    report: &mut impl FnMut(&str, &serde_json::Value, &serde_json::Value),
) {
    use serde_json::Value;
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                differences(&of(a), &of(b), &below(key), report);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (one, other)) in a.iter().zip(b).enumerate() {
                differences(one, other, &below(&index.to_string()), report);
            }
        }
        _ if one != other => report(path, one, other),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_record_survives_its_json() {
        let record = sample::record();
        let read = Record::from_json(&record.to_json()).expect("it was just written");
        assert_eq!(read, record);
    }

    #[test]
    fn a_spread_has_its_ends_and_its_middle() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn the_names_are_those_of_the_contract() {
        let json: serde_json::Value = serde_json::from_str(&sample::record().to_json()).expect("a record is JSON");
        for pointer in [
            "/schema",
            "/run_id",
            "/started",
            "/status/pass",
            "/status/reason",
            "/plan",
            "/route/architecture",
            "/route/hops/0",
            "/route/tls/version",
            "/route/tls/cipher",
            "/environment/hosts",
            "/throughput/messages_per_second",
            "/throughput/bits_per_second",
            "/throughput/events_per_second",
            "/throughput/window_s",
            "/throughput/sum_of_rates_messages_per_second",
            "/totals/sent/events",
            "/totals/received/bytes",
            "/latency/confirm/count",
            "/latency/confirm/min_ns",
            "/latency/confirm/p50_ns",
            "/latency/confirm/p90_ns",
            "/latency/confirm/p99_ns",
            "/latency/confirm/p999_ns",
            "/latency/confirm/max_ns",
            "/latency/confirm/saturated",
            "/integrity/sent",
            "/integrity/confirmed",
            "/integrity/rejected",
            "/integrity/returned",
            "/integrity/delivered",
            "/integrity/expected",
            "/integrity/lost",
            "/integrity/duplicated",
            "/integrity/reordered",
            "/integrity/corrupt",
            "/integrity/foreign",
            "/integrity/first_lost/0/sequence",
            "/harness/ceiling_messages_per_second",
            "/harness/cpu_us_per_message",
            "/harness/schedule_lag_p99_ns",
            "/harness/generator_limited",
            "/ranks/0/rank",
            "/ranks/0/host",
            "/ranks/0/role",
        ] {
            assert!(json.pointer(pointer).is_some(), "{pointer} is missing");
        }
        assert!(json.pointer("/integrity/first_duplicated").is_none());
    }

    #[test]
    fn what_a_run_measures_is_no_difference_and_what_it_does_is() {
        let one = sample::record();
        let mut other = one.clone();
        (other.run_id, other.status.pass) = ("5eed0002".to_owned(), true);
        other.plan["run"] = 9.into();
        other.plan["service"]["queues"][0]["name"] = "streamharness.00000009.work.0".into();
        other.latency.clear();
        other.ranks[0].cpu_s = 9.0;
        other.route.hops[0].address = None;
        let mut named = one.clone();
        named.plan["run"] = 7.into();
        named.plan["service"]["queues"][0]["name"] = "streamharness.00000007.work.0".into();
        assert_eq!(named.done_differently(&other), Vec::<String>::new());
        other.plan["service"]["queues"][0]["name"] = "streamharness.00000009.work.1".into();
        other.plan["service"]["prefetch"] = 1.into();
        other.environment.seed = 2;
        other.route.hops[0].protocol = "amqp".to_owned();
        let different =
            ["environment.seed", "plan.service.prefetch", "plan.service.queues.0.name", "route.hops.0.protocol"];
        assert_eq!(named.done_differently(&other), different);
    }

    #[test]
    fn every_measured_path_is_one_of_the_record() {
        let schema: serde_json::Value = serde_json::from_str(&Record::json_schema()).unwrap();
        for path in MEASURED {
            let first = path.split('.').next().unwrap();
            assert!(schema["properties"].get(first).is_some(), "{path}");
        }
    }

    #[test]
    fn fields_from_the_future_are_passed_over() {
        let json = sample::record().to_json().replace("\"run_id\"", "\"mood\": {\"of\": [1]}, \"run_id\"");
        assert!(json.contains("mood"));
        assert_eq!(Record::from_json(&json).expect("unknown fields do no harm"), sample::record());
    }

    #[test]
    fn a_record_of_another_version_is_refused_whatever_it_holds() {
        let error = Record::from_json(r#"{"schema": "streamharness/record/2", "speed": 1}"#)
            .expect_err("version 2 is not ours");
        assert_eq!(
            error.to_string(),
            "the record is of schema \"streamharness/record/2\" and this program reads \
             \"streamharness/record/1\"; use the version of streamharness that wrote it"
        );
        let error = Record::from_json("[]").expect_err("an array is no record");
        assert!(error.to_string().starts_with("this is not a run record"));
    }

    #[test]
    fn the_schema_in_docs_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/record.schema.json");
        let current = Record::json_schema();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &current).expect("docs/ can be written");
        }
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == current,
            "docs/record.schema.json is out of date; run the tests with UPDATE_GOLDEN=1 and review the diff"
        );
    }
}
