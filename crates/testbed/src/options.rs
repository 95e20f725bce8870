//! Options of a testbed.

use crate::{
    CpuLimits, Error, Result, Routes, Shared, network::NetworkChoice, ports::PortRange, rabbitmq::extra::BrokerExtras,
};
use shortage::SystemContext;
use std::{path::PathBuf, time::Duration};

/// The parts to start, and their directory.
#[derive(Debug, Clone)]
pub struct Options {
    /// The private directory; it must be new, empty, or an earlier testbed's. An ephemeral testbed chooses its own.
    pub dir: PathBuf,
    /// Broker nodes, 1 to 9.
    pub nodes: usize,
    /// Routes in addition to the direct ones, which always exist.
    pub routes: Routes,
    /// Loopback ports, or a network of its own.
    pub network: NetworkChoice,
    /// The ports that it may use, unless its network is its own [default: `$STREAMHARNESS_PORTS`, otherwise any free ones].
    pub ports: Option<PortRange>,
    /// CPU limits of parts.
    pub cpu_limits: CpuLimits,
    /// Additions to the configuration of every node.
    pub broker: BrokerExtras,
    /// Cores that are left to others if there are enough: those of the ranks of this host.
    pub cores_of_others: Vec<u32>,
    /// The secrets of a testbed over several hosts; `None`: new ones.
    pub shared: Option<Shared>,
    /// The program to start the supervisor from: its `main` calls [`crate::run_hidden`] first.
    pub program: PathBuf,
    /// How long the start may take.
    pub start_limit: Duration,
}

impl Options {
    /// A testbed of `nodes` nodes in the default directory, supervised by this very program.
    ///
    /// # Errors
    ///
    /// [`Error`] if the range of ports in the environment is not valid, or if this program's path is unknown.
    pub fn new(nodes: usize) -> Result<Self> {
        let program = std::env::current_exe().when("find this program's own file")?;
        Ok(Self {
            dir: default_dir(),
            nodes,
            routes: Routes::default(),
            network: NetworkChoice::default(),
            ports: PortRange::of_environment()?,
            cpu_limits: CpuLimits::default(),
            broker: BrokerExtras::default(),
            cores_of_others: Vec::new(),
            shared: None,
            program,
            start_limit: Duration::from_secs(120),
        })
    }

    pub(crate) fn check(&self) -> Result<()> {
        if (1..=9).contains(&self.nodes) { Ok(()) } else { Err(Error::Nodes(self.nodes)) }
    }
}

/// `$STREAMHARNESS_TESTBED`, otherwise `/tmp/streamharness-<uid>/testbed`.
///
/// `/tmp` and not `$TMPDIR`: the next login, or a batch job's other step, must find the same testbed.
pub fn default_dir() -> PathBuf {
    match std::env::var_os("STREAMHARNESS_TESTBED") {
        Some(dir) if !dir.is_empty() => PathBuf::from(dir),
        _ => private_parent().join("testbed"),
    }
}

/// The directory under `/tmp` that belongs to this user.
pub(crate) fn private_parent() -> PathBuf {
    PathBuf::from(format!("/tmp/streamharness-{}", nix::unistd::geteuid()))
}
