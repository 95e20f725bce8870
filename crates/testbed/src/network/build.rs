//! Creates the namespaces, connects them to the switch and limits the links.

use super::{
    Distance, Facility, Host, Hosts, LinkState, NetworkChoice, NetworkState, ProducersState, Rule, Tools, buffers,
    counters::{self, Link},
    filter,
    forwarder::{self, Forwarder},
    host_of_part,
    namespace::Namespace,
};
use crate::{Error, Result, process::Proc};
use distance::{Conditions, open_device};
use serde::{Deserialize, Serialize};
use std::{io, net::Ipv4Addr};

/// How long a frame may wait for a limited link before it is dropped, as in a switch with a small buffer.
const QUEUE_MS: u64 = 20;
/// Least burst of a link after idle time: a millisecond's worth, but at least a few frames.
const BURST_BYTES_MIN: u64 = 16 * 1024;
/// Packets that the kernel keeps for the forwarder.
const DEVICE_QUEUE_PACKETS: u32 = 10_000;

/// A network that lives as long as this value and the processes in it.
#[derive(Debug)]
pub struct Network {
    hosts: Hosts,
    switch: Namespace,
    joined: Vec<(Host, Namespace)>,
    links: Vec<LinkState>,
    tools: Tools,
    facility: Facility,
    /// Whether the kernel can delay packets.
    netem: bool,
    /// Until it is started.
    forwarder: Option<Forwarder>,
    /// What the firewall lets through, if there is one.
    firewall: Option<Vec<Rule>>,
}

impl Network {
    /// Builds it, and leaves this process at the switch.
    pub fn build(proc: &Proc, hosts: Hosts, facility: Facility, tools: Tools) -> Result<Self> {
        let Trial { way: by, netem } = Trial::make(proc, hosts, &facility, &tools)?;
        let mut joined = Vec::new();
        for host in hosts.on_a_switch() {
            let namespace = Namespace::create(proc)?;
            tools.ip("link set lo up", None)?;
            joined.push((host, namespace));
        }
        let switch = Namespace::create(proc)?;
        let address = hosts.address(Host::Switch);
        tools.ip("link set lo up", None)?;
        tools.ip("link add br0 type bridge", None)?;
        tools.ip(&format!("addr add {address}/24 dev br0"), None)?;
        tools.ip("link set br0 up", None)?;
        let mut network =
            Self { hosts, switch, joined, links: Vec::new(), tools, facility, netem, forwarder: None, firewall: None };
        for index in 0..network.joined.len() {
            let link = network.join(index, by)?;
            network.links.push(link);
        }
        network.switch.enter()?;
        Ok(network)
    }

    fn join(&mut self, index: usize, way: Way) -> Result<LinkState> {
        let host = self.joined[index].0;
        let address = self.hosts.address(host);
        // These stand for many machines: unless they have a rate of their own, only the other hosts' links limit them.
        let is_many = matches!(host, Host::Clients | Host::Site | Host::Producers);
        let own = self.facility.own_rates.get(&host.to_string()).copied();
        let rate = own.unwrap_or(self.facility.rate_bits_per_second.filter(|_| !is_many));
        let way = if host == self.hosts.at_a_distance() { way } else { Way::Short };
        let forwarder = self.connect(index, way)?;
        self.forwarder = self.forwarder.take().or(forwarder);
        self.switch_of(host).enter()?;
        self.tools.ip(&format!("link set {host} master br0 up"), None)?;
        self.limit(&host.to_string(), rate, way)?;
        self.joined[index].1.enter()?;
        if host == Host::Site {
            self.tools.ip("link add br0 type bridge", None)?;
            self.tools.ip("link set br0 up", None)?;
            self.tools.ip("link set eth0 master br0", None)?;
            self.tools.ip("link set eth0 up", None)?;
        } else {
            self.tools.ip(&format!("addr add {address}/24 dev eth0"), None)?;
            self.tools.ip("link set eth0 up", None)?;
            self.set_congestion(address)?;
        }
        self.limit("eth0", rate, way)?;
        let Conditions { delay, jitter, loss, reorder } = self.facility.way;
        let socket_bytes = if delay.is_zero() { None } else { buffers::grow() };
        let jitter_s = jitter.as_secs_f64();
        let distance = way.name().map(|by| Distance { by: by.into(), jitter_s, loss, reorder, socket_bytes });
        let delay_s = distance.as_ref().map_or(0.0, |_| delay.as_secs_f64());
        Ok(LinkState { name: host.to_string(), address, rate_bits_per_second: rate, delay_s, distance })
    }

