//! The record of a run: immutable, versioned, complete.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Integrity, LatencySummary, Throughput, Volume};

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
        /// What the record says it is.
        found: String,
    },
}

/// What a run measures, or is given for itself: paths of a record without their numbers. All else says what was done and
/// where, and is the same in a rerun of its plan in the same place.
pub const MEASURED: [&str; 25] = [
    "run_id",
    "started",
    "repetition",
    "status",
    "plan.run",
    "route.hops.address",
    "route.hops.process",
    "environment.clock_error_ns",
    "environment.clocks",
    "environment.slurm_job_id",
    "throughput",
    "totals",
    "latency",
    "integrity",
    "backpressure",
    "links",
    "harness",
    "service",
    "completion",
    "phases",
    "ranks",
    "assertions",
    "failures",
    "warnings",
    "environment.hosts",
];

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// The verdict.
    pub status: Status,
    /// The resolved plan, as the `profile` crate writes it.
    pub plan: serde_json::Value,
    /// The way the messages took.
    pub route: Route,
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
    /// What became of every message.
    pub integrity: Integrity,
    /// How the service held producers back.
    #[serde(default)]
    pub backpressure: Backpressure,
    /// What the service told of itself while streaming; absent where its management API was not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceView>,
    /// What each leg of the testbed's own network carried while streaming; empty on any other network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// What the harness itself cost.
    pub harness: Harness,
    /// Seconds spent in each phase, by name.
    #[serde(default)]
    pub phases: BTreeMap<String, f64>,
    /// What each rank did, ascending by rank.
    pub ranks: Vec<RankSummary>,
    /// What was asserted of it, and whether it holds; empty where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub assertions: Vec<AssertionOutcome>,
    /// What went wrong, and where.
    #[serde(default)]
    pub failures: Vec<Failure>,
    /// What a reader should know before using the numbers.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The verdict on a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// Whether the numbers can be used.
    pub pass: bool,
    /// One sentence; empty where there is nothing to say.
    pub reason: String,
    /// What the program exited with.
    #[serde(default)]
    pub exit_code: u8,
}

/// A cell of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// The experiment, by its name.
    pub experiment: String,
    /// The cell, such as `prs-haproxy_consumers-4`; its repetitions have the same name.
    pub name: String,
}

/// One of several runs that have the same plan: of a launch, or of a cell of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Repetition {
    /// Its number, from 1.
    pub number: u32,
    /// The `run_id` of the first of them.
    pub first_run_id: String,
}

/// One concrete way from producers to consumers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// `dts`, `prs-haproxy`, `mss` and so on.
    pub architecture: String,
    /// The legs of the route in the order that a message takes them.
    pub hops: Vec<Hop>,
    /// What the clients negotiated; absent where they spoke plain TCP.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// What answered at the end of the route.
    #[serde(default)]
    pub broker: Option<Broker>,
    /// The managed service that the run asked for; absent where there was none to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Provisioned>,
    /// The first producer's connection; absent where there was none.
    #[serde(default)]
    pub producer_connection: Option<Connection>,
    /// The first consumer's connection; absent where there was none.
    #[serde(default)]
    pub consumer_connection: Option<Connection>,
}

/// A cluster that a run got through a facility's S3M interface.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provisioned {
    /// Where it was asked for.
    pub service: String,
    /// Its name.
    pub cluster: String,
    /// The public name that clients connect to.
    pub fqdn: String,
    /// Nodes that it has, if the interface tells.
    #[serde(default)]
    pub nodes: Option<u32>,
    /// From the request until AMQPS opened.
    pub ready_s: f64,
    /// How long it lives, unless it is extended.
    pub lifetime_s: u64,
    /// Whether it was there before the run and stayed.
    #[serde(default)]
    pub reused: bool,
}

/// What a client's connection agreed on, read back from its socket.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Connection {
    /// Whether small segments are sent at once.
    pub nodelay: Option<bool>,
    /// The socket's send buffer, as the system has it.
    pub send_buffer_bytes: Option<u64>,
    /// The socket's receive buffer, as the system has it.
    pub receive_buffer_bytes: Option<u64>,
    /// TCP's congestion control.
    pub congestion_control: Option<String>,
    /// Largest AMQP frame agreed.
    pub frame_max_bytes: u64,
}

