//! The command line.

use crate::host::environment;
use clap::{Args, Parser, Subcommand};
use profile::Role;
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

/// Streams scientific workloads through a RabbitMQ service over cross-facility architectures and measures what each
/// costs.
///
/// Start it with mpirun or srun: each rank becomes a producer or a consumer. Without an address and without a running
/// testbed it starts a local service for the run and removes it afterwards.
#[derive(Debug, Parser)]
#[command(
    name = "streamharness",
    version,
    long_version = environment::version(),
    args_conflicts_with_subcommands = true,
    max_term_width = 110
)]
pub struct Streamharness {
    /// The command [default: run].
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The run.
    #[command(flatten)]
    pub run: Run,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// One run (the default).
    Run(Run),
    /// Every point of an experiment, in one launch.
    Sweep(Sweep),
    /// Print the resolved plan, bytes and memory; connects to nothing.
    Plan {
        /// Number of ranks to resolve it for.
        #[arg(long, default_value_t = 4)]
        ranks: usize,
        /// Number of hosts that the ranks are spread over in blocks: shows which part of the service would be where.
        #[arg(long, default_value_t = 1)]
        hosts: usize,
        /// The run.
        #[command(flatten)]
        run: Run,
    },
    /// Predict what a run or a sweep would measure over a described testbed; connects to nothing.
    Predict(Predict),
    /// Check assertions on finished runs; exits with 5 if one does not hold.
    Assert(Assert),
    /// Compare runs of B with runs of A, metric by metric; exits with 5 on a regression.
    Compare(Compare),
    /// Write one message of a workload to a file, or print its layout, sizes and rate.
    Payload(Payload),
    /// List the shipped architectures, workloads and experiments.
    Profiles {
        /// What each architecture takes besides its speed, from the running testbed: ports, rules, certificates, secrets, processes,
        /// parties, steps, seconds.
        #[arg(long, conflicts_with = "show")]
        effort: bool,
        /// Show one of them: `profiles show NAME`.
        #[arg(num_args = 0..=2, value_names = ["show", "NAME"])]
        show: Vec<String>,
    },
    /// Write all runs of a sweep to one HDF5 file.
    Export(crate::commands::export::ExportArguments),
    /// Make tables, figures and an HTML page from the records of runs.
    Report(crate::commands::report::ReportArguments),
    /// Repeat a run from its record; without a launcher, print the command to type.
    Rerun(Rerun),
    /// A SciStream control server: starts stunnel or HAProxy on request, until it is stopped.
    S2cs(S2cs),
    /// A SciStream user client: requests one half of a tunnel from a control server, or releases it.
    S2uc {
        /// The request.
        #[command(subcommand)]
        command: S2uc,
    },
    /// Managed services, through the S3M streaming API; or a compatible local service.
    S3m {
        /// What to do.
        #[command(subcommand)]
        command: crate::commands::s3m::S3m,
    },
    /// The parts of EJFAT for one machine: a control plane, and a load balancer for UDP.
    Ejfat {
        /// The part.
        #[command(subcommand)]
        command: crate::commands::ejfat::Ejfat,
    },
    /// A real local service: RabbitMQ nodes in a private directory, with proxies in front of them.
    Testbed {
        /// What to do with it.
        #[command(subcommand)]
        command: Testbed,
    },
    /// Holds the tunnel or managed service of a run.
    #[command(hide = true)]
    Hold,
    /// Another tenant of the service beside a run.
    #[command(hide = true)]
    Neighbour {
        /// Its directory.
        out: PathBuf,
    },
    /// Say what this machine has and lacks for a run, with the command that mends each lack; exits with 3 if a run would fail. Under
    /// mpirun or srun it examines the host of every rank.
    Doctor(Doctor),
    /// Ranks meet and part, for `doctor`.
    #[command(hide = true)]
    Meet,
    /// Write the manual pages, one for each command, to a directory.
    Man {
        /// The directory, such as PREFIX/share/man/man1.
        dir: PathBuf,
    },
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// An examination of this machine.
#[derive(Debug, Clone, Args)]
pub struct Doctor {
    /// The service to be reached: a name that resolves, TLS that is trusted, a login.
    #[command(flatten)]
    pub route: RouteFlags,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// One run. The profile checks the values and suggests the nearest right spelling.
#[derive(Debug, Clone, Default, Args)]
pub struct Run {
    /// A profile; flags take precedence over it.
    #[arg(value_name = "PROFILE.toml")]
    pub profile: Option<PathBuf>,
    /// Architecture: dts, dts-plain, prs, prs-stunnel and more (`streamharness profiles`), or a file [default: dts].
    #[arg(long, value_name = "NAME|FILE")]
    pub arch: Option<String>,
    /// Workload: dstream, lstream, generic and more (`streamharness profiles`), or a file [default: dstream].
    #[arg(long, value_name = "NAME|FILE")]
    pub workload: Option<String>,
    /// Files to stream instead of a workload, or a pattern such as 'run42/*.h5'. Repeatable; message.files has more settings.
    #[arg(long, value_name = "FILES", conflicts_with = "workload")]
    pub from: Vec<String>,
    /// Write what arrives to this directory, to be looked at. Such a run is no measurement.
    #[arg(long, value_name = "DIR")]
    pub sink: Option<String>,
    /// Messaging pattern: work-sharing, work-sharing-feedback, broadcast, broadcast-gather
    /// [default: work-sharing].
    #[arg(long, value_name = "NAME")]
    pub pattern: Option<String>,
    /// Producers over all ranks; 0: they are programs of others [default: half of the ranks; one in a broadcast].
    #[arg(long, value_name = "N")]
    pub producers: Option<String>,
    /// Consumers over all ranks; 0: they are programs of others [default: the other ranks].
    #[arg(long, value_name = "N")]
    pub consumers: Option<String>,
    /// Messages of all producers together [default: 20000].
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    pub messages: Option<String>,
    /// Length of the measured window, such as 30s.
    #[arg(long, value_name = "TIME")]
    pub duration: Option<String>,
    /// Warm-up before the measured window: 2s, 500msgs, auto (until the rate is steady), or several joined by +.
    #[arg(long, value_name = "WHAT")]
    pub warmup: Option<String>,
    /// How fast messages are offered, by all producers together: max, nominal (the instrument's), 20000/s, 8Gbit/s
    /// [default: max].
    #[arg(long, value_name = "RATE")]
    pub rate: Option<String>,
    /// Distribution of the times between messages: constant, poisson, on-off:1s-4s, trace:FILE [default: constant].
    #[arg(long, value_name = "HOW")]
    pub arrivals: Option<String>,
    /// Change of the rate over time: `ramp 0..max over 30s, hold 50% for 10s`; the level of the last phase stays.
    #[arg(long, value_name = "PHASES")]
    pub phases: Option<String>,
    /// Where to connect to.
    #[command(flatten)]
    pub route: RouteFlags,
    /// Publisher confirms: none, each, batch:N, window:N.
    #[arg(long, value_name = "HOW")]
    pub confirms: Option<String>,
    /// Consumer acknowledgements: auto, each, multiple:N.
    #[arg(long, value_name = "HOW")]
    pub acks: Option<String>,
    /// Unacknowledged deliveries a consumer may hold; 0 means unlimited.
    #[arg(long, value_name = "N")]
    pub prefetch: Option<String>,
    /// Number of shared work queues.
    #[arg(long, value_name = "N")]
    pub queues: Option<String>,
    /// Stream through this queue, which exists: it is neither declared nor deleted.
    #[arg(long, value_name = "NAME")]
    pub queue: Option<String>,
    /// Send to this exchange, which exists: it is neither declared nor deleted (service.routing_key: the key).
    #[arg(long, value_name = "NAME")]
    pub exchange: Option<String>,
    /// With --consumers 0 or --producers 0: how long to wait for programs of others at the other end before streaming.
    #[arg(long, value_name = "TIME")]
    pub wait_for_peers: Option<String>,
    /// When bodies are built: ring (before the clock starts) or fresh (for each message) [default: ring].
    #[arg(long, value_name = "HOW")]
    pub fill: Option<String>,
    /// Type of the queues: classic, quorum, stream [default: classic].
    #[arg(long, value_name = "TYPE")]
    pub queue_type: Option<String>,
    /// Connections over which each worker spreads its messages [default: 1].
    #[arg(long, value_name = "N")]
    pub connections: Option<String>,
    /// How long a worker that lost its connection tries to come back [default: a lost connection ends the run].
    #[arg(long, value_name = "TIME")]
    pub reconnect: Option<String>,
    /// Placement of workers on ranks: block (producers first), cyclic (in turn), by-host (never both roles on one host)
    /// [default: block].
    #[arg(long, value_name = "HOW")]
    pub layout: Option<String>,
    /// The role of all ranks of this part of a heterogeneous launch, producer or consumer:
    /// `mpirun -n 2 streamharness --role producer ... : -n 6 streamharness --role consumer`. All else comes from rank 0.
    #[arg(long, value_name = "ROLE", conflicts_with = "layout")]
    pub role: Option<Role>,
    /// How long a consumer works on each message: constant:1ms, exponential:1ms, uniform:1ms-3ms.
    #[arg(long, value_name = "DELAY")]
    pub service_time: Option<String>,
    /// How long a producer pauses after each message: the same values.
    #[arg(long, value_name = "DELAY")]
    pub think_time: Option<String>,
    /// Bodies that consumers check: off, every:N, sampled (HDF5: all, inspecting as many as 5 % of a core allows), all
    /// [default: sampled for HDF5, all for other formats].
    #[arg(long, value_name = "WHICH")]
    pub verify: Option<String>,
    /// Seed of every random choice [default: 1].
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Limit on streaming [default: 120s, in addition to the duration].
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// A fault to cause while it streams, such as 'at 10s: restart node 2' or 'at 5s: cut link dsn1 for 2s'; needs --duration
    /// (docs/resilience.md). Repeatable.
    #[arg(long, value_name = "FAULT")]
    pub fault: Vec<String>,
    /// Any other setting of a profile, such as service.republish_limit=10. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Options that are not part of the plan.
    #[command(flatten)]
    pub around: Around,
}

/// Where producers and consumers connect to.
#[derive(Debug, Clone, Default, Args)]
pub struct RouteFlags {
    /// `amqp[s]://user@host:port/vhost` of the service; the password comes from STREAMHARNESS_PASSWORD
    /// or the file STREAMHARNESS_PASSWORD_FILE. Repeatable: workers take turns.
    #[arg(long, value_name = "URL")]
    pub url: Vec<String>,
    /// Address for producers only. Repeatable.
    #[arg(long, value_name = "URL")]
    pub producer_url: Vec<String>,
    /// Address for consumers only. Repeatable.
    #[arg(long, value_name = "URL")]
    pub consumer_url: Vec<String>,
    /// Connect to ADDR:PORT for HOST:PORT, and still verify the certificate against HOST. Repeatable.
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT")]
    pub connect_to: Vec<String>,
    /// Interface of rank 0's host, or its address, at which other hosts reach a testbed that the launch builds [default: one
    /// in a network that all hosts share].
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Hosts that have a broker of a testbed that the launch builds, 1 to 9 [default: 3 of 6 or more hosts, else 1].
    #[arg(long, value_name = "N")]
    pub service_hosts: Option<String>,
    /// Ports that a testbed of the launch's own may use [default: STREAMHARNESS_PORTS in the environment, otherwise any that
    /// are free].
    #[arg(long, value_name = "FROM-TO")]
    pub ports: Option<String>,
    /// Certificates of the authorities to trust (PEM) [default: the system's].
    #[arg(long, value_name = "FILE")]
    pub ca: Option<String>,
    /// Certificate of this client (PEM).
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<String>,
    /// Key of this client (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<String>,
    /// Kind of login: password, or external (the certificate of --cert, as SASL EXTERNAL) [default: password].
    #[arg(long, value_name = "HOW")]
    pub auth: Option<String>,
    /// File with an OAuth 2 token for the login, instead of a password; may be renewed during the run [default: the
    /// file in STREAMHARNESS_TOKEN_FILE].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<String>,
}

/// Options that are not part of the plan: repetitions, assertions, results.
#[derive(Debug, Clone, Default, Args)]
pub struct Around {
    /// Exit with 6 if senders could not keep their schedule and the service was not the cause (needs 1,000 messages to
    /// judge).
    #[arg(long)]
    pub strict: bool,
    /// The service that faults are caused on is yours, although it is no testbed of the run's own, and nobody else is harmed.
    #[arg(long)]
    pub i_own_this_service: bool,
    /// Number of runs in this launch, each with a record of its own. With --until: the maximum, or minimum and maximum,
    /// such as 6-30 [default: 1; with --until 6-30].
    #[arg(long, value_name = "N")]
    pub repeat: Option<String>,
    /// Repeat until a median is this precise, such as 'ci<5%' (of throughput) or 'rtt_p99 ci<10%'.
    #[arg(long, value_name = "WHAT")]
    pub until: Option<String>,
    /// Idle time between repetitions [default: 1s].
    #[arg(long, value_name = "TIME")]
    pub idle: Option<String>,
    /// Exit with 5 if this does not hold for the run, such as 'rtt_p99 < 5ms and lost == 0'. Repeatable.
    #[arg(long = "assert", value_name = "EXPR")]
    pub assertions: Vec<String>,
    /// Directory for the results [default: results/TIME-ARCH-WORKLOAD-PATTERN].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Where it is shown while it runs.
    #[command(flatten)]
    pub shown: crate::rank0::shown::Shown,
}

/// A run to repeat.
#[derive(Debug, Clone, Args)]
pub struct Rerun {
    /// The record.json of a run, or its directory.
    #[arg(value_name = "RECORD")]
    pub record: PathBuf,
    /// Where to connect to, unless the architecture defines it: addresses are not part of the plan.
    #[command(flatten)]
    pub route: RouteFlags,
    /// Options that are not part of the plan.
    #[command(flatten)]
    pub around: Around,
}

/// Runs, and assertions on them.
#[derive(Debug, Clone, Args)]
pub struct Assert {
    /// A record.json, or a directory with one or more in or under it.
    #[arg(value_name = "RECORD")]
    pub records: PathBuf,
    /// Expressions over the fields of a record, such as 'rtt_p99 < 5ms and lost == 0'.
    #[arg(value_name = "EXPR", required = true)]
    pub assertions: Vec<String>,
}

/// Two sets of runs.
#[derive(Debug, Clone, Args)]
pub struct Compare {
    /// Runs to compare with: a record.json, or a directory with one or more in or under it.
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Runs that may be better or worse.
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// By how much B may be worse: it is a regression if the whole 95 % interval is beyond that.
    #[arg(long, value_name = "PERCENT", default_value = "5%")]
    pub tolerance: String,
    /// Compare only this metric, such as throughput or rtt_p99. Repeatable.
    #[arg(long, value_name = "NAME")]
    pub metric: Vec<String>,
    /// Print JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

/// One message of a workload.
#[derive(Debug, Clone, Args)]
pub struct Payload {
    /// Workload: dstream, lstream, generic and more (`streamharness profiles`), or a file.
    #[arg(value_name = "NAME|FILE", required_unless_present = "from")]
    pub workload: Option<String>,
    /// Files to stream instead of a workload, or a pattern such as 'run42/*.h5'. Repeatable; message.files has more settings.
    #[arg(long, value_name = "FILES", conflicts_with = "workload")]
    pub from: Vec<String>,
    /// The producer whose message it is.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub producer: u32,
    /// The message's number, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sequence: u64,
    /// File for the body, exactly as it is streamed.
    #[arg(long, value_name = "FILE", required_unless_present = "describe")]
    pub out: Option<PathBuf>,
    /// Print layout, sizes and nominal rate.
    #[arg(long)]
    pub describe: bool,
    /// When bodies are built: ring or fresh [default: ring].
    #[arg(long, value_name = "HOW")]
    pub fill: Option<String>,
    /// Seed of every random choice [default: 1].
    #[arg(long, value_name = "N")]
    pub seed: Option<String>,
    /// Any other setting of a profile, such as message.events=poisson:8. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// The points of an experiment.
#[derive(Debug, Clone, Args)]
pub struct Sweep {
    /// The experiment: a shipped name (`streamharness profiles` lists them) or a file.
    #[arg(value_name = "EXPERIMENT")]
    pub experiment: String,
    /// Print the points and what they need; connects to nothing.
    #[arg(long)]
    pub plan: bool,
    /// Number of ranks for --plan.
    #[arg(long, value_name = "N", default_value_t = 4, requires = "plan")]
    pub ranks: usize,
    /// Continue an earlier sweep with the same settings: points that passed are not run again.
    #[arg(long)]
    pub resume: bool,
    /// Only cells with these values: arch=prs, consumers=1,2. Repeatable; all must hold.
    #[arg(long, value_name = "AXIS=VALUE,...")]
    pub only: Vec<String>,
    /// Runs of each cell [default: from the experiment].
    #[arg(long, value_name = "N")]
    pub repeat: Option<std::num::NonZeroU32>,
    /// Seed of the order of the points.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub order: u64,
    /// The role of all ranks of this part of a heterogeneous launch: producer or consumer.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Role>,
    /// Any setting that all points share, such as messages=1000. Repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// The service that faults are caused on is yours, although it is no testbed of the launch's own, and nobody else is harmed.
    #[arg(long)]
    pub i_own_this_service: bool,
    /// Where it is shown while it runs.
    #[command(flatten)]
    pub shown: crate::rank0::shown::Shown,
    /// Directory for the results, one in it for each cell [default: results/EXPERIMENT].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// What flags are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FlagsOf {
    /// `testbed up`.
    Up,
    /// `run` and `sweep`.
    Run,
}

/// A run, or the cells of an experiment, to predict.
#[derive(Debug, Clone, Args)]
pub struct Predict {
    /// The described testbed: facility-emulated, olcf-ace, olcf-100g, or a file [default: facility-emulated].
    #[arg(long, value_name = "NAME|FILE")]
    pub testbed: Option<String>,
    /// Factor of the rate of all its links, as for `testbed up`.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    pub scale: f64,
    /// An assumption about it, such as leader=client-local or proxy-cpu=0.3; AXIS may be a file. A NAME stands for a set of
    /// them, such as first-look. Repeatable.
    #[arg(long, value_name = "AXIS=VALUE|NAME")]
    pub hypothesis: Vec<String>,
    /// Number of ranks [default: 4].
    #[arg(long, value_name = "N")]
    pub ranks: Option<usize>,
    /// Predict every cell of this experiment instead of one run: a shipped name (`streamharness profiles`) or a file.
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "profile")]
    pub experiment: Option<String>,
    /// Only cells with these values: arch=prs, consumers=1,2. Repeatable; all must hold.
    #[arg(long, value_name = "AXIS=VALUE,...", requires = "experiment")]
    pub only: Vec<String>,
    /// Judge the paper's claims under every hypothesis instead, and search for those that explain most [default testbed:
    /// olcf-ace; default ranks: 128].
    #[arg(long, conflicts_with_all = ["experiment", "profile"])]
    pub claims: bool,
    /// Only hypotheses of this axis. Repeatable.
    #[arg(long, value_name = "AXIS", requires = "claims")]
    pub axis: Vec<String>,
    /// Print instead the flags that make the hypotheses real, one word in each line: those of `testbed up`, or of `run` and
    /// `sweep`.
    #[arg(long, value_name = "OF", requires = "hypothesis", conflicts_with_all = ["experiment", "profile", "claims"])]
    pub flags: Option<FlagsOf>,
    /// Fit the costs of the testbed to the runs in this directory instead, such as those of overhead-ladder. Repeatable.
    #[arg(long, value_name = "DIR", requires = "output", conflicts_with_all = ["experiment", "profile", "claims"])]
    pub calibrate: Vec<PathBuf>,
    /// File for the fitted testbed.
    #[arg(short, long, value_name = "FILE", requires = "calibrate")]
    pub output: Option<PathBuf>,
    /// The run; for an experiment, what all cells share.
    #[command(flatten)]
    pub run: Run,
}

/// A control server.
#[derive(Debug, Clone, Args)]
pub struct S2cs {
    /// Address for requests; its proxies listen on the same address, and on no other.
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: SocketAddr,
    /// Ports of its proxies.
    #[arg(long, value_name = "FROM-TO")]
    pub ports: String,
    /// Kind of proxy: stunnel, stunnel-null (authenticates, does not encrypt) or haproxy. SciStream's names work too:
    /// StunnelSubprocess is stunnel-null, HaproxySubprocess is haproxy.
    #[arg(long = "type", value_name = "TYPE")]
    pub kind: String,
    /// Host that is reported to clients instead of the address; required if that is `0.0.0.0` or `[::]`.
    #[arg(long, value_name = "HOST")]
    pub advertise: Option<String>,
    /// Its certificate (PEM), which clients need [default: it makes one, server.pem in --dir].
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Tokens of permitted callers, one per line [default: everyone is permitted].
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Its private directory, kept when it ends: configurations, keys, logs.
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
}

/// Requests to a control server.
#[derive(Debug, Clone, Subcommand)]
pub enum S2uc {
    /// Request the half at the service. Writes a new uid to --uid-file and prints the listeners, one per line.
    Inbound {
        /// The server.
        #[command(flatten)]
        server: S2ucServer,
        /// Addresses of the service.
        #[arg(long, value_name = "HOST:PORT", required = true)]
        service: Vec<String>,
        /// Number of ports to request.
        #[arg(long, value_name = "N", default_value_t = 1)]
        num_conn: u32,
    },
    /// Request the half at the producers, with the uid of the other half. Prints the addresses for producers, one per
    /// line.
    Outbound {
        /// The server.
        #[command(flatten)]
        server: S2ucServer,
        /// Listeners of the inbound half, as reached from this half.
        #[arg(value_name = "HOST:PORT", required = true)]
        listeners: Vec<String>,
        /// Number of ports to request [default: as many as listeners].
        #[arg(long, value_name = "N")]
        num_conn: Option<u32>,
    },
    /// Release a half.
    Release {
        /// The server.
        #[command(flatten)]
        server: S2ucServer,
    },
}

/// How to reach a control server.
#[derive(Debug, Clone, Args)]
pub struct S2ucServer {
    /// The control server.
    #[arg(long, value_name = "HOST:PORT")]
    pub s2cs: String,
    /// Its certificate (PEM).
    #[arg(long, value_name = "FILE")]
    pub server_cert: PathBuf,
    /// File with the token that it requires.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// File with the uid, which is the tunnel's key: mode 0600, never on a command line.
    #[arg(long, value_name = "FILE")]
    pub uid_file: PathBuf,
}

/// A testbed to start.
#[derive(Debug, Args)]
pub struct TestbedUp {
    /// Architectures whose routes it builds, side by side: prs-haproxy, prs-stunnel, mss, dts-nlb, ejfat and more, or all;
    /// dts and dts-plain are always there. `all` leaves out what this machine cannot have, as `NAME:if-possible` does, and says why.
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "dts")]
    pub arch: Vec<String>,
    /// RabbitMQ nodes.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// How the ingress of mss chooses a node: source (as OpenShift does), roundrobin, leastconn [default: source].
    #[arg(long, value_name = "HOW")]
    pub balance: Option<String>,
    /// Network of its parts: loopback (ports of this host), or facility (each part on a host of its own, with
    /// limited links; use `testbed exec` to run in it).
    #[arg(long, value_name = "HOW", default_value = "loopback", value_parser = ["loopback", "facility"])]
    pub network: String,
    /// Ports of this host that it may use, such as 20000-20599 [default: STREAMHARNESS_PORTS in the environment, otherwise any
    /// that are free].
    #[arg(long, value_name = "FROM-TO")]
    pub ports: Option<String>,
    /// Rate of each link except the clients', such as 100mbit, or unlimited [default: 1gbit]; HOST=RATE is that of one host's link,
    /// such as ingress=10gbit.
    #[arg(long, value_name = "RATE,...", value_delimiter = ',')]
    pub link: Vec<String>,
    /// One-way delay between the clients and all other hosts, such as 30ms [default: none].
    #[arg(long, value_name = "TIME")]
    pub delay: Option<String>,
    /// The delay between two places, in place of --delay: lan, slac-olcf, anl-olcf, frib-olcf (lower bounds, see `streamharness
    /// profiles show NAME`), or a file of your own.
    #[arg(long, value_name = "NAME", conflicts_with = "delay")]
    pub distance: Option<String>,
    /// TCP's congestion control on every host of the facility network [default: the kernel's].
    #[arg(long, value_name = "NAME", value_parser = ["cubic", "bbr", "reno"])]
    pub congestion: Option<String>,
    /// Producers at a site of their own: the delay is between it and the site of service and consumers.
    #[arg(long)]
    pub sites: bool,
    /// A packet filter between the sites of --sites: open is what the architectures of --arch need, and nothing else.
    #[arg(long)]
    pub firewall: bool,
    /// By how much the delay wanders in both directions, such as 1ms [default: none].
    #[arg(long, value_name = "TIME")]
    pub jitter: Option<String>,
    /// Share of packets that are lost on the way, such as 0.01% [default: none].
    #[arg(long, value_name = "SHARE")]
    pub loss: Option<String>,
    /// Share of packets that others overtake on the way, such as 0.1% [default: none].
    #[arg(long, value_name = "SHARE")]
    pub reorder: Option<String>,
    /// The largest packet of every link in bytes, such as 9000 for jumbo frames [default: 1500].
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u16).range(576..=9216))]
    pub mtu: Option<u16>,
    /// Factor for all link rates, for small machines, such as 0.2 [default: 1].
    #[arg(long, value_name = "FACTOR")]
    pub scale: Option<f64>,
    /// CPUs that a part may use, such as s2cs=0.3 or `node 1=2`: the name of a part in `testbed status`, or the
    /// first words of several names, each with a limit of its own. Repeatable [default: unlimited].
    #[arg(long, value_name = "PART=CPUS")]
    pub cpu_limit: Vec<String>,
    /// Plugin of RabbitMQ to enable in addition to the testbed's own, such as rabbitmq_auth_backend_oauth2.
    /// Repeatable.
    #[arg(long, value_name = "NAME")]
    pub plugin: Vec<String>,
    /// Lines to add to the rabbitmq.conf of every node; the last line of a key counts.
    #[arg(long, value_name = "FILE")]
    pub broker_config: Option<PathBuf>,
    /// Seconds that it may take to start [default: 120].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub start_limit: Option<u64>,
}

