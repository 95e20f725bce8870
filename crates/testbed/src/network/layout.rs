//! The hosts, their addresses, and the placement of parts on them. Pure.

use crate::{network::Allocation, routes::REPLICAS};
use std::{fmt, net::Ipv4Addr};

/// One host of the facility, or the switch between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The bridge, and with it the supervisor and control traffic.
    Switch,
    /// All MPI ranks; with two sites, those without producers.
    Clients,
    /// With two sites, the bridge of the producers' site.
    Site,
    /// With two sites, the ranks with producers.
    Producers,
    /// With two sites, the data transfer node of the producers' site, with the producers' proxies.
    Dtn,
    /// A data streaming node, counted from 1.
    Dsn(usize),
    /// The balancer of the managed service.
    Balancer,
    /// Its ingress.
    Ingress,
    /// The network load balancer of `dts-nlb`.
    Nlb,
    /// A gateway of the managed service, counted from 1.
    Gateway(usize),
    /// EJFAT's control plane.
    EjfatControl,
    /// EJFAT's load balancer.
    EjfatBalancer,
}

impl Host {
    /// Whether it is connected to the switch of the producers' site.
    pub fn is_far(self) -> bool {
        matches!(self, Self::Producers | Self::Dtn)
    }

    fn address(self) -> Ipv4Addr {
        let last = match self {
            Self::Switch => 1,
            Self::Clients => 10,
            Self::Site => 30,
            Self::Producers => 31,
            Self::Dtn => 32,
            Self::Dsn(number) => 10 + number as u8,
            Self::Balancer => 20,
            Self::Ingress => 21,
            Self::Nlb => 22,
            Self::Gateway(replica) => 22 + replica as u8,
            Self::EjfatControl => 26,
            Self::EjfatBalancer => 27,
        };
        Ipv4Addr::new(10, 79, 0, last)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Switch => f.write_str("sw"),
            Self::Clients => f.write_str("clients"),
            Self::Site => f.write_str("site"),
            Self::Producers => f.write_str("producers"),
            Self::Dtn => f.write_str("dtn"),
            Self::Dsn(number) => write!(f, "dsn{number}"),
            Self::Balancer => f.write_str("lb"),
            Self::Ingress => f.write_str("ingress"),
            Self::Nlb => f.write_str("nlb"),
            Self::Gateway(replica) => write!(f, "gw{replica}"),
            Self::EjfatControl => f.write_str("ejfat-cp"),
            Self::EjfatBalancer => f.write_str("ejfat-lb"),
        }
    }
}

/// The placement of parts: all on this host, or each on a host of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hosts {
    Loopback,
    /// On this host, and clients of other hosts reach them at this address.
    Reachable(Ipv4Addr),
    Facility {
        /// Broker nodes, each on a data streaming node.
        nodes: usize,
        /// Whether producers are at a site of their own.
        sites: bool,
    },
    /// On several real hosts, each with a supervisor of its own.
    Allocation(Allocation),
}

impl Hosts {
    /// Data streaming nodes: one for each broker, and at least two, since the two control servers of a tunnel are on two.
    pub fn dsns(self) -> usize {
        match self {
            Self::Loopback | Self::Reachable(_) => 0,
            Self::Facility { nodes, .. } => nodes.max(2),
            Self::Allocation(allocation) => allocation.dsns(),
        }
    }

    /// Whether this supervisor starts what is on `host`.
    pub fn starts(self, host: Host) -> bool {
        match self {
            Self::Allocation(allocation) => of_allocation(&allocation, host) == allocation.here,
            _ => true,
        }
    }

    /// Whether other supervisors start some of the parts.
    pub fn is_spread(self) -> bool {
        matches!(self, Self::Allocation(_))
    }

    /// All hosts that are connected to a switch, each after its switch.
    pub fn on_a_switch(self) -> Vec<Host> {
        let far = if self.has_sites() { &[Host::Site, Host::Producers, Host::Dtn][..] } else { &[] };
        let dsns = (1..=self.dsns()).map(Host::Dsn);
        let gateways = (1..=REPLICAS).map(Host::Gateway);
        let first = std::iter::once(Host::Clients).chain(far.iter().copied());
        let managed = [Host::Balancer, Host::Ingress, Host::Nlb].into_iter().chain(gateways);
        first.chain(dsns).chain(managed).chain([Host::EjfatControl, Host::EjfatBalancer]).collect()
    }

    /// Whether producers are at a site of their own.
    pub fn has_sites(self) -> bool {
        matches!(self, Self::Facility { sites: true, .. })
    }

    /// The host whose link has the distance.
    pub fn at_a_distance(self) -> Host {
        if self.has_sites() { Host::Site } else { Host::Clients }
    }

    /// The data streaming node of the producers' proxies. With the next, the last two: with three nodes and one
    /// connection no link then carries the same bytes twice, since the first node has the broker that proxies connect
    /// to. With two sites it is the node of the producers' site.
    pub fn producer_proxy(self) -> Host {
        if self.has_sites() { Host::Dtn } else { Host::Dsn(self.dsns()) }
    }

    /// That of the consumers' proxies.
    pub fn consumer_proxy(self) -> Host {
        Host::Dsn(self.dsns().saturating_sub(1))
    }

