//! The current status of each part of a testbed, as a table.

use crate::{
    Result,
    ejfat::{self, EJFAT_CONTROL},
    managed::{self, BALANCER, INGRESS},
    network::{LinkState, NetworkState, host_of_part},
    nlb::{NLB, Nlb},
    ports::Ports,
    process::Proc,
    rabbitmq::{api::Api, cluster::node_part},
    routes::DTS_NLB,
    s3m::{self, S3M},
    state::State,
};
use serde::Serialize;
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// A testbed and its parts.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// Its private directory.
    pub dir: PathBuf,
    /// The broker's version.
    pub rabbitmq_version: String,
    /// How the parts are kept from outliving the supervisor.
    pub isolation: String,
    /// The user the parts run as.
    pub run_as: String,
    /// How long the start took.
    pub ready_after_ms: Option<u64>,
    /// In the order of their start.
    pub parts: Vec<PartStatus>,
    /// Links of its own network, ready to print; empty without one.
    pub links: Vec<String>,
    /// What the firewall between its sites lets through, ready to print; `None` without one.
    pub firewall: Option<Vec<String>>,
    /// The producers' hops on each route.
    pub routes: Vec<String>,
    /// Routes that this machine cannot have, each with the reason.
    pub left_out: Vec<(String, String)>,
}

/// One process.
#[derive(Debug, Clone, Serialize)]
pub struct PartStatus {
    /// `supervisor`, `epmd`, `node 1` ...
    pub name: String,
    /// Its pid, once it was started.
    pub pid: Option<i32>,
    /// Where it is, in a network of the testbed's own.
    pub address: Option<String>,
    /// The ports that it listens on, each with its protocol.
    pub ports: Vec<(String, u16)>,
    /// Its CPU limit, and for how long it was throttled; `None`: unlimited.
    pub limits: Option<String>,
    /// `alive` or `running` if healthy.
    pub health: String,
}

impl Status {
    /// Whether every part is healthy.
    pub fn is_healthy(&self) -> bool {
        self.parts.iter().all(|part| matches!(part.health.as_str(), "alive" | "running"))
    }
}

pub fn look(dir: &Path, state: &State, ports: Ports, password: Option<String>) -> Result<Status> {
    let proc = Proc::open()?;
    let api = password.map(|password| Api::new(ports, password));
    let node_health = |node: usize| match &api {
        None => "alive (its password is not readable for you)",
        Some(api) => match (api.running_nodes(node), api.is_free_of_alarms(node)) {
            (Some(running), _) if running < state.nodes => "running, but some node of the cluster is not",
            (Some(_), Some(true)) => "running",
            (Some(_), Some(false)) => "ALARM: memory or disk, publishers are blocked",
            _ => "its HTTP API does not respond",
        },
    };
    let nlb_greets = || managed::greets_at(dir, Nlb { ports, nodes: state.nodes }.at(), DTS_NLB);
    let health = |part: &crate::state::Part| match part.process {
        None => "not started",
        Some(process) if !proc.is_alive(process) => "dead",
        Some(_) if part.name == INGRESS && !managed::is_up(ports, INGRESS) => "it takes no connections",
        Some(_) if part.name == EJFAT_CONTROL && !ejfat::control_is_up(ports) => "it takes no connections",
        Some(_) if part.name == S3M && !s3m::is_up(ports) => "it takes no connections",
        Some(_) if part.name == BALANCER && managed::greets(dir, ports).is_err() => "no broker greets through it",
        Some(_) if part.name == NLB && nlb_greets().is_err() => "no broker greets through it",
        Some(_) => (1..=state.nodes).find(|node| node_part(*node) == part.name).map_or("alive", node_health),
    };
    let parts = state.parts.iter().map(|part| PartStatus {
        name: part.name.clone(),
        address: state.network.as_ref().map(|_| ports.hosts.address(host_of_part(ports.hosts, &part.name)).to_string()),
        pid: part.process.map(|process| process.pid),
        ports: part.ports.clone(),
        limits: limits(state, &part.name),
        health: health(part).to_owned(),
    });
    Ok(Status {
        dir: dir.to_owned(),
        rabbitmq_version: state.rabbitmq_version.clone(),
        isolation: state.isolation.clone(),
        run_as: state.run_as.clone(),
        ready_after_ms: state.ready_after_ms,
        parts: parts.collect(),
        links: state.network.iter().flat_map(links).collect(),
        firewall: state.network.as_ref().and_then(firewall),
        routes: Vec::new(),
        left_out: state.left_out.clone(),
    })
}