    /// Makes the device `eth0` of the host and the switch's port with the host's name, which belong together.
    fn connect(&self, index: usize, way: Way) -> Result<Option<Forwarder>> {
        let (host, namespace) = &self.joined[index];
        let Way::Forwarder { queue_bytes } = way else {
            self.switch_of(*host).enter()?;
            let mtu = self.facility.mtu;
            let pair = format!("link add {host} mtu {mtu} type veth peer name eth0 mtu {mtu} netns /proc/self/fd/0");
            self.tools.ip(&pair, Some(namespace.as_stdin()?))?;
            return Ok(None);
        };
        let conditions = self.facility.way;
        let open = |namespace: &Namespace, name: &str| {
            namespace.enter()?;
            let device = open_device(name, !conditions.act_on_single_packets())
                .map_err(|source| Error::NoDistance { what: "--delay", netem: false, source })?;
            // It must take what a fast sender sends while the forwarder is late.
            let settings = format!("txqueuelen {DEVICE_QUEUE_PACKETS} mtu {}", self.facility.mtu);
            self.tools.ip(&format!("link set {name} {settings}"), None)?;
            Ok::<_, Error>(device)
        };
        let ends = [open(namespace, "eth0")?, open(&self.switch, &host.to_string())?];
        Ok(Some(Forwarder { ends, conditions, queue_bytes }))
    }

    /// Has connections from this namespace, and to it, use the requested congestion control. By its routes: its default may
    /// only be one that the system allows to everyone.
    fn set_congestion(&self, address: Ipv4Addr) -> Result<()> {
        let Some(congestion) = self.facility.congestion else { return Ok(()) };
        let [a, b, c, _] = address.octets();
        let network = Ipv4Addr::new(a, b, c, 0);
        for (kind, to, scope) in
            [("", format!("{network}/24"), "link"), ("local", address.to_string(), "host table local")]
        {
            let route = format!("{kind} {to} dev eth0 proto kernel scope {scope} src {address} congctl {congestion}");
            self.tools
                .ip(&format!("route replace {route}"), None)
                .map_err(|error| Error::Congestion { name: congestion.to_string(), reason: error.to_string() })?;
        }
        Ok(())
    }

    /// The namespace of the bridge that a host is connected to.
    fn switch_of(&self, host: Host) -> &Namespace {
        if host.is_far() { self.of(Host::Site).unwrap_or(&self.switch) } else { &self.switch }
    }

    fn of(&self, host: Host) -> Option<&Namespace> {
        self.joined.iter().find(|(joined, _)| *joined == host).map(|(_, namespace)| namespace)
    }

    fn limit(&self, device: &str, rate: Option<u64>, way: Way) -> Result<()> {
        if let Some(rate) = rate {
            self.tools.tc(&format!("qdisc add dev {device} root {}", bucket(rate)))?;
        }
        if way == Way::Netem {
            let micros = self.facility.way.delay.as_micros();
            self.tools.tc(&format!("qdisc add dev {device} root netem delay {micros}us limit 100000"))?;
        }
        Ok(())
    }

    /// Closes the service's site to the other one, except for these connections.
    pub fn close_site(&mut self, rules: &[Rule]) -> Result<()> {
        // This process is at the switch, through which all from the other site comes.
        self.firewall = Some(filter::install(&self.tools, rules)?);
        Ok(())
    }

    /// The process to start for a distance that the kernel does not make.
    pub fn take_forwarder(&mut self) -> Option<Forwarder> {
        self.forwarder.take()
    }

    /// Calls `work`, such as the start of a part, in the namespace of that part.
    pub fn at_place_of<T>(&self, part: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let host = host_of_part(self.hosts, part);
        let Some(namespace) = self.of(host) else { return work() };
        namespace.enter()?;
        let done = work();
        self.switch.enter()?;
        done
    }

    /// What the kernel offers, tried in a namespace that is left at once. Leaves this process there.
    pub fn offers(proc: &Proc, tools: &Tools) -> Result<Offers> {
        let _scratch = Namespace::create(proc)?;
        let is_there = |discipline: &str| tools.tc(&format!("qdisc replace dev lo root {discipline}")).is_ok();
        let (rate, netem) = (is_there(&bucket(1_000_000_000)), is_there("netem delay 1ms"));
        let tun = open_device("try0", true).map(drop).map_err(|error| error.to_string());
        Ok(Offers { rate, netem, tun })
    }

    /// All hosts that are connected.
    pub fn hosts(&self) -> impl Iterator<Item = Host> {
        self.joined.iter().map(|(host, _)| *host)
    }

    /// The rate of a host's link, if it is limited.
    pub fn rate_of(&self, host: Host) -> Option<u64> {
        self.link_of(host)?.rate_bits_per_second
    }

    /// Whether a host's link has the distance.
    pub fn has_distance(&self, host: Host) -> bool {
        self.link_of(host).is_some_and(|link| link.distance.is_some())
    }

    fn link_of(&self, host: Host) -> Option<&LinkState> {
        self.links.iter().zip(&self.joined).find(|(_, (joined, _))| *joined == host).map(|(link, _)| link)
    }