    /// Whether all parts are on this host.
    pub fn is_one(self) -> bool {
        !matches!(self, Self::Facility { .. } | Self::Allocation(_))
    }

    /// Where clients and proxies reach what is on `host`.
    pub fn address(self, host: Host) -> Ipv4Addr {
        match self {
            Self::Loopback => Ipv4Addr::LOCALHOST,
            Self::Reachable(address) => address,
            Self::Facility { .. } => host.address(),
            Self::Allocation(allocation) => of_allocation(&allocation, host),
        }
    }

    /// Where parts reach each other: epmd, Erlang's distribution, S3M.
    pub fn peer_address(self, host: Host) -> Ipv4Addr {
        if self.is_one() { Ipv4Addr::LOCALHOST } else { self.address(host) }
    }

    /// Where the supervisor that started a node reaches its management API without TLS.
    pub fn inner_address(self, host: Host) -> Ipv4Addr {
        match self {
            Self::Facility { .. } => host.address(),
            _ => Ipv4Addr::LOCALHOST,
        }
    }

    /// Its name for clients, which the server's certificate contains.
    pub fn name(self, host: Host) -> String {
        match self {
            Self::Loopback => "localhost".to_owned(),
            _ => self.address(host).to_string(),
        }
    }

    /// Its name for other parts.
    pub fn peer_name(self, host: Host) -> String {
        if self.is_one() { Self::Loopback.name(host) } else { self.name(host) }
    }
}

/// Where a host of an allocation is. The S3M interface is with the ingress, whose socket it uses, and clients are anywhere.
fn of_allocation(allocation: &Allocation, host: Host) -> Ipv4Addr {
    match host {
        Host::Dsn(number) => allocation.dsn(number),
        Host::Balancer | Host::Nlb | Host::EjfatBalancer => allocation.balancer,
        Host::Ingress | Host::Gateway(_) | Host::Switch | Host::EjfatControl => allocation.ingress,
        Host::Clients | Host::Site | Host::Producers | Host::Dtn => allocation.here,
    }
}

/// The host of a part, by its name; parts without a host of their own are with the supervisor, at the switch.
pub fn host_of_part(hosts: Hosts, part: &str) -> Host {
    let numbered = |prefix: &str| part.strip_prefix(prefix)?.parse().ok();
    let proxied = part.starts_with("s2cs ") || part.starts_with("s2ds ");
    match part {
        "balancer" => Host::Balancer,
        "ingress" => Host::Ingress,
        "nlb" => Host::Nlb,
        "ejfat control" => Host::EjfatControl,
        "ejfat balancer" | "ejfat balancer of replies" => Host::EjfatBalancer,
        _ if proxied && part.ends_with(" producer") => hosts.producer_proxy(),
        _ if proxied && part.ends_with(" consumer") => hosts.consumer_proxy(),
        _ => {
            let dsn = ["node ", "epmd "].into_iter().find_map(numbered);
            let of_node = || part.rsplit_once(" of node ")?.1.parse().ok();
            let dsn = dsn.or_else(of_node).map(Host::Dsn);
            dsn.or_else(|| numbered("gateway ").map(Host::Gateway)).unwrap_or(Host::Switch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_hosts_share_an_address_with_as_many_nodes_as_there_may_be() {
        let hosts = Hosts::Facility { nodes: 9, sites: true };
        let all: HashSet<Ipv4Addr> =
            hosts.on_a_switch().into_iter().chain([Host::Switch]).map(|host| hosts.address(host)).collect();
        assert_eq!(all.len(), 9 + 10 + 3);
    }

    #[test]
    fn the_two_proxies_of_a_tunnel_are_never_on_one_host() {
        for nodes in 1..=9 {
            let hosts = Hosts::Facility { nodes, sites: nodes % 2 == 0 };
            assert_ne!(hosts.producer_proxy(), hosts.consumer_proxy(), "{nodes}");
        }
    }

    #[test]
    fn each_part_has_its_place() {
        let hosts = Hosts::Facility { nodes: 3, sites: false };
        for (part, place) in [
            ("node 2", "dsn2"),
            ("epmd 3", "dsn3"),
            ("ctl 7 of node 1", "dsn1"),
            ("balancer", "lb"),
            ("ejfat control", "ejfat-cp"),
            ("ejfat balancer", "ejfat-lb"),
            ("ingress", "ingress"),
            ("nlb", "nlb"),
            ("gateway 2", "gw2"),
            ("s2cs haproxy producer", "dsn3"),
            ("s2ds prs-stunnel consumer", "dsn2"),
            ("supervisor", "sw"),
        ] {
            assert_eq!(host_of_part(hosts, part).to_string(), place, "{part}");
        }
    }

    #[test]
    fn with_two_sites_one_proxy_stands_at_either_end_and_one_link_has_the_distance() {
        let [one, two] = [false, true].map(|sites| Hosts::Facility { nodes: 3, sites });
        assert_eq!([one, two].map(Hosts::at_a_distance), [Host::Clients, Host::Site]);
        let places = |hosts| ["producer", "consumer"].map(|end| host_of_part(hosts, &format!("s2ds haproxy {end}")));
        assert_eq!(places(two).map(Host::is_far), [true, false]);
        assert_eq!(places(one).map(Host::is_far), [false, false]);
    }
}
