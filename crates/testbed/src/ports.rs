//! The ports of a testbed: one base port, all others at fixed offsets.

use crate::{
    Error, Result, Routes,
    network::{Allocation, Host, Hosts},
    routes::Wanted,
};
use std::{
    env, fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, TcpListener, UdpSocket},
    ops::RangeInclusive,
    str::FromStr,
};

/// The variable with the ports that a site allows. The supervisor gets them by it, too.
pub const RANGE_VARIABLE: &str = "STREAMHARNESS_PORTS";
/// Only root may listen below.
pub const UNPRIVILEGED: u16 = 1024;

/// Bases are multiples of this, so two testbeds share all ports or none. Wide enough for the ingress (base + 443) and
/// the SciStream data servers (from base + 500) of the other architectures.
const WIDTH: u16 = 600;
/// Above the ports of X displays (from 6000): hwloc, and with it every MPI start, looks for a display there and would
/// wait for ever on a reserved port that accepts connections and does not reply.
const LOWEST_BASE: u16 = 17 * WIDTH;
/// Control servers: two sides of three types.
const S2CS_MAX: usize = 6;
/// Ports of the data servers of each.
const S2DS_PORTS: u16 = 10;

/// The ports that a testbed may use, where a site prescribes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    from: u16,
    to: u16,
}

impl PortRange {
    /// The one in the environment, if there is one.
    ///
    /// # Errors
    ///
    /// [`Error::PortRange`] if it is not valid.
    pub fn of_environment() -> Result<Option<Self>> {
        let text = env::var(RANGE_VARIABLE).ok().filter(|text| !text.is_empty());
        text.map(|text| text.parse()).transpose()
    }

    /// Whether a port is one of them.
    pub fn contains(self, port: u16) -> bool {
        (self.from..=self.to).contains(&port)
    }

    /// Bases from which a testbed of `needed` ports stays within. One that is too narrow for a second testbed has one.
    fn bases(self, needed: u16) -> Result<Vec<u16>> {
        match self.to.checked_sub(needed - 1) {
            Some(last) if last >= self.from => Ok((self.from..=last).step_by(WIDTH.into()).collect()),
            _ => Err(Error::FewPorts { range: self, needed, further: WIDTH }),
        }
    }
}

impl FromStr for PortRange {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let range = text.split_once('-').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        match range {
            Some((from, to)) if (UNPRIVILEGED..to).contains(&from) => Ok(Self { from, to }),
            _ => Err(Error::PortRange(text.to_owned())),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from, self.to)
    }
}

/// The ports of one testbed, and the addresses that they are on. Nodes count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ports {
    pub base: u16,
    pub hosts: Hosts,
}

impl Ports {
    /// On this host's loopback.
    pub fn loopback(base: u16) -> Self {
        Self { base, hosts: Hosts::Loopback }
    }

    /// In a network of its own, where nothing else uses ports.
    pub fn facility(nodes: usize, sites: bool) -> Self {
        Self { base: LOWEST_BASE, hosts: Hosts::Facility { nodes, sites } }
    }

    /// On this host, where clients of other hosts reach it at `address`.
    pub fn reachable(base: u16, address: Ipv4Addr) -> Self {
        Self { base, hosts: Hosts::Reachable(address) }
    }

    /// On the hosts of an allocation, from the same base on all of them.
    pub fn allocation(base: u16, allocation: Allocation) -> Self {
        Self { base, hosts: Hosts::Allocation(allocation) }
    }

