//! What the hosts of a spread testbed find out and choose before their supervisors start.

use crate::{
    Allocation, Result, Routes, Shared,
    network::Hosts,
    ports::{self, PortRange},
    secrets,
};
use std::net::Ipv4Addr;

/// Bases of ports to try: sites have few other testbeds, and each host checks all of them.
const CANDIDATES: usize = 12;

/// Bases of ports that could be free on all hosts, within `range` if there is one, in random order.
///
/// # Errors
///
/// [`crate::Error`] if the range is too narrow.
pub fn candidate_ports(nodes: usize, routes: &Routes, range: Option<PortRange>) -> Result<Vec<u16>> {
    let bases = ports::candidates(nodes, routes, range, secrets::random_number()?)?;
    Ok(bases.into_iter().take(CANDIDATES).collect())
}

/// Which of these bases are free on this host, for `nodes` broker nodes and the routes.
pub fn free_ports(bases: &[u16], nodes: usize, routes: &Routes, address: Ipv4Addr) -> Vec<bool> {
    bases.iter().map(|base| ports::are_free(*base, nodes, routes, address)).collect()
}

/// New secrets for all hosts.
///
/// # Errors
///
/// [`crate::Error`] if a certificate cannot be made.
pub fn secrets_for(allocation: Allocation) -> Result<Shared> {
    Shared::new(Hosts::Allocation(allocation))
}