    /// Calls `work` in the namespace of the switch that a host is connected to.
    pub fn at_switch_of<T>(&self, host: Host, work: impl FnOnce(&Tools) -> Result<T>) -> Result<T> {
        self.within(self.switch_of(host), work)
    }

    /// Calls `work` in the namespace of a host.
    pub fn at_host<T>(&self, host: Host, work: impl FnOnce(&Tools) -> Result<T>) -> Result<T> {
        self.within(self.of(host).unwrap_or(&self.switch), work)
    }

    fn within<T>(&self, namespace: &Namespace, work: impl FnOnce(&Tools) -> Result<T>) -> Result<T> {
        namespace.enter()?;
        let done = work(&self.tools);
        self.switch.enter()?;
        done
    }

    pub fn state(&self) -> Result<NetworkState> {
        // The clients are joined first.
        let all = self.joined.iter().map(|(_, namespace)| namespace).chain([&self.switch]);
        Ok(NetworkState {
            links: self.links.clone(),
            clients_fd: self.joined[0].1.descriptor(),
            producers: self.of(Host::Producers).map(producers).transpose()?,
            namespaces: all.map(Namespace::inode).collect::<Result<_>>()?,
            choice: NetworkChoice::Facility(self.facility.clone()).to_string(),
            congestion: self.facility.congestion.map(|congestion| congestion.to_string()),
            firewall: self.firewall.clone(),
            mtu: Some(self.facility.mtu),
            netem: self.netem,
        })
    }

    /// The counters of each link so far.
    pub fn count(&self) -> Result<Vec<Link>> {
        let switch = |namespace: &Namespace| {
            namespace.enter()?;
            Ok::<_, Error>([self.tools.ip("-s -j link show", None)?, self.tools.tc("-s -j qdisc show")?])
        };
        let far = self.of(Host::Site).map(switch).transpose()?;
        let near = switch(&self.switch)?;
        let mut links = Vec::new();
        for (link, (host, namespace)) in self.links.iter().zip(&self.joined) {
            let [ports, towards] = far.as_ref().filter(|_| host.is_far()).unwrap_or(&near);
            namespace.enter()?;
            let from = self.tools.tc("-s -j qdisc show");
            self.switch.enter()?;
            links.push(counters::link(link, ports, towards, &from?)?);
        }
        Ok(links)
    }
}

fn producers(namespace: &Namespace) -> Result<ProducersState> {
    Ok(ProducersState { fd: namespace.descriptor(), namespace: namespace.inode()? })
}

pub(super) fn bucket(rate_bits_per_second: u64) -> String {
    let burst = (rate_bits_per_second / 8 / 1000).max(BURST_BYTES_MIN);
    format!("tbf rate {rate_bits_per_second}bit burst {burst} latency {QUEUE_MS}ms")
}

/// What delays packets between the clients and the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing.
    Short,
    /// The kernel, which delays and does nothing else here: it would lose and reorder whole coalesced segments.
    Netem,
    /// A process of ours.
    Forwarder { queue_bytes: usize },
}

/// What works here for a facility.
struct Trial {
    /// The first way that works.
    way: Way,
    /// Whether the kernel can delay packets.
    netem: bool,
}

impl Trial {
    /// Fails if the kernel does not support the requested limits.
    fn make(proc: &Proc, hosts: Hosts, facility: &Facility, tools: &Tools) -> Result<Self> {
        let Offers { rate, netem, tun } = Network::offers(proc, tools)?;
        let any = facility.rate_bits_per_second.or(facility.own_rates.values().flatten().next().copied());
        if any.is_some() && !rate {
            return Err(Error::NoRateLimit);
        }
        let only_delay = Conditions { delay: facility.way.delay, ..Conditions::default() };
        if facility.way == Conditions::default() {
            return Ok(Self { way: Way::Short, netem });
        }
        let would_do = facility.way == only_delay;
        if would_do && netem {
            return Ok(Self { way: Way::Netem, netem });
        }
        let what = if would_do { "--delay" } else { "--jitter, --loss or --reorder" };
        tun.map_err(|reason| Error::NoDistance { what, netem: would_do, source: io::Error::other(reason) })?;
        let together = facility.rate_bits_per_second.map(|rate| rate * hosts.dsns() as u64);
        let queue_bytes = forwarder::queue_bytes(facility.way, together)?;
        Ok(Self { way: Way::Forwarder { queue_bytes }, netem })
    }
}

/// What the kernel offers for links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// Whether it limits their rate.
    pub rate: bool,
    /// Whether it delays packets.
    pub netem: bool,
    /// Whether a process of ours may carry packets instead, or why not.
    pub tun: std::result::Result<(), String>,
}

impl Way {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Short => None,
            Self::Netem => Some("netem"),
            Self::Forwarder { .. } => Some(forwarder::FORWARDER_WORD),
        }
    }
}