    /// The address of a host, with one of its ports.
    pub fn at(self, host: Host, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.hosts.address(host), port)
    }

    /// The same for the host of a node.
    pub fn at_node(self, node: usize, port: u16) -> SocketAddrV4 {
        self.at(Host::Dsn(node), port)
    }

    /// The same for a port that only other parts use.
    pub fn peer(self, host: Host, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.hosts.peer_address(host), port)
    }

    /// The same for a port that only the supervisor uses.
    pub fn inner(self, host: Host, port: u16) -> SocketAddrV4 {
        SocketAddrV4::new(self.hosts.inner_address(host), port)
    }

    pub fn amqp(self, node: usize) -> u16 {
        self.base + node as u16
    }
    pub fn amqps(self, node: usize) -> u16 {
        self.base + 10 + node as u16
    }
    pub fn management(self, node: usize) -> u16 {
        self.base + 20 + node as u16
    }
    /// The management API with TLS, where other hosts use it.
    pub fn management_tls(self, node: usize) -> u16 {
        self.base + 40 + node as u16
    }
    /// The port of the network load balancer that leads to the first `nodes` nodes.
    pub fn nlb(self, nodes: usize) -> u16 {
        self.base + 50 + nodes as u16
    }
    /// A gateway of the managed service.
    pub fn gateway(self, replica: usize) -> u16 {
        self.base + 60 + replica as u16
    }
    pub fn prometheus(self, node: usize) -> u16 {
        self.base + 30 + node as u16
    }
    pub fn distribution(self, node: usize) -> u16 {
        self.base + 70 + node as u16
    }
    pub fn epmd(self) -> u16 {
        self.base + 169
    }

    /// The port for requests of control server `server`, counted from 0.
    pub fn s2cs(self, server: usize) -> u16 {
        self.base + 500 + server as u16
    }
    /// The ports of its data servers.
    pub fn s2ds(self, server: usize) -> RangeInclusive<u16> {
        let first = self.base + 510 + S2DS_PORTS * server as u16;
        first..=first + S2DS_PORTS - 1
    }

    /// The ports of node `node`, each with its protocol.
    pub fn of_node(self, node: usize) -> Vec<(String, u16)> {
        let mut ports = vec![
            ("amqp".into(), self.amqp(node)),
            ("amqps".into(), self.amqps(node)),
            ("http".into(), self.management(node)),
            ("prometheus".into(), self.prometheus(node)),
            ("distribution".into(), self.distribution(node)),
        ];
        if self.hosts.is_spread() {
            ports.push(("https".into(), self.management_tls(node)));
        }
        ports
    }

    /// The ingress of the managed service.
    pub fn ingress(self) -> u16 {
        self.base + 443
    }
    /// The balancer in front of it.
    pub fn balancer(self) -> u16 {
        self.base + 444
    }
    /// The S3M interface.
    pub fn s3m(self) -> u16 {
        self.base + 445
    }

    /// Calls to EJFAT's control plane.
    pub fn ejfat_control(self) -> u16 {
        self.base + 446
    }
    /// Synchronization packets of EJFAT's senders, by UDP.
    pub fn ejfat_sync(self) -> u16 {
        self.base + 447
    }
    /// Data of EJFAT's senders, by UDP.
    pub fn ejfat_data(self) -> u16 {
        self.base + 448
    }
    /// The same two for the load balancer of replies.
    pub fn ejfat_replies(self) -> [u16; 2] {
        [self.base + 449, self.base + 450]
    }

    /// The highest port that may be used.
    pub fn last(self, nodes: usize, routes: &Routes) -> u16 {
        self.all(nodes, routes).max().unwrap_or(self.base)
    }

    fn all(self, nodes: usize, routes: &Routes) -> impl Iterator<Item = u16> + use<> {
        let servers = 0..if routes.proxies.is_empty() { 0 } else { S2CS_MAX };
        let managed = routes.managed.map(|_| [self.ingress(), self.balancer(), self.s3m()]);
        let balanced = 1..=if routes.nlb == Wanted::No { 0 } else { nodes };
        let gateways = 1..=routes.gateways.replicas;
        let ejfat = routes.ejfat.then(|| {
            let [sync, data] = self.ejfat_replies();
            [self.ejfat_control(), self.ejfat_sync(), self.ejfat_data(), sync, data]
        });
        (1..=nodes)
            .flat_map(move |node| self.of_node(node))
            .map(|(_, port)| port)
            .chain(gateways.map(move |replica| self.gateway(replica)))
            .chain(balanced.map(move |nodes| self.nlb(nodes)))
            .chain([self.epmd()])
            .chain(managed.into_iter().flatten())
            .chain(ejfat.into_iter().flatten())
            .chain(servers.flat_map(move |server| self.s2ds(server).chain([self.s2cs(server)])))
    }
}

