//! `state.json`: what runs, written before and after every start so that anyone can clean up later.

use crate::{
    Error, Result,
    limits::Groups,
    managed::ManagedState,
    network::{Allocation, NetworkState},
    ports::Ports,
    process::Process,
    tunnels::{TunnelState, server_of},
};
use serde::{Deserialize, Serialize};
use shortage::FileContext;
use std::{
    collections::BTreeMap,
    fs, io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

/// How far the testbed has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Starting,
    Ready,
    Stopping,
}

/// One process of the testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// `supervisor`, `epmd`, `node 1` ...
    pub name: String,
    /// `None` between the decision to start it and its start.
    pub process: Option<Process>,
    /// The ports that it listens on, each with its protocol.
    pub ports: Vec<(String, u16)>,
    /// Its host, if that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Everything needed to use, check or remove a testbed. Contains no secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub boot_id: String,
    pub phase: Phase,
    pub nodes: usize,
    pub base_port: u16,
    /// How the parts are kept from outliving the supervisor.
    pub isolation: String,
    /// The user the parts run as.
    pub run_as: String,
    pub rabbitmq_version: String,
    /// Additional arguments of the Erlang VM for a machine with few cores; empty otherwise.
    pub scheduling: String,
    pub started_unix_s: u64,
    pub ready_after_ms: Option<u64>,
    pub parts: Vec<Part>,
    /// Routes through proxies.
    pub tunnels: Vec<TunnelState>,
    /// The groups that limit CPU, if any part is limited.
    pub limits: Option<Groups>,
    /// Its own network, if it has one.
    pub network: Option<NetworkState>,
    /// The address at which other hosts reach this one, if its parts listen there.
    #[serde(default)]
    pub reachable: Option<Ipv4Addr>,
    /// The hosts of its parts, if there are several; the parts in this file are those of one.
    #[serde(default)]
    pub allocation: Option<Allocation>,
    /// The managed service's route, if there is one.
    pub managed: Option<ManagedState>,
    /// Seconds until the service was up, and for each route from then on.
    #[serde(default)]
    pub set_up_s: BTreeMap<String, f64>,
    /// Routes that this machine cannot have, each with the reason.
    #[serde(default)]
    pub left_out: Vec<(String, String)>,
}

impl State {
    pub fn path(dir: &Path) -> PathBuf {
        dir.join("state.json")
    }

    /// Written under another name and renamed: a reader never sees half of it.
    pub fn save(&self, dir: &Path) -> Result<()> {
        let (path, new) = (Self::path(dir), dir.join("state.json.new"));
        let text = serde_json::to_string_pretty(self).expect("a state has no maps with odd keys");
        fs::write(&new, text).on("write", &new)?;
        Ok(fs::rename(&new, &path).on("write", &path)?)
    }

    /// `None` without a state file.
    pub fn load(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match fs::read_to_string(&path) {
            Ok(text) => {
                serde_json::from_str(&text).map(Some).map_err(|error| Error::State { path, reason: error.to_string() })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Ok(Err(error).on("read", &path)?),
        }
    }

    /// Where its parts listen.
    pub fn addresses(&self) -> Ports {
        match (&self.network, self.reachable, self.allocation) {
            (Some(network), ..) => Ports::facility(self.nodes, network.producers.is_some()),
            (None, Some(address), _) => Ports::reachable(self.base_port, address),
            (None, None, Some(allocation)) => Ports::allocation(self.base_port, allocation),
            (None, None, None) => Ports::loopback(self.base_port),
        }
    }

    pub fn supervisor(&self) -> Option<Process> {
        self.process("supervisor")
    }

    /// The process of a part.
    pub fn process(&self, name: &str) -> Option<Process> {
        self.parts.iter().find(|part| part.name == name)?.process
    }

    /// The first port that a part listens on.
    pub fn port_of(&self, name: &str) -> Option<u16> {
        self.parts.iter().find(|part| part.name == name)?.ports.first().map(|(_, port)| *port)
    }

    /// The host of a part, if that is another one.
    pub fn host_of(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|part| part.name == name)?.host.as_deref()
    }

    /// The process of a part in words, with its host if that is another one.
    pub fn pid_in_words(&self, name: &str) -> Option<String> {
        let part = self.parts.iter().find(|part| part.name == name)?;
        let host = part.host.as_ref().map(|host| format!(" on {host}")).unwrap_or_default();
        Some(format!("pid {}{host}", part.process?.pid))
    }

    /// Every process, in the order of their start.
    pub fn processes(&self) -> impl Iterator<Item = (&str, Process)> {
        self.parts.iter().filter_map(|part| Some((part.name.as_str(), part.process?)))
    }

    /// The CPU limit of a part, in words; `None`: unlimited.
    pub fn limit_of(&self, part: &str) -> Option<String> {
        let limits = self.limits.as_ref()?.limits();
        let shared = || Some(format!("{} with its S2CS", limits.of(&server_of(part)?)?));
        limits.of(part).map(|cpus| cpus.to_string()).or_else(shared)
    }

    /// Every port that some part listens on.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.parts.iter().flat_map(|part| part.ports.iter().map(|(_, port)| *port))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn example() -> State {
        State {
            boot_id: "boot".into(),
            phase: Phase::Ready,
            nodes: 2,
            base_port: 12000,
            isolation: "pid namespace".into(),
            run_as: "rabbitmq".into(),
            rabbitmq_version: "3.10.8".into(),
            scheduling: "+S 1:1".into(),
            started_unix_s: 1,
            ready_after_ms: Some(2),
            limits: None,
            network: None,
            reachable: None,
            allocation: None,
            managed: Some(ManagedState { balance: "source".into() }),
            set_up_s: [("service".to_owned(), 4.5)].into(),
            left_out: vec![("dts-nlb".into(), "no reason".into())],
            tunnels: vec![TunnelState {
                route: "prs-stunnel".into(),
                kind: "stunnel".into(),
                entries: vec!["127.0.0.1:12510".into()],
                exits: vec!["127.0.0.1:12520".into()],
                targets: vec!["127.0.0.1:12001".into()],
                log: "/nowhere/1.log".into(),
                agreed: None,
            }],
            parts: vec![
                Part {
                    name: "supervisor".into(),
                    process: Some(Process { pid: 1, start_ticks: 2 }),
                    ports: vec![],
                    host: None,
                },
                Part { name: "node 1".into(), process: None, ports: vec![("amqp".into(), 12001)], host: None },
            ],
        }
    }

    #[test]
    fn a_saved_state_is_read_back_unchanged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), None);
        example().save(dir.path()).unwrap();
        assert_eq!(State::load(dir.path()).unwrap(), Some(example()));
    }

    #[test]
    fn a_damaged_state_file_is_reported_with_the_way_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(State::path(dir.path()), "{").unwrap();
        let error = State::load(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("run `streamharness testbed down`"), "{error}");
    }
}
