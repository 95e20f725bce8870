//! Writes a cluster's files, starts its processes and checks when it is ready.

use super::{
    api::Api,
    config::{self, NodeConfig},
    extra::BrokerExtras,
    install::Install,
};
use crate::{Result, Shared, identity::Identity, network::Host, part, place, ports::Ports, secrets};
use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long a node may take to evaluate a term.
const TOOL_LIMIT_MS: u32 = 10_000;

/// One cluster, its files in `dir`.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    nodes: usize,
    ports: Ports,
    install: Install,
    identity: Identity,
    scheduling: String,
    password: String,
}

/// The progress of a cluster's start.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Number of nodes of this host whose HTTP API replies, not yet all.
    NodesUp(usize),
    /// All reply, but do not yet see each other, or do not yet serve clients.
    Forming,
    /// All see each other and serve clients.
    Ready,
}

impl Cluster {
    /// Writes all files that the nodes of this host need.
    pub fn lay_out(
        dir: &Path,
        nodes: usize,
        ports: Ports,
        install: Install,
        identity: Identity,
        shared: &Shared,
    ) -> Result<Self> {
        let together = (1..=nodes).filter(|node| ports.hosts.starts(Host::Dsn(*node))).count();
        let cluster = Self {
            dir: dir.to_owned(),
            nodes,
            ports,
            install: install.prepared(dir)?,
            identity,
            scheduling: scheduling(together.max(1), cores()),
            password: shared.password.clone(),
        };
        let owner = Some(&cluster.identity);
        let home = dir.join("home");
        place::create(&home, owner)?;
        // Erlang refuses a cookie that others than its owner can read.
        secrets::write(&home.join(".erlang.cookie"), &shared.cookie, 0o400, owner)?;
        let extras = BrokerExtras::left(dir);
        secrets::write(&dir.join("enabled_plugins"), &extras.enabled_plugins(), 0o644, None)?;

        let memory_limit_bytes = memory_limit_bytes(total_memory_bytes(), together.max(1));
        for node in cluster.nodes_here() {
            let node_dir = cluster.node_dir(node);
            place::create(&node_dir, owner)?;
            place::create(&cluster.node_log_dir(node), owner)?;
            let text = config::render(&NodeConfig {
                version: cluster.install.version,
                node,
                nodes,
                ports,
                tls_dir: &place::tls_dir(dir).display().to_string(),
                password: &cluster.password,
                memory_limit_bytes,
            });
            secrets::write(&node_dir.join("rabbitmq.conf"), &extras.appended_to(text), 0o600, owner)?;
        }
        Ok(cluster)
    }

    /// The nodes that this host has.
    pub fn nodes_here(&self) -> Vec<usize> {
        (1..=self.nodes).filter(|node| self.ports.hosts.starts(Host::Dsn(*node))).collect()
    }

    pub fn api(&self) -> Api {
        Api::new(self.ports, self.password.clone())
    }

    /// The broker's.
    pub fn version(&self) -> String {
        self.install.version.to_string()
    }

    /// Arguments of the Erlang VMs for a machine with few cores.
    pub fn scheduling(&self) -> &str {
        &self.scheduling
    }

    fn node_dir(&self, node: usize) -> PathBuf {
        self.dir.join(format!("n{node}"))
    }

    fn node_log_dir(&self, node: usize) -> PathBuf {
        place::log_dir(&self.dir).join(format!("n{node}"))
    }

    /// Our own epmd, in the foreground. An epmd that a node starts by itself becomes a daemon that outlives everything,
    /// and that foreign nodes join.
    pub fn epmd(&self, node: usize) -> Result<Command> {
        let port = self.ports.epmd().to_string();
        let mut command = self.part(&self.epmd_part(node), node, &self.install.epmd)?;
        command.args(["-address", &self.ports.hosts.peer_address(Host::Dsn(node)).to_string(), "-port", &port]);
        Ok(command)
    }

