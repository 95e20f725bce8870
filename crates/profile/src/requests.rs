//! Requests in a route file: a tunnel, a managed service; and the hops of a route.

use crate::values::{Size, Span};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// How long a facility may take to provision.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// A tunnel that rank 0 requests from two SciStream control servers, and releases at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SciStreamProfile {
    /// Addresses of the service, `HOST:PORT`, as reached from the consumers' side: SciStream's remote ip and receiver
    /// ports.
    pub service: Vec<String>,
    /// Ports on each side: SciStream's num_conn.
    pub connections: Option<NonZeroU32>,
    /// The control server at the producers.
    pub producer_side: ControlServerProfile,
    /// The control server at the service.
    pub consumer_side: ControlServerProfile,
    /// File for the tunnel's uid, which is its key, while the tunnel is open; mode 0600 [default: in the working
    /// directory].
    pub uid_file: Option<String>,
}

/// One control server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlServerProfile {
    /// `HOST:PORT` of the control server.
    pub s2cs: String,
    /// File with its certificate (PEM).
    pub certificate: String,
    /// File with the token that it requires.
    pub token_file: Option<String>,
    /// Host at which its proxies are reachable [default: the host that it reports].
    pub host: Option<String>,
    /// `5100-5110:30510-30520`: its proxies' ports, and the ports at which they are reachable.
    pub node_ports: Option<String>,
    /// Its kind of proxy, for the record: `stunnel`, `haproxy`.
    pub proxy: Option<String>,
    /// Limits of the pod or host that it runs in, for the record: `0.3 CPU, 500 MiB`.
    pub limits: Option<String>,
}

/// A managed service that rank 0 requests from an S3M interface, and deletes at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3mProfile {
    /// Address of the interface: `https://s3m.example.org`.
    pub url: String,
    /// Path before each call [default: that of the facility's open enclave].
    pub prefix: Option<String>,
    /// File with the token [default: the value of S3M_TOKEN, or the file in S3M_TOKEN_FILE].
    pub token_file: Option<String>,
    /// File with the authorities to trust for the interface (PEM) [default: those that browsers trust].
    pub ca: Option<String>,
    /// Kind of service to provision: `general`.
    pub kind: Option<String>,
    /// Name of the cluster, at most 40 small letters, digits and dashes [default: one drawn for each launch].
    pub name: Option<String>,
    /// Whether an existing cluster of that name is used, and kept.
    pub reuse: Option<bool>,
    /// Requested resources, such as `nodes = 3`; each must be above 0.
    pub resources: BTreeMap<String, i64>,
    /// Feature flags to set.
    pub feature_flags: Option<BTreeMap<String, bool>>,
    /// How long the cluster may take until clients can connect [default: 10min].
    pub ready_within: Option<Span>,
}

impl S3mProfile {
    /// How long the cluster may take until clients can connect.
    pub fn ready_within(&self) -> Duration {
        self.ready_within.map_or(READY_WITHIN, |span| span.0)
    }
}

/// One hop of a route whose addresses are given, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopProfile {
    /// The side that opens the connection: `producer`, `consumer`, or the acceptor of the previous hop.
    pub from: String,
    /// The side that accepts it.
    pub to: String,
    /// `amqp`, `amqps`, `tcp`, `tls`.
    pub protocol: String,
    /// The address that accepts it.
    #[serde(default)]
    pub address: Option<String>,
    /// The program that accepts it.
    #[serde(default)]
    pub process: Option<String>,
    /// Limits of the accepting program.
    #[serde(default)]
    pub limits: Option<String>,
}

/// A stream of UDP packets, with EJFAT's load balancer or without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EjfatProfile {
    /// Whether producers send to consumers themselves, without a load balancer [default: false].
    pub direct: Option<bool>,
    /// Bytes of the largest packet that the links carry, with its headers [default: 1500].
    pub mtu: Option<u16>,
    /// Version of the load balancer's header, 2 or 3 [default: 3].
    pub version: Option<u8>,
    /// Sockets of each producer [default: 4].
    pub sockets: Option<NonZeroU32>,
    /// Each consumer has two to the power of this many ports [default: 1].
    pub port_bits: Option<u8>,
    /// Send and receive buffer of each socket [default: 4MiB].
    pub buffer: Option<Size>,
    /// How long after its first packet an event is given up [default: 500ms].
    pub give_up: Option<Span>,
    /// Events that may wait at a consumer; what arrives beyond is lost, and counted [default: 1000].
    pub waiting: Option<NonZeroU32>,
}
