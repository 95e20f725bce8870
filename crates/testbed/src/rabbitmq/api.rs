//! A client of a node's HTTP API. Not rabbitmqctl, because each of its calls boots an Erlang VM.

use super::config::USER;
use crate::{network::Host, ports::Ports};
use serde::Deserialize;
use std::time::Duration;

/// A client for the management listeners of one testbed. It starts no thread: a process that has entered a PID namespace
/// for its children cannot. (Hence no limit on name resolution, which would need one; addresses need no resolution.)
#[derive(Debug)]
pub struct Api {
    agent: ureq::Agent,
    ports: Ports,
    password: String,
}

#[derive(Debug, Deserialize)]
struct Node {
    running: bool,
}

impl Api {
    pub fn new(ports: Ports, password: String) -> Self {
        let limit = Some(Duration::from_secs(2));
        let agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_connect(limit)
            .timeout_send_request(limit)
            .timeout_recv_response(limit)
            .timeout_recv_body(limit)
            .build()
            .into();
        Self { agent, ports, password }
    }

    /// `None` without a reply. The error is dropped on purpose: its text could contain the address with the password.
    fn get(&self, node: usize, path: &str) -> Option<ureq::http::Response<ureq::Body>> {
        let at = self.ports.inner(Host::Dsn(node), self.ports.management(node));
        self.agent.get(format!("http://{USER}:{}@{at}/api/{path}", self.password)).call().ok()
    }

    fn is_ok(&self, node: usize, path: &str) -> Option<bool> {
        Some(self.get(node, path)?.status().is_success())
    }

    /// Whether the node's HTTP API already serves our user.
    pub fn replies(&self, node: usize) -> bool {
        self.is_ok(node, "whoami") == Some(true)
    }

    /// How many nodes of the cluster run, as `node` sees it.
    pub fn running_nodes(&self, node: usize) -> Option<usize> {
        let nodes: Vec<Node> = self.get(node, "nodes")?.body_mut().read_json().ok()?;
        Some(nodes.iter().filter(|node| node.running).count())
    }

    /// Whether the node serves clients on both listeners.
    pub fn listens(&self, node: usize) -> bool {
        [self.ports.amqp(node), self.ports.amqps(node)]
            .into_iter()
            .all(|port| self.is_ok(node, &format!("health/checks/port-listener/{port}")) == Some(true))
    }

    /// Whether the cluster is free of memory and disk alarms, which would block publishers silently. `None` without a
    /// reply.
    pub fn is_free_of_alarms(&self, node: usize) -> Option<bool> {
        self.is_ok(node, "health/checks/alarms")
    }
}