/// The service as its management API showed it while a run streamed. `series.csv` has it second by second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// Where it was asked.
    pub management: String,
    /// How often it was looked at.
    pub samples: u64,
    /// Time between two looks.
    pub interval_s: f64,
    /// The most messages that waited in the run's queues.
    #[serde(default)]
    pub ready_max: Option<u64>,
    /// The most messages that were delivered and not yet acknowledged.
    #[serde(default)]
    pub unacknowledged_max: Option<u64>,
    /// The most memory of all nodes.
    #[serde(default)]
    pub memory_max_bytes: Option<u64>,
    /// The largest part of a node's memory limit that was used.
    #[serde(default)]
    pub memory_of_limit_max: Option<f64>,
    /// The most connections, those of others among them.
    #[serde(default)]
    pub connections_max: Option<u64>,
    /// Alarms that were raised, each with the number of samples in which it was.
    #[serde(default)]
    pub alarms: BTreeMap<String, u64>,
    /// What could not be seen, and why.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How the service is set, as far as its management API told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSettings {
    /// Such as `RabbitMQ`.
    #[serde(default)]
    pub product: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// The version of Erlang that it runs on.
    #[serde(default)]
    pub erlang: Option<String>,
    /// How much it counts by itself: `none`, `basic`, `detailed`.
    #[serde(default)]
    pub rates_mode: Option<String>,
    /// The nodes of the cluster; empty where their state may not be read.
    #[serde(default)]
    pub nodes: Vec<ServiceNode>,
}

/// One node of the service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceNode {
    /// Its name.
    pub name: String,
    /// Whether it ran when the run began.
    pub running: bool,
    /// Processors that it sees.
    #[serde(default)]
    pub processors: Option<u32>,
    /// Above this it blocks publishers.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
    /// With less free space on its disk it blocks publishers.
    #[serde(default)]
    pub disk_free_limit_bytes: Option<u64>,
    /// Plugins that were enabled by name.
    #[serde(default)]
    pub plugins: Vec<String>,
}

/// The way between the switch of a testbed's network and one host, from a little before the stream began until a little
/// after it ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The host: `clients`, `dsn1`, `lb` and so on.
    pub leg: String,
    /// Its rate in each direction; absent where it is unlimited.
    #[serde(default)]
    pub rate_bits_per_second: Option<u64>,
    /// Delay that was added, one way.
    pub delay_s: f64,
    /// From the switch to the host.
    pub to_host: LinkCount,
    /// From the host to the switch.
    pub from_host: LinkCount,
}

/// One direction of a link, frame headers included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkCount {
    /// In bytes.
    pub bytes: u64,
    /// As the kernel passes them on, several segments in one.
    pub packets: u64,
    /// Frames that found the link's queue full.
    pub drops: u64,
}

/// How long a run took, warm-up and drain included. On the clock that all ranks share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Completion {
    /// From the first publish to the last delivery or reply; absent where nothing arrived.
    pub total_s: Option<f64>,
    /// From the first publish until the first rank with workers had sent or got its last message: far below `total_s`, the
    /// rest was the work of fewer.
    pub first_rank_s: Option<f64>,
}

/// How much was sent and delivered from the start to the end of a run, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Published, each message once.
    pub sent: Volume,
    /// Delivered, duplicates included.
    pub received: Volume,
}

/// One TCP or TLS leg of a route.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// Who opens the connection.
    pub from: String,
    /// Who accepts it.
    pub to: String,
    /// `amqp`, `amqps`, `tcp`, `tls` and so on.
    pub protocol: String,
    /// Host and port where it is accepted, if it is known.
    #[serde(default)]
    pub address: Option<String>,
    /// What was negotiated on this leg, if it has TLS and it is known.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The program that accepts it, if it is known: `RabbitMQ 3.10.8`, `haproxy (pid 7)`.
    #[serde(default)]
    pub process: Option<String>,
    /// Limits of what accepts it, if it has any and they are known: `0.3 CPU`.
    #[serde(default)]
    pub limits: Option<String>,
}

/// What a TLS handshake agreed on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// The cipher suite by its IANA name.
    pub cipher: String,
}

/// What a broker says it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Broker {
    /// Such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
}

