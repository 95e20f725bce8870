//! What the hosts of a spread testbed find out and choose before their supervisors start.

use crate::{
    Allocation, Result, Routes, Shared, identity::Identity, network::Hosts, ports, rabbitmq::install::Install, secrets,
    tunnels::ControlServers,
};
use scistream::Kind;
use std::net::Ipv4Addr;

/// Bases of ports to try: sites have few other testbeds, and each host checks all of them.
const CANDIDATES: usize = 12;

/// Checks that this host has the programs that the routes need.
///
/// # Errors
///
/// [`crate::Error`] with the one that is missing and its remedy.
pub fn check_programs(routes: &Routes) -> Result<()> {
    Identity::choose()?;
    Install::find()?;
    let managed = routes.managed.map(|_| Kind::Haproxy);
    for kind in ControlServers::kinds(&routes.proxies).into_iter().chain(managed) {
        kind.find()?;
    }
    Ok(())
}

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