/// Free ports. The base port itself stays bound as long as this value exists: nothing else uses it, and another testbed
/// that starts before our brokers listen finds it in use.
#[derive(Debug)]
pub struct Reservation {
    pub ports: Ports,
    _claim: Option<TcpListener>,
}

/// In a network of its own every port is free.
pub fn facility(nodes: usize, sites: bool) -> Reservation {
    Reservation { ports: Ports::facility(nodes, sites), _claim: None }
}

/// Claims the ports from a base that was found free on all hosts of an allocation.
pub fn claim(base: u16, allocation: Allocation) -> Result<Reservation> {
    let claim = TcpListener::bind((Ipv4Addr::LOCALHOST, base)).map_err(|_| Error::PortsTaken(base))?;
    Ok(Reservation { ports: Ports::allocation(base, allocation), _claim: Some(claim) })
}

/// Bases that could be free, within `range` if there is one, in the order in which they should be tried.
pub fn candidates(nodes: usize, routes: &Routes, range: Option<PortRange>, random: u64) -> Result<Vec<u16>> {
    let bases = range.map_or_else(|| Ok(bases(ephemeral_range_start())), |range| range.bases(needed(nodes, routes)))?;
    let start = (random % bases.len() as u64) as usize;
    Ok((0..bases.len()).map(|index| bases[(start + index) % bases.len()]).collect())
}

/// From the base to the last port.
fn needed(nodes: usize, routes: &Routes) -> u16 {
    Ports::loopback(0).last(nodes, routes) + 1
}

/// Whether `nodes` nodes and what the routes need could be on the ports from this base, where other hosts reach this one at
/// `address`.
pub fn are_free(base: u16, nodes: usize, routes: &Routes, address: Ipv4Addr) -> bool {
    let ports = Ports::reachable(base, address);
    TcpListener::bind((Ipv4Addr::LOCALHOST, base)).is_ok()
        && ports.all(nodes, routes).all(|port| is_free(port, Some(address)))
}

/// Finds free ports for `nodes` nodes and for what the routes need, on loopback or where clients of other hosts reach this
/// one, within `range` if there is one; `random` sets where the search begins.
pub fn reserve(
    nodes: usize,
    routes: &Routes,
    reachable: Option<Ipv4Addr>,
    range: Option<PortRange>,
    random: u64,
) -> Result<Reservation> {
    let bases = candidates(nodes, routes, range, random)?;
    for base in bases.iter().copied() {
        let ports = reachable.map_or(Ports::loopback(base), |address| Ports::reachable(base, address));
        if let Ok(claim) = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.base))
            && ports.all(nodes, routes).all(|port| is_free(port, reachable))
        {
            return Ok(Reservation { ports, _claim: Some(claim) });
        }
    }
    let (from, to) = (bases.iter().min().copied(), bases.iter().max().copied());
    let (from, to) = (from.unwrap_or(LOWEST_BASE), to.unwrap_or(LOWEST_BASE));
    let width = needed(nodes, routes);
    Err(Error::NoPorts { from, to: to + (width - 1), width })
}

/// Bases whose whole range lies below the kernel's ephemeral ports, from which an outgoing connection could take one of ours.
fn bases(ephemeral_start: u16) -> Vec<u16> {
    let end = if ephemeral_start < LOWEST_BASE + WIDTH {
        // On such a machine nearly every port is ephemeral; the bind test must suffice.
        32768
    } else {
        ephemeral_start
    };
    (LOWEST_BASE..=end - WIDTH).step_by(WIDTH as usize).collect()
}

