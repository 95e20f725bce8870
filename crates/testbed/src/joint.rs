//! What the hosts of a spread testbed find out and choose before their supervisors start.

use crate::{Allocation, Result, Routes, Shared, network::Hosts, ports, secrets};
use std::net::Ipv4Addr;

/// Bases of ports to try: sites have few other testbeds, and each host checks all of them.
const CANDIDATES: usize = 12;

/// Bases of ports that could be free on all hosts, in random order.
///
/// # Errors
///
/// [`crate::Error`] if the system gives no random numbers.
pub fn candidate_ports() -> Result<Vec<u16>> {
    Ok(ports::candidates(secrets::random_number()?).into_iter().take(CANDIDATES).collect())
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
