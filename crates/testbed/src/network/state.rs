//! The network in `state.json`.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The data needed to enter and to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    pub links: Vec<LinkState>,
    /// The supervisor's descriptor of the clients' namespace.
    pub clients_fd: i32,
    /// Inode numbers of all namespaces, the clients' first: they identify processes that are still inside.
    pub namespaces: Vec<u64>,
}

/// The link between the switch and one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkState {
    /// The host's name, and that of the switch's port.
    pub name: String,
    pub address: Ipv4Addr,
    /// In each direction; `None`: unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// One way.
    pub delay_s: f64,
}
