//! Messages about a reservation and its senders.

use super::{Count, Timestamp, WorkerStatus};
use crate::uri::{DataAddress, Uri};
use std::net::{IpAddr, SocketAddr};

/// Reserves a load balancer.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Reserve {
    /// Name of the reservation, for people.
    #[prost(string, tag = "2")]
    pub name: String,
    /// When it ends; absent: in a year.
    #[prost(message, optional, tag = "4")]
    pub until: Option<Timestamp>,
    /// Addresses that may send.
    #[prost(string, repeated, tag = "5")]
    pub sender_addresses: Vec<String>,
    /// Families of addresses: 0 both, 1 IPv4, 2 IPv6.
    #[prost(int32, tag = "6")]
    pub ip_family: i32,
    /// How slots are given: `dynamic` or empty, `static`, `explicit`.
    #[prost(string, tag = "10")]
    pub strategy: String,
}

/// A reservation: the reply to `Reserve`, and without token and URI to `Get`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Reservation {
    /// The reservation's token.
    #[prost(string, tag = "1")]
    pub token: String,
    /// Its id.
    #[prost(string, tag = "2")]
    pub lb_id: String,
    /// Where synchronization packets go.
    #[prost(string, tag = "3")]
    pub sync_ipv4_address: String,
    /// The port there.
    #[prost(uint32, tag = "4")]
    pub sync_udp_port: u32,
    /// Where data goes.
    #[prost(string, tag = "5")]
    pub data_ipv4_address: String,
    /// The same over IPv6.
    #[prost(string, tag = "6")]
    pub data_ipv6_address: String,
    /// The load balancer.
    #[prost(uint32, tag = "7")]
    pub fpga_lb_id: u32,
    /// Where synchronization packets go over IPv6.
    #[prost(string, tag = "8")]
    pub sync_ipv6_address: String,
    /// The first port for data.
    #[prost(uint32, tag = "9")]
    pub data_min_port: u32,
    /// The last port for data.
    #[prost(uint32, tag = "10")]
    pub data_max_port: u32,
    /// How slots are given.
    #[prost(string, tag = "11")]
    pub strategy: String,
    /// All of this as an address.
    #[prost(string, tag = "12")]
    pub ejfat_uri: String,
}

impl Reservation {
    /// An address that names this reservation, with the addresses that it lacks.
    #[must_use]
    pub fn complete(&self, mut uri: Uri) -> Uri {
        let known = |four: &str, six: &str| -> Vec<IpAddr> {
            [four, six].into_iter().filter_map(|address| address.parse().ok()).collect()
        };
        let port = |port: u32| u16::try_from(port).ok().filter(|port| *port > 0);
        if let Some(port) = port(self.sync_udp_port).filter(|_| uri.sync.is_empty()) {
            let known = known(&self.sync_ipv4_address, &self.sync_ipv6_address);
            uri.sync = known.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
        }
        let ports = port(self.data_min_port).zip(port(self.data_max_port)).filter(|(first, last)| first <= last);
        if let Some((first, last)) = ports.filter(|_| uri.data.is_empty()) {
            let known = known(&self.data_ipv4_address, &self.data_ipv6_address);
            uri.data = known.into_iter().map(|ip| DataAddress { ip, ports: first..=last }).collect();
        }
        uri
    }
}

/// Names a reservation: the request of `Get`, `Status` and `Free`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct OfReservation {
    /// The reservation.
    #[prost(string, tag = "2")]
    pub lb_id: String,
}

/// Addresses that may send, or no longer.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Senders {
    /// The reservation.
    #[prost(string, tag = "2")]
    pub lb_id: String,
    /// The addresses.
    #[prost(string, repeated, tag = "3")]
    pub addresses: Vec<String>,
}

/// The reply to `Status`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Status {
    /// Now.
    #[prost(message, optional, tag = "1")]
    pub timestamp: Option<Timestamp>,
    /// Number of the newest epoch.
    #[prost(uint64, tag = "2")]
    pub current_epoch: u64,
    /// The tick that senders have now, as far as is known.
    #[prost(uint64, tag = "3")]
    pub current_predicted_event_number: u64,
    /// The receivers.
    #[prost(message, repeated, tag = "4")]
    pub workers: Vec<WorkerStatus>,
    /// Addresses that may send.
    #[prost(string, repeated, tag = "5")]
    pub sender_addresses: Vec<String>,
    /// When the reservation ends.
    #[prost(message, optional, tag = "6")]
    pub expires_at: Option<Timestamp>,
    /// Entries of a calendar.
    #[prost(uint32, tag = "11")]
    pub slot_resolution: u32,
    /// What the load balancer counted since its start. Only our own control plane reports it, far from the numbers of ESnet's.
    #[prost(message, repeated, tag = "1001")]
    pub packets: Vec<Count>,
}

/// One reservation in an overview.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OverviewEntry {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its addresses.
    #[prost(message, optional, tag = "3")]
    pub reservation: Option<Reservation>,
    /// Its status.
    #[prost(message, optional, tag = "4")]
    pub status: Option<Status>,
}

/// The reply to `Overview`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OverviewReply {
    /// All reservations.
    #[prost(message, repeated, tag = "1")]
    pub load_balancers: Vec<OverviewEntry>,
}