fn ephemeral_range_start() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    text.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(32768)
}

/// Whether both loopback addresses can be bound (epmd binds the IPv6 one too), and the reachable one, for UDP too.
pub fn is_free(port: u16, reachable: Option<Ipv4Addr>) -> bool {
    let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port));
    let v6_taken = matches!(&v6, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
    let v4 = [Ipv4Addr::LOCALHOST].into_iter().chain(reachable);
    let both = |address| TcpListener::bind((address, port)).is_ok() && UdpSocket::bind((address, port)).is_ok();
    v4.into_iter().all(both) && !v6_taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_parts_of_nine_nodes_and_all_routes_share_a_port_and_all_stay_in_their_range() {
        let ports = Ports::loopback(6000);
        let all: Vec<u16> = ports.all(9, &Routes::all()).collect();
        assert_eq!(all.iter().max(), Some(&ports.last(9, &Routes::all())));
        let distinct: HashSet<u16> = all.iter().copied().collect();
        assert_eq!(all.len(), 9 * 6 + 3 + 1 + 3 + 5 + 6 * 11);
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|port| (6001..6000 + WIDTH).contains(port)));
    }

    #[test]
    fn every_base_keeps_its_range_below_the_ephemeral_ports() {
        for ephemeral_start in [32768, 20000, 1024] {
            let bases = bases(ephemeral_start);
            let end = if ephemeral_start == 1024 { 32768 } else { ephemeral_start };
            assert!(!bases.is_empty());
            assert!(bases.iter().all(|base| base + WIDTH <= end), "{ephemeral_start}");
            assert!(bases.iter().all(|base| *base > 6063), "X displays are looked for below");
        }
    }

    #[test]
    fn two_reservations_from_the_same_start_do_not_collide() {
        let first = reserve(3, &Routes::default(), None, None, 5).unwrap();
        let second = reserve(3, &Routes::default(), None, None, 5).unwrap();
        assert!(first.ports.base.abs_diff(second.ports.base) >= WIDTH);
    }

    #[test]
    fn a_base_with_one_taken_port_is_passed_over() {
        let first = reserve(3, &Routes::default(), None, None, 11).unwrap().ports;
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, first.amqps(3))).unwrap();
        assert_ne!(reserve(3, &Routes::default(), None, None, 11).unwrap().ports.base, first.base);
    }

    #[test]
    fn a_range_holds_as_many_testbeds_as_it_has_room_for() {
        let bases = |text: &str, needed| text.parse::<PortRange>().unwrap().bases(needed);
        assert_eq!(bases("20000-20169", 170).unwrap(), [20000]);
        assert_eq!(bases("20000-20768", 170).unwrap(), [20000]);
        assert_eq!(bases("20000-20769", 170).unwrap(), [20000, 20600]);
        assert_eq!(bases("64966-65535", 570).unwrap(), [64966]);
        let error = bases("20000-20168", 170).unwrap_err().to_string();
        assert!(error.contains("20000-20168") && error.contains("needs 170 ports"), "{error}");
        for text in ["20000", "20600-20000", "80-20000", "20000-70000", "a-b", ""] {
            assert!(text.parse::<PortRange>().unwrap_err().to_string().contains("20000-20599"), "{text}");
        }
    }

    #[test]
    fn a_testbed_stays_within_its_range_and_reports_one_that_is_taken() {
        let free = reserve(9, &Routes::all(), None, None, 7).unwrap();
        let (from, to) = (free.ports.base, free.ports.last(9, &Routes::all()));
        drop(free);
        let range = format!("{from}-{to}").parse().unwrap();
        let first = reserve(9, &Routes::all(), None, Some(range), 3).unwrap();
        assert_eq!((first.ports.base, first.ports.last(9, &Routes::all())), (from, to));
        let error = reserve(9, &Routes::all(), None, Some(range), 3).unwrap_err().to_string();
        assert!(error.contains(&format!("between {from} and {to}")), "{error}");
    }
}
