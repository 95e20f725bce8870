//! The placement of a testbed's parts on real hosts, each at an address that all others reach. Pure.

use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr, str::FromStr};

/// Broker nodes at most.
const NODES_MAX: usize = 9;
/// Data streaming nodes at most: those of brokers, and two for proxies.
const DSNS_MAX: usize = NODES_MAX + 2;
const SEPARATOR: char = '+';

/// The addresses of the hosts on which parts are, and the one whose parts a supervisor starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// The host whose parts this supervisor starts.
    pub here: Ipv4Addr,
    nodes: usize,
    /// Of brokers first, then of the consumers' proxies, then of the producers'.
    dsns: [Ipv4Addr; DSNS_MAX],
    /// Of the balancer of the managed service.
    pub balancer: Ipv4Addr,
    /// Of its ingress and its S3M interface.
    pub ingress: Ipv4Addr,
}

/// The hosts of parts, as numbers of hosts in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// One host for each broker node.
    pub nodes: Vec<usize>,
    /// Of the producers' control servers and proxies.
    pub producer_proxy: usize,
    /// Of the consumers' ones.
    pub consumer_proxy: usize,
    /// Of the balancer of the managed service.
    pub balancer: usize,
    /// Of its ingress and its S3M interface.
    pub ingress: usize,
}

impl Placement {
    /// Places `nodes` brokers, proxies, balancer and ingress on hosts, which are given by whether they have workers. Hosts
    /// without workers are used alone if there are at least as many as brokers, and at least two; otherwise all hosts are
    /// used, those without workers first and that of rank 0, the first one, last. Brokers are on hosts of their own, and so
    /// are the two ends of a tunnel, and balancer and ingress, as far as there are hosts.
    ///
    /// # Panics
    ///
    /// If there are more brokers than hosts.
    pub fn choose(nodes: usize, with_workers: &[bool]) -> Self {
        assert!(nodes <= with_workers.len(), "each broker is on a host of its own");
        let (free, busy): (Vec<usize>, Vec<usize>) = (0..with_workers.len()).partition(|host| !with_workers[*host]);
        let order: Vec<usize> =
            if free.len() >= nodes.max(2) { free } else { free.into_iter().chain(busy.into_iter().rev()).collect() };
        let host = |place: usize| order[place % order.len()];
        Self {
            nodes: (0..nodes).map(host).collect(),
            producer_proxy: host(nodes),
            consumer_proxy: host(nodes + 1),
            balancer: host(nodes),
            ingress: host(nodes + 1),
        }
    }

    /// The hosts that have the parts of a testbed with proxies or a managed service, in order and each once.
    pub fn hosts(&self, proxies: bool, managed: bool) -> Vec<usize> {
        let proxies = proxies.then_some([self.consumer_proxy, self.producer_proxy]);
        let managed = managed.then_some([self.balancer, self.ingress]);
        let mut hosts: Vec<usize> = self
            .nodes
            .iter()
            .copied()
            .chain(proxies.into_iter().flatten())
            .chain(managed.into_iter().flatten())
            .collect();
        hosts.sort_unstable();
        hosts.dedup();
        hosts
    }
}

impl Allocation {
    /// Seen from host number `here`, where hosts are reached at `addresses`.
    pub fn new(placement: &Placement, addresses: &[Ipv4Addr], here: usize) -> Self {
        let mut dsns = [Ipv4Addr::UNSPECIFIED; DSNS_MAX];
        let proxies = [placement.consumer_proxy, placement.producer_proxy];
        for (dsn, host) in dsns.iter_mut().zip(placement.nodes.iter().chain(&proxies)) {
            *dsn = addresses[*host];
        }
        Self {
            here: addresses[here],
            nodes: placement.nodes.len(),
            dsns,
            balancer: addresses[placement.balancer],
            ingress: addresses[placement.ingress],
        }
    }

    /// Data streaming nodes: one for each broker, and one for each end of a tunnel.
    pub fn dsns(&self) -> usize {
        self.nodes + 2
    }

    /// Where other hosts reach a data streaming node, counted from 1.
    pub fn dsn(&self, number: usize) -> Ipv4Addr {
        self.dsns[number - 1]
    }

    /// Every address at which something listens.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        let mut all: Vec<Ipv4Addr> =
            self.dsns[..self.dsns()].iter().copied().chain([self.balancer, self.ingress]).collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// The text for the supervisor.
impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.here)?;
        let others = [self.balancer, self.ingress];
        others.iter().chain(&self.dsns[..self.dsns()]).try_for_each(|address| write!(f, "{SEPARATOR}{address}"))
    }
}

impl FromStr for Allocation {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all =
            text.split(SEPARATOR).map(|word| word.parse().map_err(|_| ())).collect::<Result<Vec<Ipv4Addr>, ()>>()?;
        let [here, balancer, ingress, listed @ ..] = all.as_slice() else { return Err(()) };
        let nodes = listed.len().checked_sub(2).filter(|nodes| (1..=NODES_MAX).contains(nodes)).ok_or(())?;
        let mut dsns = [Ipv4Addr::UNSPECIFIED; DSNS_MAX];
        dsns[..listed.len()].copy_from_slice(listed);
        Ok(Self { here: *here, nodes, dsns, balancer: *balancer, ingress: *ingress })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_on_hosts_without_workers_where_there_are_enough() {
        let two_free = Placement::choose(1, &[true, true, false, false]);
        assert_eq!(two_free.nodes, [2]);
        assert_eq!(two_free.hosts(true, true), [2, 3]);
        let one_free = Placement::choose(1, &[true, true, false]);
        assert_eq!((one_free.nodes.as_slice(), one_free.hosts(true, true)), ([2].as_slice(), vec![0, 1, 2]));
    }

    #[test]
    fn with_workers_everywhere_the_host_of_rank_0_is_used_last() {
        let placement = Placement::choose(3, &[true; 8]);
        assert_eq!(placement.nodes, [7, 6, 5]);
        assert_eq!(placement.hosts(true, false), [3, 4, 5, 6, 7]);
    }

    #[test]
    fn brokers_have_hosts_of_their_own_and_so_have_both_ends_of_a_hop() {
        for hosts in 2..=8 {
            for nodes in 1..=hosts {
                for free in 0..=hosts {
                    let with_workers: Vec<bool> = (0..hosts).map(|host| host >= free).collect();
                    let placement = Placement::choose(nodes, &with_workers);
                    assert_ne!(placement.producer_proxy, placement.consumer_proxy);
                    assert_ne!(placement.balancer, placement.ingress);
                    let mut distinct = placement.nodes.clone();
                    distinct.sort_unstable();
                    distinct.dedup();
                    assert_eq!(distinct.len(), nodes, "{placement:?}");
                }
            }
        }
    }

    #[test]
    fn the_supervisor_reads_the_placement_that_is_passed_to_it() {
        let addresses: Vec<Ipv4Addr> = (1..=4).map(|last| Ipv4Addr::new(192, 0, 2, last)).collect();
        let placement = Placement::choose(2, &[true, false, false, false]);
        let allocation = Allocation::new(&placement, &addresses, 2);
        assert_eq!(allocation.to_string().parse(), Ok(allocation));
        assert_eq!((allocation.dsn(1), allocation.dsn(2)), (addresses[1], addresses[2]));
        assert!("192.0.2.1".parse::<Allocation>().is_err());
    }
}
