//! Errors, each sentence ending in what to do.

use crate::PortRange;
use shortage::{FileError, SystemError};
use std::{io, path::PathBuf};

/// Why a testbed could not be started, found or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{0}; check the directory, or choose another with $STREAMHARNESS_TESTBED")]
    File(#[from] FileError),
    /// A system call failed.
    #[error("{0}; the testbed needs an ordinary Linux with /proc, see `streamharness doctor`")]
    System(#[from] SystemError),
    /// Programs are missing.
    #[error(
        "this host has {what}: apt-get install {packages}, or run launch/setup, or unpack elsewhere and set {variables} (docs/cluster.md)"
    )]
    Missing {
        /// Which, and where they were looked for.
        what: String,
        /// The packages that contain them.
        packages: String,
        /// The variables that name them elsewhere.
        variables: String,
    },
    /// A program is closed to the user of the parts.
    #[error(
        "{} cannot be started as the user {user}: {} is closed to this user; unpack it where all users can read",
        program.display(), closed.display()
    )]
    ClosedProgram {
        /// The program.
        program: PathBuf,
        /// The user of the parts.
        user: String,
        /// The directory that this user cannot enter.
        closed: PathBuf,
    },
    /// Running a broker as host root is refused.
    #[error(
        "a broker never runs as root, and there is no user `rabbitmq` or `nobody` to run it as: start the testbed as an ordinary user"
    )]
    NoUnprivilegedUser,
    /// The number of nodes is out of range.
    #[error("a testbed has 1 to 9 nodes, not {0}: pass --nodes 3")]
    Nodes(usize),
    /// The directory cannot hold a testbed.
    #[error("{} cannot hold a testbed: {reason}; choose another with $STREAMHARNESS_TESTBED", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Someone else is starting or stopping a testbed there.
    #[error("a testbed in {} is just starting or stopping: wait for it, or run `streamharness testbed down`", .0.display())]
    Busy(PathBuf),
    /// There is no testbed. For callers of [`crate::find`] that need one.
    #[error("no testbed is up in {}: run `streamharness testbed up`", .0.display())]
    NotUp(PathBuf),
    /// A testbed is up with other options.
    #[error("a testbed with {running} nodes is up in {}, not {requested}: run `streamharness testbed down` first", path.display())]
    OtherOptions {
        /// Its directory.
        path: PathBuf,
        /// Its number of nodes.
        running: usize,
        /// The requested number of nodes.
        requested: usize,
    },
    /// A testbed is up with another configuration of its broker.
    #[error("the testbed in {} is up with other plugins or lines of rabbitmq.conf: run `streamharness testbed down` first", .0.display())]
    OtherBroker(PathBuf),
    /// The name is not valid for a plugin.
    #[error("`{0}` is not a valid plugin name: give a name such as rabbitmq_auth_backend_oauth2")]
    Plugin(String),
    /// A testbed is up without a requested route.
    #[error("the testbed in {} is up without the route {route}: run `streamharness testbed down` first", path.display())]
    NoRoute {
        /// Its directory.
        path: PathBuf,
        /// The route.
        route: String,
    },
    /// No testbed has such a route.
    #[error(
        "a testbed has no route `{0}`: use dts, dts-plain, dts-nlb, prs-haproxy, prs-haproxy-4, prs-stunnel, prs-stunnel-null, \
         one-proxy, mss, mss-gateway, mss-gateway-3, ingress, ejfat, ejfat-direct or all"
    )]
    Route(String),
    /// This machine cannot have a network load balancer.
    #[error("dts-nlb cannot be built here: {0}")]
    NoNlb(String),
    /// This machine cannot have gateways of the managed service.
    #[error("mss-gateway cannot be built here: {0}")]
    NoGateway(String),
    /// The ingress has no such way to choose a node.
    #[error("`{0}` is not a valid --balance: use source, roundrobin or leastconn")]
    Balance(String),
    /// A route was built and does not work.
    #[error(
        "the broker does not greet through {route} at {entry} ({reason}): look at the logs of its proxies, and try again"
    )]
    RouteDead {
        /// The route.
        route: String,
        /// Where producers would connect.
        entry: String,
        /// The error.
        reason: String,
    },
    /// A control server or a request to one failed.
    #[error(transparent)]
    SciStream(#[from] scistream::Error),
    /// A testbed is up but has lost a part.
    #[error("the testbed in {} has lost {parts}: run `streamharness testbed down`, then `up` again", path.display())]
    Damaged {
        /// Its directory.
        path: PathBuf,
        /// The dead parts.
        parts: String,
    },
    /// No base port is free.
    #[error(
        "no {width} free ports in a row between {from} and {to}: take down other testbeds on this host, or give other ports with --ports"
    )]
    NoPorts {
        /// Lowest port tried.
        from: u16,
        /// Highest port tried.
        to: u16,
        /// Number of consecutive ports of this testbed.
        width: u16,
    },
    /// The ports that were found free are not any more.
    #[error("the ports from {0} on, which were free on all hosts, were taken meanwhile: start the launch again")]
    PortsTaken(u16),
    /// The text is not a range of ports.
    #[error("`{0}` is not a valid range of ports: use FROM-TO between 1024 and 65535, such as 20000-20599")]
    PortRange(String),
    /// The range of ports is too narrow.
    #[error(
        "the ports {range} are too few: this testbed needs {needed} ports, and {further} more for each further one; widen --ports"
    )]
    FewPorts {
        /// The range.
        range: PortRange,
        /// How many a testbed of this kind needs.
        needed: u16,
        /// How many more a further testbed needs.
        further: u16,
    },
    /// A testbed is up on other ports.
    #[error("the testbed in {} is up on ports outside of {range}: run `streamharness testbed down` first", path.display())]
    OtherPorts {
        /// Its directory.
        path: PathBuf,
        /// The requested range.
        range: PortRange,
    },
    /// A part ended while the testbed was starting.
    #[error("{part} ended while starting ({how}); correct the problem in its last lines, and try again:\n{log}")]
    PartDied {
        /// Which part.
        part: String,
        /// Exit code or signal.
        how: String,
        /// The end of its log.
        log: String,
    },
    /// The testbed was not ready in time.
    #[error(
        "{waiting_for} did not happen within {limit_s} s; free some CPU, or give it time (`testbed up --start-limit`). Last lines:\n{log}"
    )]
    StartTimeout {
        /// The awaited step.
        waiting_for: String,
        /// The limit.
        limit_s: u64,
        /// The end of the log of the part that is late.
        log: String,
    },
    /// The caller of the start is gone, or has stopped it.
    #[error("the start was interrupted: run `streamharness testbed up` again")]
    Interrupted,
    /// The supervisor reported a failure; the sentence is its own.
    #[error("{0}")]
    Start(String),
    /// The supervisor exited without a report.
    #[error("the testbed's supervisor exited without a report{0}: run `streamharness testbed up` again")]
    SupervisorLost(String),
    /// Something is left after a teardown.
    #[error("the testbed in {} left behind: {left}; its logs are in {}/log; end these by hand", path.display(), path.display())]
    LeftBehind {
        /// Its directory.
        path: PathBuf,
        /// The leftovers.
        left: String,
    },
    /// The state file cannot be parsed.
    #[error("{} is damaged ({reason}): run `streamharness testbed down`", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("cannot make the testbed's certificates: {0}; please report this")]
    Certificate(#[from] rcgen::Error),
    /// A rate of links that is not valid.
    #[error("`{0}` is not a valid rate of a link: use 1gbit, 100mbit (1 Mbit/s to 100 Gbit/s) or unlimited")]
    Link(String),
    /// A rate for the link of a host that the network does not have.
    #[error("the network has no host `{requested}`; the links are those of {hosts}")]
    LinkHost {
        /// The requested host.
        requested: String,
        /// The existing hosts.
        hosts: String,
    },
    /// A scale factor that is not valid.
    #[error("links cannot be scaled by {0}: use a factor above 0 and up to 1, such as 0.2")]
    Scale(f64),
    /// A delay that is not valid.
    #[error("`{0}` is not a valid delay of a link: use 500us, 1ms or 1s, at most 10s")]
    Delay(String),
    /// A program that builds networks is missing.
    #[error("no program `{0}` on this machine: apt-get install iproute2, or run launch/setup")]
    NoNetworkProgram(&'static str),
    /// The program that sets packet filters is missing.
    #[error("no program `nft` on this machine, which --firewall needs: apt-get install nftables, or run launch/setup")]
    NoNftables,
    /// The kernel does not filter.
    #[error(
        "this kernel cannot filter packets between two sites ({reason}): load the modules nf_tables and nf_tables_bridge, or leave \
         --firewall out"
    )]
    NoFilter {
        /// What nft said.
        reason: String,
    },
    /// Nothing lets a route through.
    #[error(
        "the firewall of the service's site lacks the rule that this route needs, `{rule}` ({source}): start the testbed with \
         --arch {architecture} among its architectures, for which --firewall opens it"
    )]
    Firewall {
        /// The architecture.
        architecture: String,
        /// What it needs.
        rule: String,
        /// What became of an attempt.
        source: io::Error,
    },
    /// Namespaces are not permitted.
    #[error(
        "a facility network needs network namespaces, which are not permitted here: run as root, allow user \
         namespaces, or use --network loopback"
    )]
    NoNamespaces,
    /// A share of packets that is not valid.
    #[error(
        "`{0}` is not a valid share of packets: use 0.01%, at least 0% and below 100%, since a run over lost packets only never ends"
    )]
    Share(String),
    /// More jitter than delay.
    #[error("--jitter is more than --delay, and no packet arrives before it was sent: use a larger --delay")]
    Jitter,
    /// Nothing here can delay packets.
    #[error(
        "{what} needs {}/dev/net/tun, which cannot be used here ({source}): load the module tun and allow this user to open \
         the file, as root does, or leave {what} out; rate limits work without",
        if *.netem { "netem in the kernel (module sch_netem), or " } else { "" }
    )]
    NoDistance {
        /// The options that need it.
        what: &'static str,
        /// Whether netem would do.
        netem: bool,
        /// The error of the system.
        source: io::Error,
    },
    /// The kernel does not have it.
    #[error(
        "this kernel cannot use the congestion control `{name}` ({reason}): load the module tcp_{name}, or leave --congestion out"
    )]
    Congestion {
        /// Its name.
        name: String,
        /// The error.
        reason: String,
    },
    /// More bytes would be on their way than the forwarder keeps.
    #[error(
        "a delay of {delay_ms} ms at {mbit} Mbit/s keeps {needed_mb:.0} MB on their way, more than the {most_mb:.0} MB that the \
         forwarder holds: use a smaller --delay, --link or --scale"
    )]
    Queue {
        /// The longest delay of a packet.
        delay_ms: f64,
        /// The rate of all links of data streaming nodes together.
        mbit: f64,
        /// The queue of one direction.
        needed_mb: f64,
        /// The limit.
        most_mb: f64,
    },
    /// The forwarder did not report its counters in time.
    #[error(
        "the process that carries packets over the distance did not report its counters: see `streamharness testbed status`"
    )]
    NoForwarder,
    /// The kernel has no tbf.
    #[error("this kernel has no tbf (module sch_tbf), which a limited link needs: load it, or use --link unlimited")]
    NoRateLimit,
    /// `ip` or `tc` refused.
    #[error(
        "`{command}` failed ({message}): the facility network needs veth and bridge in the kernel; else use --network loopback"
    )]
    Network {
        /// The command.
        command: String,
        /// Its message.
        message: String,
    },
    /// The counters of a link cannot be read.
    #[error("the counters of the link {0} cannot be read: install iproute2 5 or newer")]
    Counters(String),
    /// A fault that this testbed cannot have.
    #[error("{0}")]
    NoFault(String),
    /// A fault that was not carried out, or not undone.
    #[error("{0}; see `streamharness testbed status`")]
    Fault(String),
    /// The supervisor did not count in time.
    #[error("the testbed's supervisor did not report the counters of its links: see `streamharness testbed status`")]
    NoCounters,
    /// The network cannot be entered.
    #[error("cannot enter the testbed's network: {source}; only root and the user who started the testbed can")]
    Enter {
        /// The error of the system.
        source: io::Error,
    },
    /// The harness is outside of the network.
    #[error(
        "the running testbed has a facility network, which this process is not in: run it as `streamharness testbed exec -- mpirun ...`"
    )]
    Outside,
    /// A testbed is up with another network.
    #[error("a testbed with another network is up in {}: run `streamharness testbed down` first", .0.display())]
    OtherNetwork(PathBuf),
    /// A CPU limit that is not valid.
    #[error("`{0}` is not a valid CPU limit: use PART=CPUS with 0.01 to 1000 CPUs, such as s2cs=0.3")]
    CpuLimit(String),
    /// A CPU limit for a part that this testbed does not have.
    #[error(
        "this testbed has no part `{requested}` to limit: it has {parts}; use one of these or its first word. A data server \
         (s2ds) has the limit of its s2cs"
    )]
    CpuLimitPart {
        /// The requested part.
        requested: String,
        /// The existing parts.
        parts: String,
    },
    /// The kernel or the environment of this process allows no CPU limits.
    #[error(
        "CPU limits need a control group that may be written to ({0}): run as root outside of a container, start the \
         testbed under `systemd-run --user --scope -p Delegate=yes`, or leave --cpu-limit out"
    )]
    NoCpuLimits(String),
    /// A testbed is up with other CPU limits.
    #[error("a testbed with other CPU limits is up in {}: run `streamharness testbed down` first", .0.display())]
    OtherCpuLimits(PathBuf),
    /// A command for `exec` could not be started.
    #[error("cannot run `{command}`: {source}; give a program that is on the PATH")]
    Exec {
        /// The program.
        command: String,
        /// The error of the system.
        source: io::Error,
    },
}