/// Commands of the testbed.
#[derive(Debug, Subcommand)]
pub enum Testbed {
    /// Start it and return when it is ready.
    Up(Box<TestbedUp>),
    /// Build one over the hosts of this launch (srun, mpirun; a rank on each host), write what other launches need to reach
    /// it, and hold it until the file `env` among that is removed.
    Span {
        /// Architectures whose routes it builds: prs-haproxy, prs-stunnel, mss and more, or all; dts and dts-plain are always
        /// there.
        #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "dts")]
        arch: Vec<String>,
        /// Hosts that have a broker, 1 to 9 [default: 3 of 6 or more hosts, else 1].
        #[arg(long, value_name = "N")]
        service_hosts: Option<std::num::NonZeroU32>,
        /// Network interface at which hosts reach each other, or its address [default: one in a network that all hosts share].
        #[arg(long, value_name = "NAME")]
        interface: Option<String>,
        /// Ports that it may use, such as 20000-20999 [default: STREAMHARNESS_PORTS, else any free ones].
        #[arg(long, value_name = "FROM-TO")]
        ports: Option<String>,
        /// New directory that all hosts see, for a file of each route, the password and the certificates to trust. It is
        /// removed at the end.
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Show every process with its ports and health, and every link.
    Status,
    /// Print its addresses as shell variables: eval "$(streamharness testbed env)".
    Env,
    /// Run a command with these variables; in a facility network, on the clients' host.
    Exec {
        /// The command and its arguments, after --.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// Stop it and leave nothing behind.
    Down,
}
