//! The way that messages took, and what it was made of.

use super::Effort;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One concrete way from producers to consumers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    /// `dts`, `prs-haproxy`, `mss` and so on.
    pub architecture: String,
    /// The hops of the route in the order that a message takes them.
    pub hops: Vec<Hop>,
    /// The parts of a service that the launch built over several hosts, each with its host; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ServicePart>,
    /// What protects the connections between those parts from others in the network; absent without such parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between_parts: Option<String>,
    /// The TLS that the clients negotiated; absent over plain TCP.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The broker at the end of the route.
    #[serde(default)]
    pub broker: Option<Broker>,
    /// The managed service of the run; absent if the run used none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provisioned: Option<Provisioned>,
    /// What the firewall of the service's site lets through from the producers' site, each rule with the architectures that need
    /// it; empty without a firewall.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub firewall: Vec<String>,
    /// What it took to set the route up; absent without a firewall.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
    /// The first producer's connection; absent if there was none.
    #[serde(default)]
    pub producer_connection: Option<Connection>,
    /// The first consumer's connection; absent if there was none.
    #[serde(default)]
    pub consumer_connection: Option<Connection>,
}

/// A part of a service that is spread over hosts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServicePart {
    /// `node 1`, `balancer` and so on.
    pub name: String,
    /// The name of its host.
    pub host: String,
    /// `ADDR:PORT`, the first of its ports.
    pub address: String,
    /// Whether producers or consumers are on the same host.
    pub beside_workers: bool,
}

/// A cluster that a run got through a facility's S3M interface.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Provisioned {
    /// The URL of the interface.
    pub service: String,
    /// Its name.
    pub cluster: String,
    /// The public name that clients connect to.
    pub fqdn: String,
    /// The number of its nodes, if the interface reports it.
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

/// The parameters that a client's connection negotiated, read back from its socket.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// One TCP or TLS connection of a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Hop {
    /// The process that opens the connection.
    #[schemars(with = "String")]
    pub from: HopEnd,
    /// The process that accepts it.
    #[schemars(with = "String")]
    pub to: HopEnd,
    /// `amqp`, `amqps`, `tcp`, `tls` and so on; `nat`: the connection before it, with other addresses.
    pub protocol: String,
    /// Host and port where it is accepted, if it is known.
    #[serde(default)]
    pub address: Option<String>,
    /// The TLS negotiated on this hop, if it has TLS and that is known.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// The program that accepts it, if it is known: `RabbitMQ 3.10.8`, `haproxy (pid 7)`.
    #[serde(default)]
    pub process: Option<String>,
    /// Limits of what accepts it, if it has any and they are known: `0.3 CPU`.
    #[serde(default)]
    pub limits: Option<String>,
    /// The added delay that it crosses, one way, and what adds it, if any: `30 ms by forwarder`.
    #[serde(default)]
    pub distance: Option<String>,
}

/// One end of a hop. In JSON it is a word: `producer`, `consumer`, or the name of a part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum HopEnd {
    /// The producers of the run.
    Producer,
    /// Its consumers.
    Consumer,
    /// A proxy, a balancer, the service.
    Part(String),
}

impl HopEnd {
    /// Its word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Part(name) => name,
        }
    }
}

impl From<&str> for HopEnd {
    fn from(word: &str) -> Self {
        match word {
            "producer" => Self::Producer,
            "consumer" => Self::Consumer,
            part => Self::Part(part.to_owned()),
        }
    }
}

impl From<String> for HopEnd {
    fn from(word: String) -> Self {
        word.as_str().into()
    }
}

impl From<HopEnd> for String {
    fn from(end: HopEnd) -> Self {
        end.as_str().to_owned()
    }
}

impl Default for HopEnd {
    fn default() -> Self {
        Self::Part(String::new())
    }
}

impl fmt::Display for HopEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The result of a TLS handshake.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tls {
    /// Such as `TLSv1.3`.
    pub version: String,
    /// The cipher suite by its IANA name.
    pub cipher: String,
}

/// The broker as it reports itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Broker {
    /// Such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
}

/// The way between the switch of a testbed's network and one host, from a little before the stream began until a little
/// after it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The host: `clients`, `dsn1`, `lb` and so on.
    #[serde(alias = "leg")]
    pub host: String,
    /// Its rate in each direction; absent where it is unlimited.
    #[serde(default)]
    pub rate_bits_per_second: Option<u64>,
    /// Delay that was added, one way.
    pub delay_s: f64,
    /// From the switch to the host.
    pub to_host: LinkCount,
    /// From the host to the switch.
    pub from_host: LinkCount,
    /// What adds the delay, and what else it does; absent on a link without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
}

/// What a link adds besides its rate.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distance {
    /// `netem` (the kernel) or `forwarder` (a process of the testbed).
    pub by: String,
    /// The delay wanders by so much in both directions.
    pub jitter_s: f64,
    /// Share of packets that are lost.
    pub loss: f64,
    /// Share of packets that others overtake.
    pub reorder: f64,
    /// What a TCP socket of any host of the testbed may hold at most; a connection carries no more than that in each round trip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket_bytes: Option<u64>,
    /// What the forwarder handed on to the host; absent with netem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_host: Option<Forwarded>,
    /// What it handed on from the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_host: Option<Forwarded>,
}

/// What the forwarder of a distance did in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Forwarded {
    /// Handed on; segments that travel as one count as one.
    pub packets: u64,
    /// Their bytes, frame headers included.
    pub bytes: u64,
    /// Lost as requested.
    pub lost: u64,
    /// Overtaken as requested, and handed on.
    pub reordered: u64,
    /// Lost because its queue was full.
    pub overflowed: u64,
    /// Lost because the kernel did not take them.
    pub refused: u64,
    /// How late, compared with the delay, half of them were at most.
    pub late_p50_s: Option<f64>,
    /// The same for 99 %.
    pub late_p99_s: Option<f64>,
    /// The same for all: its largest lateness, an eighth too large at most.
    pub late_max_s: Option<f64>,
}

/// A part of a testbed whose CPU is limited as a pod's is, from a little before the stream began until a little after it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CpuLimit {
    /// The part: `s2cs haproxy producer`, `ingress` and so on. What it starts shares its limit.
    pub part: String,
    /// The limit, in cores.
    pub cores: f64,
    /// Periods of 100 ms in which it worked; absent if the kernel does not report them.
    pub periods: Option<u64>,
    /// Those in which it used up its share and stood still until the next.
    pub used_up: Option<u64>,
}

/// One direction of a link, frame headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LinkCount {
    /// In bytes.
    pub bytes: u64,
    /// As the kernel passes them on, several segments in one.
    pub packets: u64,
    /// Frames that found the link's queue full.
    pub drops: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_a_hop_is_a_word_in_json() {
        for (word, end) in [
            ("producer", HopEnd::Producer),
            ("consumer", HopEnd::Consumer),
            ("producer proxy", HopEnd::Part("producer proxy".to_owned())),
        ] {
            let json = serde_json::json!(word);
            assert_eq!(serde_json::to_value(&end).unwrap(), json);
            assert_eq!(serde_json::from_value::<HopEnd>(json).unwrap(), end);
        }
    }
}