/// Where a run took place, enough to judge whether two runs can be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The hosts of the ranks, each once.
    pub hosts: Vec<String>,
    /// How many ranks were launched.
    pub world_size: u32,
    /// The processor of rank 0.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Processors that rank 0 may run on.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Kernel release of rank 0.
    #[serde(default)]
    pub kernel: Option<String>,
    /// What the MPI library says it is; absent where there was no MPI.
    #[serde(default)]
    pub mpi_library: Option<String>,
    /// `srun`, `mpirun` and so on, if it could be told.
    #[serde(default)]
    pub launcher: Option<String>,
    /// Job of the batch system, if there was one.
    #[serde(default)]
    pub slurm_job_id: Option<String>,
    /// The nodes that the job got, as Slurm writes them.
    #[serde(default)]
    pub slurm_nodes: Option<String>,
    /// The partition that it ran in.
    #[serde(default)]
    pub slurm_partition: Option<String>,
    /// The hosts of the ranks, with the interfaces that connections used.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// Version of streamharness.
    pub harness_version: String,
    /// How the service is set, where its management API told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSettings>,
    /// Commit that streamharness was built from, if it is known.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// Versions of crates that figures depend on, by name: the AMQP client, MPI, HDF5, TLS.
    #[serde(default)]
    pub crates: BTreeMap<String, String>,
    /// Version of libhdf5.
    #[serde(default)]
    pub hdf5_library: Option<String>,
    /// Every payload and every random choice follows from it.
    pub seed: u64,
    /// How far the clock of any rank may be off rank 0's, if it was measured.
    #[serde(default)]
    pub clock_error_ns: Option<u64>,
    /// How clocks of different hosts were brought together; absent where all ranks shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
}

/// One host of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Its processor.
    pub cpu_model: Option<String>,
    /// Processors that are online.
    pub cores: u32,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// How the kernel chooses the processor's frequency; absent where it does not.
    pub governor: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// TCP's congestion control where a socket asks for no other.
    pub congestion_control: Option<String>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
}

/// A network interface under one of its addresses.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its speed, where it has one.
    pub speed_bits_per_second: Option<u64>,
    /// Largest packet.
    pub mtu_bytes: Option<u64>,
    /// The kernel's driver; absent for virtual ones.
    pub driver: Option<String>,
}

/// How the clocks of several hosts compared, before and after streaming.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clocks {
    /// Hosts with a clock of their own.
    pub hosts: u32,
    /// Bound on the difference of any two ranks' common time, in nanoseconds: that of one-way latency.
    pub pair_error_ns: u64,
    /// By how much the worst clock was off after streaming, in nanoseconds; one-way latency is interpolated over it.
    pub residual_ns: u64,
    /// The largest drift beside rank 0's clock, in nanoseconds per second.
    pub drift_ppb: u64,
}

/// How the service held producers back: each of these is the service's doing and no error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backpressure {
    /// Publishes that a full queue refused (`reject-publish`), each counted.
    pub rejected: u64,
    /// Times that the service stopped a connection (`connection.blocked`), over all connections.
    pub blocked_times: u64,
    /// Seconds for which it did, summed over connections.
    pub blocked_s: f64,
}

/// What the harness cost, so that a number about the system is not one about the harness.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Harness {
    /// What the same loops reach with a transport that does nothing, if it was measured.
    #[serde(default)]
    pub ceiling_messages_per_second: Option<f64>,
    /// Processor time of a producer's loop over a transport that does nothing, per message.
    #[serde(default)]
    pub own_producer_us_per_message: Option<f64>,
    /// Processor time of a consumer's loop over a transport that does nothing, per message, with the
    /// checks that the plan asks for.
    #[serde(default)]
    pub own_consumer_us_per_message: Option<f64>,
    /// Processor time of all ranks over messages sent and received.
    #[serde(default)]
    pub cpu_us_per_message: Option<f64>,
    /// 99 % of the sends were late by at most this; absent where there was no schedule.
    #[serde(default)]
    pub schedule_lag_p99_ns: Option<u64>,
    /// Whether senders could not keep their schedule for reasons of their own. Then the run is not a
    /// result about the system.
    pub generator_limited: bool,
    /// Messages that were overdue when they were sent, because of an earlier stall.
    #[serde(default)]
    pub catchup_messages: u64,
    /// The most of them that a sender sent one after the other.
    #[serde(default)]
    pub catchup_run_max: u64,
    /// Time that senders waited for a confirm, a credit or the socket with a message to send, summed over senders.
    #[serde(default)]
    pub backpressure_ns: u64,
    /// Time in which senders had a message that was overdue, whatever the reason, summed over senders.
    #[serde(default)]
    pub late_ns: u64,
    /// Whether the service held senders back behind their schedule: the offered load exceeds its capacity.
    #[serde(default)]
    pub saturated: bool,
    /// Messages that were due inside the measured window, sent or not; 0 where there was no schedule.
    #[serde(default)]
    pub due_messages: u64,
    /// Of these, sent before the window ended.
    #[serde(default)]
    pub in_time_messages: u64,
    /// Messages that were due before their sender stopped, and were never sent.
    #[serde(default)]
    pub unsent_messages: u64,
    /// Whether clients were short of CPU: a thread ran for over 80 % of the window, or the rate is near the ceiling. Then
    /// the run is no claim about the service.
    #[serde(default)]
    pub client_cpu_high: bool,
    /// Whether more ranks worked on a host than may use its cores.
    #[serde(default)]
    pub oversubscribed: bool,
    /// How ranks with workers differ, by the name of their field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub over_ranks: BTreeMap<String, Spread>,
    /// Connections that were lost and made again.
    #[serde(default)]
    pub reconnects: u64,
    /// The largest resident memory of any rank.
    #[serde(default)]
    pub max_rss_bytes: Option<u64>,
}