/// The limit of a part, and for how long its threads were throttled so far.
fn limits(state: &State, part: &str) -> Option<String> {
    let held_back = state.limits.as_ref().and_then(|groups| groups.held_back(part));
    let held_back = held_back.map(|time| format!(", held back {:.1} s", time.as_secs_f64())).unwrap_or_default();
    Some(state.limit_of(part)? + &held_back)
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# testbed    {}", self.dir.display())?;
        writeln!(f, "# RabbitMQ   {}, run as {}", self.rabbitmq_version, self.run_as)?;
        writeln!(f, "# sandbox    {}", self.isolation)?;
        if let Some(ms) = self.ready_after_ms {
            writeln!(f, "# ready in   {:.1} s", ms as f64 / 1000.0)?;
        }
        self.links.iter().try_for_each(|link| writeln!(f, "# link       {link}"))?;
        self.firewall.iter().flatten().try_for_each(|line| writeln!(f, "# firewall   {line}"))?;
        let rows: Vec<[String; 5]> = self.parts.iter().map(row).collect();
        let heads = ["part", "pid", "port", "limits", "health"].map(String::from);
        let width = |column: usize| rows.iter().chain([&heads]).map(|row| row[column].len()).max().unwrap_or(0);
        let (name, pid, port, limits) = (width(0), width(1), width(2), width(3));
        let limited = self.parts.iter().any(|part| part.limits.is_some());
        for [a, b, c, d, e] in [&heads].into_iter().chain(&rows) {
            write!(f, "{a:name$}  {b:>pid$}  {c:port$}  ")?;
            if limited {
                write!(f, "{d:limits$}  ")?;
            }
            writeln!(f, "{e}")?;
        }
        self.routes.iter().try_for_each(|route| writeln!(f, "# route {route}"))?;
        self.left_out.iter().try_for_each(|(_, reason)| writeln!(f, "# left out {reason}"))
    }
}

/// Each link, and what their hosts have in common.
fn links(network: &NetworkState) -> Vec<String> {
    let congestion = network.congestion.iter().map(|congestion| format!("all hosts: TCP with {congestion}"));
    let socket_bytes = network.links.iter().find_map(|link| link.distance.as_ref()?.socket_bytes);
    let sockets = socket_bytes.map(|bytes| format!("all hosts: TCP sockets hold up to {} MiB", bytes >> 20));
    let mtu = network.mtu.iter().map(|mtu| format!("all links: packets of up to {mtu} bytes"));
    network.links.iter().map(link).chain(mtu).chain(congestion).chain(sockets).collect()
}

/// What passes from the other site, last that nothing else does.
fn firewall(network: &NetworkState) -> Option<Vec<String>> {
    let rules = network.firewall.as_ref()?.iter().map(ToString::to_string);
    Some(rules.chain(["nothing else from the producers' site".to_owned()]).collect())
}

fn link(link: &LinkState) -> String {
    let rate = link.rate_bits_per_second.map_or("unlimited".to_owned(), |rate| format!("{} Mbit/s", rate as f64 / 1e6));
    let distance = link.distance_in_words().unwrap_or_else(|| "0 ms".to_owned());
    format!("{:8} {:11} {rate}, delay {distance}", link.name, link.address)
}

fn row(part: &PartStatus) -> [String; 5] {
    let ports: Vec<String> = part.ports.iter().map(|(protocol, port)| format!("{port} {protocol}")).collect();
    let dash = || "-".to_owned();
    [
        part.name.clone(),
        part.pid.map_or_else(dash, |pid| pid.to_string()),
        match (&part.address, ports.is_empty()) {
            (_, true) => dash(),
            (Some(address), false) => format!("{address}: {}", ports.join(", ")),
            (None, false) => ports.join(", "),
        },
        part.limits.clone().unwrap_or_else(dash),
        part.health.clone(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_aligned_and_marks_dead_parts() {
        let part = |name: &str, pid, ports, health: &str| PartStatus {
            name: name.into(),
            pid,
            address: None,
            ports,
            limits: None,
            health: health.into(),
        };
        let mut status = Status {
            dir: "/tmp/t".into(),
            rabbitmq_version: "3.10.8".into(),
            isolation: "PID namespace".into(),
            run_as: "rabbitmq".into(),
            ready_after_ms: Some(4940),
            parts: vec![
                part("epmd", Some(7), vec![("epmd".into(), 12169)], "alive"),
                part("node 1", Some(12345), vec![("amqp".into(), 12001), ("amqps".into(), 12011)], "dead"),
            ],
            links: vec![],
            firewall: None,
            routes: vec!["dts: producer -amqps> localhost:12011 RabbitMQ 3.10.8".into()],
            left_out: vec![],
        };
        let expected = "\
# testbed    /tmp/t
# RabbitMQ   3.10.8, run as rabbitmq
# sandbox    PID namespace
# ready in   4.9 s
part      pid  port                     health
epmd        7  12169 epmd               alive
node 1  12345  12001 amqp, 12011 amqps  dead
# route dts: producer -amqps> localhost:12011 RabbitMQ 3.10.8
";
        assert_eq!(status.to_string(), expected);
        assert!(!status.is_healthy());

        status.parts[1].limits = Some("0.3 CPU, held back 1.5 s".into());
        let table = status.to_string();
        assert!(table.contains("  port                     limits                    health\n"), "{table}");
        assert!(table.contains("  12001 amqp, 12011 amqps  0.3 CPU, held back 1.5 s  dead\n"), "{table}");
        assert!(table.contains("  12169 epmd               -                         alive\n"), "{table}");
    }
}
