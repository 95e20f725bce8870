//! A testbed as data: hosts, links, parts, routes and the cost of each piece of work.

mod check;

use profile::{Rate, Size, Span};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A described testbed. Unknown keys are refused.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Testbed {
    /// One line of description.
    pub about: String,
    /// Where its facts are from.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Pools of cores that several hosts share, each with its number of cores.
    #[serde(default)]
    pub cores: BTreeMap<String, u32>,
    /// The hosts.
    pub hosts: BTreeMap<String, Host>,
    /// The producers' and the consumers' side.
    pub clients: Clients,
    /// The service.
    pub service: Cluster,
    /// Connections and packets.
    pub wire: Wire,
    /// The cost of each piece of work.
    pub costs: Costs,
    /// Proxies and balancers.
    #[serde(default)]
    pub parts: BTreeMap<String, Part>,
    /// The routes, by the name that an architecture has for its testbed.
    pub routes: BTreeMap<String, Route>,
}

/// A host, or several that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its cores: a number, or the name of a pool.
    pub cores: Cores,
    /// The rate of its link in each direction; absent: unlimited.
    pub link: Option<Rate>,
    /// How long a bit takes between it and the switch.
    pub delay: Option<Span>,
    /// How many hosts of this kind there are; only for hosts of clients and of parts.
    #[serde(default = "one")]
    pub count: u32,
}

/// Cores of a host.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Cores {
    /// Its own.
    Own(u32),
    /// Those of a pool.
    Pool(String),
}

/// Where ranks run. Ranks are dealt out over the hosts of their side in blocks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clients {
    /// The hosts of producers.
    pub producers: String,
    /// The hosts of consumers.
    pub consumers: String,
}

/// The brokers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cluster {
    /// The host of each node.
    pub nodes: Vec<String>,
    /// Where the service places queues if the plan leaves it to the service.
    pub leader: Leader,
    /// Messages of one connection that a node takes in before its queues have them (credit flow).
    pub credit: u32,
}

/// The node of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leader {
    /// The node that clients are connected to.
    ClientLocal,
    /// The node with the fewest queues, the addressed one first.
    Balanced,
}

/// Connections and packets.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wire {
    /// Most that the sender of a connection holds between two processes.
    pub buffer: Size,
    /// Each of n connections with messages over one link to a host holds this over the root of n, if that is less; absent: no less.
    #[serde(default)]
    pub shared_buffer: Option<Size>,
    /// What the receiver of a connection holds beside that, of what it has not read; absent: nothing.
    #[serde(default)]
    pub receive_buffer: Option<Size>,
    /// Largest packet of the model: what a part reads at once.
    pub packet: Size,
    /// Bytes that each message has beside its body: frames, properties, envelope.
    pub message_bytes: Size,
    /// Bytes of a confirm or an acknowledgement.
    pub control_bytes: Size,
    /// Bytes of headers on a link per byte of data.
    pub overhead: f64,
    /// What each of the connections that fill a link together gets of it.
    #[serde(default)]
    pub sharing: Sharing,
    /// The queue in front of each direction of a limited link, as the time in which all of it passes; absent: none.
    #[serde(default)]
    pub queue: Option<Span>,
    /// How long nothing enters that queue when more waits than it holds for the first time, as connections of TCP lose packets together
    /// and wait.
    #[serde(default)]
    pub stall: Option<Span>,
}

/// Shares of a link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// As much as the others, packet by packet.
    #[default]
    Equal,
    /// A share that is drawn, and drawn again after as many bytes as its buffers hold.
    Drawn,
}

/// What a piece of work costs on one core.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Work {
    /// Microseconds per message.
    pub us: f64,
    /// Microseconds per packet.
    pub packet_us: f64,
    /// Nanoseconds per byte.
    pub byte_ns: f64,
}

/// The cost of each piece of work.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// A client publishes a message.
    pub publish: Work,
    /// A client receives and checks a message.
    pub consume: Work,
    /// A client sends or receives a confirm or an acknowledgement.
    pub client_control: Work,
    /// A node reads a message from a client's connection.
    pub receive: Work,
    /// A queue takes a message in.
    pub enqueue: Work,
    /// A queue hands a message out.
    pub dequeue: Work,
    /// A node writes a message to a client's connection.
    pub deliver: Work,
    /// A node sends a message to another node, or receives it.
    pub transfer: Work,
    /// A node sends or receives a confirm or an acknowledgement.
    pub node_control: Work,
    /// TLS at either end of a connection.
    pub tls: Work,
}

/// A proxy or a balancer.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its host.
    pub host: String,
    /// Its share of cores, if it is limited to one.
    pub cpu: Option<f64>,
    /// Its threads; a connection stays on one of them.
    #[serde(default = "one")]
    pub threads: u32,
    /// What passing a packet on costs, TLS included.
    pub work: Work,
}

/// A route between clients and the service.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The parts between a producer and its node, in their order.
    #[serde(default)]
    pub producer: Vec<String>,
    /// The parts between a consumer and its node, in their order.
    #[serde(default)]
    pub consumer: Vec<String>,
    /// Whether clients and nodes speak TLS.
    pub tls: bool,
    /// The node that connections over parts reach.
    #[serde(default)]
    pub behind_parts: Behind,
    /// Ports that lead to one node after the other; absent: each connection does.
    pub ports: Option<u32>,
    /// Addresses of its first part, one on each of its hosts, over which workers spread as their profile says; absent: one.
    pub addresses: Option<u32>,
}

/// The node that a connection over parts reaches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behind {
    /// The first.
    #[default]
    First,
    /// One after the other.
    RoundRobin,
}

fn one() -> u32 {
    1
}
