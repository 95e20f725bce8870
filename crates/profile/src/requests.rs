//! What a route file has requested for a run: a tunnel, a managed service, the hops that bytes pass through.

use crate::values::Span;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

/// How long a facility may take to provision.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// A tunnel that rank 0 asks two SciStream control servers for, and releases at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SciStreamProfile {
    /// Addresses of the service, `HOST:PORT`, as the consumers' side reaches them: SciStream's remote ip and receiver ports.
    pub service: Vec<String>,
    /// Ports on each side: SciStream's num_conn.
    pub connections: Option<NonZeroU32>,
    /// The control server at the producers.
    pub producer_side: ControlServerProfile,
    /// The control server at the service.
    pub consumer_side: ControlServerProfile,
    /// Where the tunnel's uid, which is its key, is kept while it is open; mode 0600 [default: in the working directory].
    pub uid_file: Option<String>,
}

/// One control server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlServerProfile {
    /// `HOST:PORT` where it takes requests.
    pub s2cs: String,
    /// File with its certificate (PEM).
    pub certificate: String,
    /// File with the token that it asks for.
    pub token_file: Option<String>,
    /// Host at which its proxies are reached, where that is not the one it tells.
    pub host: Option<String>,
    /// `5100-5110:30510-30520`: its proxies' ports, and those at which they are reached.
    pub node_ports: Option<String>,
    /// What its proxies are, as the facility says: `stunnel`, `haproxy`.
    pub proxy: Option<String>,
    /// Limits of the pod or host that it runs in, as the facility says: `0.3 CPU, 500 MiB`.
    pub limits: Option<String>,
}

/// A managed service that rank 0 asks an S3M interface for, and deletes at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3mProfile {
    /// Where the interface is: `https://s3m.example.org`.
    pub url: String,
    /// Path before each call [default: that of the facility's open enclave].
    pub prefix: Option<String>,
    /// File with the token [default: what S3M_TOKEN holds, or the file that S3M_TOKEN_FILE names].
    pub token_file: Option<String>,
    /// File with the authorities to trust for the interface (PEM) [default: those that browsers do].
    pub ca: Option<String>,
    /// What to provision: `general`.
    pub kind: Option<String>,
    /// Name of the cluster, at most 40 small letters, digits and dashes [default: one drawn for each launch].
    pub name: Option<String>,
    /// Whether a cluster of that name that is there already is used, and left as it is.
    pub reuse: Option<bool>,
    /// Resources to ask for, such as `nodes = 3`; each is above 0.
    pub resources: BTreeMap<String, i64>,
    /// Switches to set.
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

/// One leg of a route whose addresses were given, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopProfile {
    /// Who opens the connection: `producer`, `consumer`, or who accepted the leg before.
    pub from: String,
    /// Who accepts it.
    pub to: String,
    /// `amqp`, `amqps`, `tcp`, `tls`.
    pub protocol: String,
    /// Where it is accepted.
    #[serde(default)]
    pub address: Option<String>,
    /// The program that accepts it.
    #[serde(default)]
    pub process: Option<String>,
    /// Limits of what accepts it.
    #[serde(default)]
    pub limits: Option<String>,
}
