//! The addresses and hops of one architecture, and its variants.

use crate::{ejfat::EjfatAccess, nlb::NLB, s3m::S3mAccess};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The addresses of one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `dts` or `dts-plain`.
    pub architecture: String,
    /// `amqps://bench@localhost:PORT`, one per node, without a password.
    pub producer_urls: Vec<String>,
    /// The same for consumers.
    pub consumer_urls: Vec<String>,
    /// `HOST:PORT:ADDR:PORT` if the service is not reachable at the URLs' host and port.
    pub connect_to: Vec<String>,
    /// The file with the password, and nothing else.
    pub password_file: PathBuf,
    /// The certificate authority to trust, if the route has TLS.
    pub ca: Option<PathBuf>,
    /// `http://bench@localhost:PORT`, the first node's.
    pub management_url: String,
    /// The interface from which the URLs must be requested first; then there are none yet.
    pub s3m: Option<S3mAccess>,
    /// The control plane from which a load balancer of EJFAT must be reserved; then there are no URLs.
    pub ejfat: Option<EjfatAccess>,
    /// The hops of the route.
    pub hops: Vec<Hop>,
}

/// One hop of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The side that opens the connection: `producer`, `consumer`, or a proxy.
    pub from: String,
    /// The side that accepts it: `service`, or a proxy.
    pub to: String,
    /// `amqp`, `amqps`, `tcp`, `tls` or `udp`.
    pub protocol: String,
    /// The addresses that accept it.
    pub addresses: Vec<String>,
    /// Version and cipher that two proxies negotiated. Clients report their own negotiation with the service.
    pub tls: Option<(String, String)>,
    /// The program that accepts it, and its pid.
    pub process: String,
    /// CPU limit of that program: `0.3 CPU`; `None`: unlimited.
    pub limits: Option<String>,
    /// The distance that it crosses: `30 ms by forwarder`; `None`: none.
    pub distance: Option<String>,
}

impl Route {
    /// The same route with the consumers behind the proxies too. A direct route has no proxies, and is unchanged.
    pub fn with_consumers_via_proxy(mut self) -> Self {
        self.consumer_urls.clone_from(&self.producer_urls);
        if let Some(first) = self.hops.iter().find(|hop| hop.from == PRODUCER).cloned() {
            self.hops.retain(|hop| hop.from != CONSUMER);
            // With two sites the producers' proxy is far from the consumers.
            let crosses = |hop: &Hop| hop.from == PRODUCER_PROXY && hop.to == CONSUMER_PROXY;
            let between = self.hops.iter().find(|hop| crosses(hop)).and_then(|hop| hop.distance.clone());
            self.hops.push(Hop { from: CONSUMER.to_owned(), distance: first.distance.clone().or(between), ..first });
        }
        self
    }

    /// The same route with clients that connect to the service directly at its first `nodes` only.
    pub fn with_nodes(mut self, nodes: usize) -> Self {
        for hop in self.hops.iter_mut().filter(|hop| hop.to == SERVICE) {
            let urls = match hop.from.as_str() {
                PRODUCER => &mut self.producer_urls,
                CONSUMER => &mut self.consumer_urls,
                _ => continue,
            };
            urls.truncate(nodes);
            hop.addresses.truncate(nodes);
        }
        if let Some(hop) = self.hops.iter_mut().find(|hop| hop.from == NLB) {
            let all = hop.addresses.len();
            hop.addresses.truncate(nodes);
            let fewer = (all - hop.addresses.len()) as u16;
            let entries = self.hops.iter_mut().filter(|hop| hop.to == NLB).flat_map(|hop| &mut hop.addresses);
            let urls = self.producer_urls.iter_mut().chain(&mut self.consumer_urls);
            // Each of its ports leads to one node more.
            entries.chain(urls).for_each(|address| *address = lower_port(address, fewer));
        }
        self
    }

    /// The producers' hops in one line.
    pub(crate) fn in_words(&self) -> String {
        let shown = |hop: &Hop| {
            let tls = hop.tls.as_ref().map(|(version, cipher)| format!(" {version} {cipher}")).unwrap_or_default();
            let distance = hop.distance.as_ref().map(|distance| format!(" over {distance}")).unwrap_or_default();
            let addresses = if hop.addresses.is_empty() { String::new() } else { hop.addresses.join(",") + " " };
            format!("{}{tls}{distance}> {addresses}{}", hop.protocol, hop.process)
        };
        let hops: Vec<String> = self.hops.iter().filter(|hop| hop.from != CONSUMER).map(shown).collect();
        format!("{}: producer -{}", self.architecture, hops.join(" -"))
    }
}

pub const PRODUCER: &str = "producer";
pub const CONSUMER: &str = "consumer";
pub const SERVICE: &str = "service";
pub const PRODUCER_PROXY: &str = "producer proxy";
pub const LOAD_BALANCER: &str = "load balancer";
pub const CONSUMER_PROXY: &str = "consumer proxy";

/// The same address with a lower port.
fn lower_port(address: &str, by: u16) -> String {
    let lowered = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    lowered.map_or_else(|| address.to_owned(), |(host, port)| format!("{host}:{}", port - by))
}

/// A hop of which nothing else is known yet.
pub fn hop(from: &str, to: &str, protocol: &str, addresses: &[String], process: String) -> Hop {
    Hop {
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: protocol.to_owned(),
        addresses: addresses.to_vec(),
        tls: None,
        process,
        limits: None,
        distance: None,
    }
}

/// A route whose clients enter at `next` instead of the part before it.
pub fn without_first_hop(
    (producer_urls, consumer_urls, hops): (Vec<String>, Vec<String>, Vec<Hop>),
    first: &str,
    next: &str,
) -> (Vec<String>, Vec<String>, Vec<Hop>) {
    let second = hops.iter().find(|hop| hop.from == first && hop.to == next).cloned();
    let entered = |hop: Hop| match &second {
        Some(second) if hop.to == first => Hop { from: hop.from, protocol: hop.protocol, ..second.clone() },
        _ => hop,
    };
    let hops = hops.into_iter().filter(|hop| !(hop.from == first && hop.to == next)).map(entered).collect();
    (producer_urls, consumer_urls, hops)
}
