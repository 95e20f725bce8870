//! The network as `state.json` tells it.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// What has to be known to enter and to judge it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    pub legs: Vec<LegState>,
    /// The supervisor's descriptor of the clients' namespace.
    pub clients_fd: i32,
    /// Inode numbers of all namespaces, the clients' first: whoever is still in one has it.
    pub namespaces: Vec<u64>,
}

/// The way between the switch and one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LegState {
    /// The host's name, and that of the switch's port.
    pub name: String,
    pub address: Ipv4Addr,
    /// In each direction; none is unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// One way.
    pub delay_s: f64,
}
