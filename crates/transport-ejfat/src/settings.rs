//! What the transport is started with.

use ejfat::{Limits, Trust, Uri, Version};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How events get to consumers.
#[derive(Debug, Clone)]
pub enum Route {
    /// Without a load balancer, to the first addresses of receivers: producer i sends to consumer i mod n.
    Direct(Vec<SocketAddr>),
    /// Through a reserved load balancer.
    Balanced {
        /// The reservation.
        uri: Uri,
        /// Whose certificate the control plane may have.
        trust: Trust,
        /// Address of this host, as the load balancer has to see it.
        host: IpAddr,
    },
}

/// The settings.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How events get to consumers.
    pub route: Route,
    /// How replies get to producers, where the pattern has some: through a load balancer of their own, of which producer i demands
    /// slot i, or to the first addresses of producers.
    pub back: Option<Route>,
    /// The largest packet that the links carry.
    pub mtu: u16,
    /// Version of the load balancer's header.
    pub version: Version,
    /// Sockets of each producer.
    pub sockets: usize,
    /// Each consumer has two to the power of this many ports.
    pub port_bits: u8,
    /// Send and receive buffer of each socket.
    pub buffer_bytes: usize,
    /// Limits of the reassembly at each port.
    pub limits: Limits,
    /// Events that wait at a consumer; more are lost and counted.
    pub queue: usize,
    /// From one synchronization packet to the next.
    pub sync_period: Duration,
    /// From one report of a consumer's state to the next.
    pub state_period: Duration,
    /// Limit on each call of the control plane.
    pub limit: Duration,
}