/// How a figure differs over ranks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// That of some values; none where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Self { min, median, max })
    }
}

/// What one rank did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankSummary {
    /// Its rank.
    pub rank: u32,
    /// Where it ran.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// `producer`, `consumer`, `producer+consumer` or `idle`.
    pub role: String,
    /// The producers placed on it.
    #[serde(default)]
    pub producers: Vec<u32>,
    /// The consumers placed on it.
    #[serde(default)]
    pub consumers: Vec<u32>,
    /// Messages published for the first time.
    pub sent: u64,
    /// Messages accepted.
    pub confirmed: u64,
    /// Negative confirms.
    pub rejected: u64,
    /// Deliveries, duplicates included.
    pub received: u64,
    /// Body bytes sent and received.
    pub bytes: u64,
    /// Processor time over messages sent and received.
    #[serde(default)]
    pub cpu_us_per_message: Option<f64>,
    /// Processor time, user and system.
    pub cpu_s: f64,
    /// Of `cpu_s`: in the program itself.
    #[serde(default)]
    pub cpu_user_s: f64,
    /// Of `cpu_s`: in the kernel on its behalf.
    #[serde(default)]
    pub cpu_system_s: f64,
    /// Times that a thread gave its core up to wait for something.
    #[serde(default)]
    pub voluntary_switches: u64,
    /// Times that a thread was made to give its core up.
    #[serde(default)]
    pub involuntary_switches: u64,
    /// Cores that it may use at once, by its binding and its control group; absent where that is not known.
    #[serde(default)]
    pub cores: Option<u32>,
    /// The thread that ran the most inside the window.
    #[serde(default)]
    pub busiest_thread: Option<String>,
    /// For which part of the window it ran, spinning apart: of one core.
    #[serde(default)]
    pub busiest_thread_of_core: Option<f64>,
    /// Time inside the window for which threads were ready to run and had no core, summed over threads.
    #[serde(default)]
    pub cpu_wait_s: Option<f64>,
    /// Half of its sends were late by at most this; absent where there was no schedule.
    #[serde(default)]
    pub schedule_lag_p50_ns: Option<u64>,
    /// 99 % of its sends were late by at most this.
    #[serde(default)]
    pub schedule_lag_p99_ns: Option<u64>,
    /// The latest of its sends.
    #[serde(default)]
    pub schedule_lag_max_ns: Option<u64>,
    /// Time from the start to the end of the stream.
    pub wall_s: f64,
    /// The largest resident memory.
    #[serde(default)]
    pub max_rss_bytes: Option<u64>,
    /// Why it failed, if it did.
    #[serde(default)]
    pub failure: Option<String>,
}

/// Whether an assertion holds of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AssertionOutcome {
    /// As it was typed.
    pub expression: String,
    /// Whether it holds. What was not measured meets no bound.
    pub holds: bool,
    /// The fields that it names, each with what it was.
    pub measured: String,
}

/// What went wrong on a rank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// Where.
    pub rank: u32,
    /// What, in one sentence.
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

/// Tells the path of every leaf in which two values differ, and what is there; what is missing is null.
pub fn differences(
    one: &serde_json::Value,
    other: &serde_json::Value,
    path: &str,
    tell: &mut impl FnMut(&str, &serde_json::Value, &serde_json::Value),
) {
    use serde_json::Value;
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let of = |fields: &serde_json::Map<String, Value>| fields.get(key).cloned().unwrap_or_default();
                differences(&of(a), &of(b), &below(key), tell);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (one, other)) in a.iter().zip(b).enumerate() {
                differences(one, other, &below(&index.to_string()), tell);
            }
        }
        _ if one != other => tell(path, one, other),
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
    fn a_spread_is_told_by_its_ends_and_its_middle() {
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