    /// The nodes whose epmd is to be started here: on one host they share that of the first.
    pub fn epmds(&self) -> Vec<usize> {
        if self.ports.hosts.is_one() { vec![1] } else { self.nodes_here() }
    }

    /// The name of a node's epmd as a part.
    pub fn epmd_part(&self, node: usize) -> String {
        if self.ports.hosts.is_one() { "epmd".to_owned() } else { format!("epmd {node}") }
    }

    pub fn epmd_replies(&self, node: usize) -> bool {
        let address = self.ports.peer(Host::Dsn(node), self.ports.epmd());
        TcpStream::connect_timeout(&address.into(), Duration::from_millis(200)).is_ok()
    }

    /// Node `node`, counted from 1. All are started at once; they find each other.
    pub fn node(&self, node: usize) -> Result<Command> {
        let dir = self.node_dir(node);
        let interface = self.ports.hosts.peer_address(Host::Dsn(node)).to_string().replace('.', ",");
        let mut command = self.part(&node_part(node), node, &self.install.server)?;
        command
            .env("ERL_EPMD_PORT", self.ports.epmd().to_string())
            .env("ERL_CRASH_DUMP_SECONDS", "0")
            .env("RABBITMQ_NODENAME", config::node_name(self.ports, node))
            .env("RABBITMQ_USE_LONGNAME", (!self.ports.hosts.is_one()).to_string())
            .env("RABBITMQ_DIST_PORT", self.ports.distribution(node).to_string())
            .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
            .env("RABBITMQ_ADVANCED_CONFIG_FILE", dir.join("none"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
            .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", dir.join("gen"))
            .env("RABBITMQ_PID_FILE", dir.join("pid"))
            .env("RABBITMQ_LOG_BASE", self.node_log_dir(node))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", self.dir.join("enabled_plugins"))
            .env(
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
                format!("-kernel inet_dist_use_interface {{{interface}}} {}", self.scheduling),
            )
            // The start script then becomes the Erlang VM instead of waiting beside it: one process less, and the pid we
            // know is the broker's own.
            .env("RUNNING_UNDER_SYSTEMD", "1");
        Ok(command)
    }

    /// The name of a tool as a part, by its number.
    pub fn tool_part(node: usize, number: u64) -> String {
        format!("ctl {number} of node {node}")
    }

    /// An Erlang VM that has a node of this host evaluate a term, prints the value and ends. Not rabbitmqctl, which takes
    /// seconds to start on a busy machine.
    pub fn tool(&self, node: usize, number: u64, term: &str) -> Result<Command> {
        let name = config::node_name(self.ports, node);
        let host = name.split_once('@').map_or("localhost", |(_, host)| host);
        let kind = if self.ports.hosts.is_one() { "-sname" } else { "-name" };
        let evaluate = format!(
            "{{ok, Tokens, _}} = erl_scan:string(os:getenv(\"TERM_TO_EVALUATE\")), {{ok, Terms}} = erl_parse:parse_exprs(Tokens), \
             case rpc:call('{name}', erl_eval, exprs, [Terms, []], {TOOL_LIMIT_MS}) of \
               {{value, Value, _}} -> io:format(\"~0p~n\", [Value]), halt(0); \
               Failure -> io:format(\"~0p~n\", [Failure]), halt(1) \
             end."
        );
        let mut command = self.part(&Self::tool_part(node, number), node, Path::new("erl"))?;
        command
            .args(["-noinput", "-hidden", kind, &format!("ctl{number}@{host}"), "-eval", &evaluate])
            // It starts no epmd of its own where that of the node is gone, and leaves no dump of itself.
            .args(["-start_epmd", "false", "-kernel", "dist_auto_connect", "once"])
            .env("TERM_TO_EVALUATE", term)
            .env("ERL_EPMD_PORT", self.ports.epmd().to_string())
            .env("ERL_CRASH_DUMP_SECONDS", "0");
        Ok(command)
    }

    fn part(&self, name: &str, node: usize, program: &Path) -> Result<Command> {
        let mut command = part::command(&self.dir, name, program, &self.identity)?;
        command
            .env("LANG", "C.UTF-8")
            .env("PATH", &self.install.path)
            .env("HOME", self.dir.join("home"))
            .env("ERL_EPMD_ADDRESS", self.ports.hosts.peer_address(Host::Dsn(node)).to_string());
        Ok(command)
    }

    /// Checks the cluster once, quickly enough to be repeated.
    pub fn progress(&self, api: &Api) -> Progress {
        let here = self.nodes_here();
        let up = here.iter().filter(|node| api.replies(**node)).count();
        if up < here.len() {
            return Progress::NodesUp(up);
        }
        let formed = here.into_iter().all(|node| {
            api.running_nodes(node) == Some(self.nodes)
                && api.listens(node)
                && api.is_free_of_alarms(node) == Some(true)
        });
        if formed { Progress::Ready } else { Progress::Forming }
    }

    /// The part that a slow start is waiting for.
    pub fn late_part(&self, api: &Api) -> String {
        let late = self.nodes_here().into_iter().find(|node| !api.replies(*node));
        node_part(late.unwrap_or(1))
    }

    /// The boot failure in a node's log: such a node may still take long to end.
    pub fn boot_failure(&self) -> Option<String> {
        let failed = |part: &String| part::output(&self.dir, part).contains("BOOT FAILED");
        self.nodes_here().into_iter().map(node_part).find(failed)
    }

    /// The last lines that `part` printed, or logged if it printed nothing, without the password.
    pub fn last_lines(&self, part: &str) -> String {
        let console = part::console(&self.dir, part);
        let log_dir = part.strip_prefix("node ").map(|node| place::log_dir(&self.dir).join(format!("n{node}")));
        let logs = log_dir.into_iter().flat_map(fs::read_dir).flatten().flatten().map(|entry| entry.path());
        let text = std::iter::once(console)
            .chain(logs)
            .filter_map(|path| fs::read(path).ok())
            .map(|bytes| String::from_utf8_lossy(&bytes).replace(&self.password, "***"))
            .find(|text| !text.trim().is_empty());
        let text = text.unwrap_or_else(|| format!("({part} has printed and logged nothing)"));
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

pub fn node_part(node: usize) -> String {
    format!("node {node}")
}

/// With fewer than four cores per node, each VM gets its share and waits without spinning: three VMs with one scheduler
/// per core each would take the cores from the clients. Otherwise RabbitMQ's defaults are better.
fn scheduling(nodes: usize, cores: usize) -> String {
    if cores >= 4 * nodes {
        return String::new();
    }
    let share = (cores / nodes).max(1);
    format!("+S {share}:{share} +sbwt none +sbwtdcpu none +sbwtdio none")
}

/// 40 % of the memory in equal shares, as one RabbitMQ alone would allow itself; at most 8 GiB a node.
fn memory_limit_bytes(total: u64, nodes: usize) -> u64 {
    (total / 10 * 4 / nodes as u64).clamp(256 << 20, 8 << 30)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn total_memory_bytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(4 << 20) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_share_scarce_cores_and_are_left_alone_where_there_are_plenty() {
        assert!(scheduling(3, 2).starts_with("+S 1:1 "));
        assert!(scheduling(1, 2).starts_with("+S 2:2 "));
        assert_eq!(scheduling(3, 12), "");
    }

    #[test]
    fn the_memory_limits_of_all_nodes_fit_into_the_host() {
        assert_eq!(memory_limit_bytes(10 << 30, 1), (10 << 30) / 10 * 4);
        assert!(3 * memory_limit_bytes(16 << 30, 3) <= 8 << 30);
        assert_eq!(memory_limit_bytes(1 << 40, 3), 8 << 30);
    }
}
