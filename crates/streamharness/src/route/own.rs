//! The testbed of a launch's own: on rank 0's host, or over all hosts of the launch.

use crate::{
    host::reach,
    launch::world::{Host, Stop, World},
    route::{
        source::{Source, fail, running_testbed, unusable},
        spread::{self, Spread, Wish, named},
    },
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use measure::record::ServicePart;
use profile::{Plan, Profile, RouteProfile};
use std::{num::NonZeroU32, path::Path};
use testbed::{Ephemeral, NetworkChoice, Options, Placement, PortRange, Testbed};

/// Nodes of a testbed on one host: it must be up soon, and its figures are not for comparison.
const NODES: usize = 1;
/// From so many hosts on, brokers are on more than one.
const HOSTS_FOR_MORE: usize = 6;
/// Brokers where there are so many hosts.
const NODES_OF_MANY_HOSTS: usize = 3;
const NODES_MAX: usize = 9;

/// The testbed, built when the first of its runs needs one. Dropping it removes it.
#[derive(Default)]
pub struct OwnTestbed {
    /// Routes that later runs will need, too.
    routes: Vec<String>,
    /// The hosts of the launch, that of rank 0 first; on rank 0 only.
    pub hosts: Vec<Host>,
    /// The parts of this host.
    ephemeral: Option<Ephemeral>,
    /// The parts of all hosts, on rank 0.
    spread: Option<Spread>,
}

impl OwnTestbed {
    /// With these routes besides the one of the first run, for ranks on these hosts.
    pub fn new(routes: Vec<String>, hosts: Vec<Host>) -> Self {
        Self { routes, hosts, ..Self::default() }
    }

    /// What all hosts have to build together for this run; `None` if nothing is missing, or if rank 0 builds it alone.
    pub fn wish(&self, profile: &Profile, plan: &Plan, ranks: &[u32]) -> Result<Option<Wish>, Failure> {
        let Source::Testbed(name) = Source::of(profile)? else { return Ok(None) };
        let hosts = self.hosts.len();
        let nodes = brokers(profile.route.service_hosts, hosts)?;
        if hosts < 2 || self.spread.is_some() || running_testbed()?.is_some() {
            return Ok(None);
        }
        let with_workers = with_workers(plan, ranks, hosts);
        let routes: Vec<String> = self.routes.iter().cloned().chain([name.to_owned()]).collect();
        // An invalid name is reported before anything starts.
        let of_names = named(&routes)?;
        let interface = profile.route.interface.clone();
        let bases = testbed::candidate_ports(nodes, &of_names, ports(&profile.route)?).map_err(unusable)?;
        Ok(Some(Wish { hosts: self.hosts.clone(), with_workers, nodes, routes, interface, bases }))
    }

    /// All hosts build it; every rank calls it.
    pub fn build(&mut self, world: &World, wish: &Wish, say: &mut dyn FnMut(&str)) -> Result<(), Stop> {
        if world.leads() {
            say("no address given and no testbed running");
        }
        let (here, joined) = spread::build(world, wish, say)?;
        (self.ephemeral, self.spread) = (here, joined);
        Ok(())
    }

    /// The testbed, built on this host if there is none yet.
    pub fn with(&mut self, name: &str, written: &RouteProfile, say: &mut dyn FnMut(&str)) -> Result<&Testbed, Failure> {
        if self.spread.is_none() && self.ephemeral.is_none() {
            let (network, ports) = (self.network(written.interface.as_deref())?, ports(written)?);
            say(&format!(
                "no address given and no testbed running: building a {NODES}-node testbed for this launch \
                 (`streamharness testbed up` starts a lasting one)"
            ));
            let routes: Vec<String> = self.routes.iter().cloned().chain([name.to_owned()]).collect();
            let cores_of_others = self.hosts.first().map(|host| host.cores.clone()).unwrap_or_default();
            let routes = named(&routes)?;
            let options = Options { routes, network, ports, cores_of_others, ..Options::new(NODES).map_err(unusable)? };
            self.ephemeral = Some(testbed::ephemeral(&options, say).map_err(unusable)?);
        }
        let here = || self.ephemeral.as_ref().expect("built above").testbed();
        Ok(self.spread.as_ref().map_or_else(here, |spread| &spread.testbed))
    }

    /// The testbed, once it is built: the parts of all hosts.
    pub fn testbed(&self) -> Option<&Testbed> {
        let here = || self.ephemeral.as_ref().map(Ephemeral::testbed);
        self.spread.as_ref().map(|spread| &spread.testbed).or_else(here)
    }

    /// The directory by which other launches of this host find it; `None` without one.
    pub fn dir(&self) -> Result<Option<&Path>, Failure> {
        if self.spread.is_some() {
            let sentence = "neighbours find no testbed that a launch has built over several hosts: start one with `streamharness \
                 testbed span`, and give its route file";
            return fail(Exit::Usage, sentence.to_owned());
        }
        Ok(self.ephemeral.as_ref().map(|here| here.testbed().dir()))
    }

    fn network(&self, interface: Option<&str>) -> Result<NetworkChoice, Failure> {
        let Some(interface) = interface else { return Ok(NetworkChoice::Loopback) };
        let chosen = reach::choose(&reach::addresses(), &[], Some(interface));
        chosen.map(NetworkChoice::Reachable).map_err(|sentence| Failure::new(Exit::Route, sentence))
    }

    /// Which part is on which host, if it is spread over several, and which of these hosts have workers of this plan.
    pub fn parts(&self, plan: &Plan, ranks: &[u32]) -> Vec<ServicePart> {
        let busy = with_workers(plan, ranks, self.hosts.len());
        let is_busy = |name: &str| self.hosts.iter().position(|host| host.name == name).is_some_and(|host| busy[host]);
        let parts = self.spread.iter().flat_map(|spread| spread.parts.iter().cloned());
        parts.map(|part| ServicePart { beside_workers: is_busy(&part.host), ..part }).collect()
    }

    /// Removes what is on this host; reports what could not be removed.
    pub fn close(self) {
        if let Some(Err(error)) = self.ephemeral.map(Ephemeral::close) {
            stderr::say(error);
        }
    }
}

/// The ports that it may use, if they are prescribed.
fn ports(written: &RouteProfile) -> Result<Option<PortRange>, Failure> {
    let given = written.ports.as_ref().map(|text| text.parse().map_err(|error| Failure::new(Exit::Profile, error)));
    given.map_or_else(|| PortRange::of_environment().map_err(unusable), |given| given.map(Some))
}

/// How many brokers a testbed over so many hosts has.
pub fn brokers(wanted: Option<NonZeroU32>, hosts: usize) -> Result<usize, Failure> {
    let wanted = wanted.map(|hosts| hosts.get() as usize);
    let brokers = wanted.unwrap_or(if hosts >= HOSTS_FOR_MORE { NODES_OF_MANY_HOSTS } else { 1 });
    if brokers > hosts.min(NODES_MAX) {
        let sentence = format!(
            "--service-hosts {brokers} needs as many hosts, at most {NODES_MAX}, and the ranks of this launch are on {hosts}: \
             lower it, or start ranks on more hosts"
        );
        return fail(Exit::Usage, sentence);
    }
    Ok(brokers)
}

/// Whether each host has producers or consumers.
fn with_workers(plan: &Plan, ranks: &[u32], hosts: usize) -> Vec<bool> {
    let mut with_workers = vec![false; hosts];
    for (rank, host) in ranks.iter().enumerate() {
        let role = plan.placement.role(rank);
        with_workers[*host as usize] |= !role.producers.is_empty() || !role.consumers.is_empty();
    }
    with_workers
}

/// The parts that each host would have, in words; none for a service that is elsewhere, or for a single host.
pub fn placed(profile: &Profile, plan: &Plan, ranks: &[u32]) -> Result<Vec<Vec<String>>, Failure> {
    let hosts = ranks.iter().max().map_or(0, |last| *last as usize + 1);
    let brokers = brokers(profile.route.service_hosts, hosts)?;
    let mut parts = vec![Vec::new(); hosts];
    let Source::Testbed(name) = Source::of(profile)? else { return Ok(parts) };
    if hosts < 2 {
        return Ok(parts);
    }
    let placement = Placement::choose(brokers, &with_workers(plan, ranks, hosts));
    for (number, host) in (1..).zip(&placement.nodes) {
        parts[*host].push(format!("broker node {number}"));
    }
    let routes = named(&[name.to_owned()])?;
    if !routes.proxies.is_empty() {
        parts[placement.producer_proxy].push("proxy of the producers".to_owned());
        parts[placement.consumer_proxy].push("proxy of the consumers".to_owned());
    }
    if routes.managed.is_some() {
        parts[placement.balancer].push("balancer".to_owned());
        parts[placement.ingress].push("ingress and S3M interface".to_owned());
    }
    if routes.ejfat {
        parts[placement.balancer].push("EJFAT load balancer".to_owned());
        parts[placement.ingress].push("EJFAT control plane".to_owned());
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, combine};

    fn placed_over(hosts: u32, text: &str) -> Result<Vec<Vec<String>>, Failure> {
        let layer = Layer::parse(Origin::CommandLine, text).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let ranks: Vec<u32> = (0..4 * hosts).map(|rank| rank / 4).collect();
        let plan = Plan::resolve_on(&profile, &ranks, 7).unwrap();
        placed(&profile, &plan, &ranks)
    }

    #[test]
    fn hosts_without_workers_get_the_service_and_each_end_of_a_hop_a_host_of_its_own() {
        let placed = placed_over(8, "arch = 'mss'\nproducers = 10\nconsumers = 10").unwrap();
        let shown: Vec<String> = placed.iter().map(|parts| parts.join(", ")).collect();
        assert_eq!(shown[..5], [""; 5], "20 workers are on the first five hosts");
        assert_eq!(shown[5..].iter().filter(|parts| parts.contains("broker")).count(), 3, "{shown:?}");
        assert!(!shown.iter().any(|parts| parts.contains("balancer") && parts.contains("ingress")), "{shown:?}");
    }

    #[test]
    fn a_service_elsewhere_and_one_host_have_nothing_to_place() {
        let elsewhere = placed_over(4, "arch = 'dts'\n[route]\nurls = ['amqps://me@service.example']").unwrap();
        assert!(elsewhere.iter().all(Vec::is_empty));
        assert!(placed_over(1, "arch = 'prs'").unwrap().iter().all(Vec::is_empty));
        assert!(placed_over(2, "arch = 'dts'\n[route]\nservice_hosts = 3").is_err());
    }
}
