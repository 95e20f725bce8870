//! Creates the namespaces, connects them to the switch and limits the links.

use super::{
    Facility, Host, Hosts, LinkState, NetworkState, Tools,
    counters::{self, Link},
    host_of_part,
    namespace::Namespace,
};
use crate::{Error, Result, process::Proc};

/// How long a frame may wait for a limited link before it is dropped, as in a switch with a small buffer.
const QUEUE_MS: u64 = 20;
/// Least burst of a link after idle time: a millisecond's worth, but at least a few frames.
const BURST_BYTES_MIN: u64 = 16 * 1024;

/// A network that lives as long as this value and the processes in it.
#[derive(Debug)]
pub struct Network {
    hosts: Hosts,
    switch: Namespace,
    joined: Vec<(Host, Namespace)>,
    links: Vec<LinkState>,
    tools: Tools,
}

impl Network {
    /// Builds it, and leaves this process at the switch.
    pub fn build(proc: &Proc, hosts: Hosts, facility: Facility, tools: Tools) -> Result<Self> {
        try_disciplines(proc, facility, &tools)?;
        let mut joined = Vec::new();
        for host in hosts.on_the_switch() {
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
        let mut network = Self { hosts, switch, joined, links: Vec::new(), tools };
        for index in 0..network.joined.len() {
            let link = network.join(index, facility)?;
            network.links.push(link);
        }
        network.switch.enter()?;
        Ok(network)
    }

    fn join(&self, index: usize, facility: Facility) -> Result<LinkState> {
        let (host, namespace) = &self.joined[index];
        let address = self.hosts.address(*host);
        // The clients stand for many machines: only the other hosts' links limit them.
        let is_clients = *host == Host::Clients;
        let rate = facility.rate_bits_per_second.filter(|_| !is_clients);
        let delay = if is_clients { facility.delay } else { std::time::Duration::ZERO };
        self.switch.enter()?;
        let pair = format!("link add {host} type veth peer name eth0 netns /proc/self/fd/0");
        self.tools.ip(&pair, Some(namespace.as_stdin()?))?;
        self.tools.ip(&format!("link set {host} master br0 up"), None)?;
        self.limit(&host.to_string(), rate, delay)?;
        namespace.enter()?;
        self.tools.ip(&format!("addr add {address}/24 dev eth0"), None)?;
        self.tools.ip("link set eth0 up", None)?;
        self.limit("eth0", rate, delay)?;
        Ok(LinkState { name: host.to_string(), address, rate_bits_per_second: rate, delay_s: delay.as_secs_f64() })
    }

    fn limit(&self, device: &str, rate: Option<u64>, delay: std::time::Duration) -> Result<()> {
        if let Some(rate) = rate {
            self.tools.tc(&format!("qdisc add dev {device} root {}", bucket(rate)))?;
        }
        if !delay.is_zero() {
            let micros = delay.as_micros();
            self.tools.tc(&format!("qdisc add dev {device} root netem delay {micros}us limit 100000"))?;
        }
        Ok(())
    }

    /// Calls `work`, such as the start of a part, in the namespace of that part.
    pub fn at_place_of<T>(&self, part: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let host = host_of_part(self.hosts, part);
        let Some((_, namespace)) = self.joined.iter().find(|(joined, _)| *joined == host) else { return work() };
        namespace.enter()?;
        let done = work();
        self.switch.enter()?;
        done
    }

    pub fn state(&self) -> Result<NetworkState> {
        // The clients are joined first.
        let all = self.joined.iter().map(|(_, namespace)| namespace).chain([&self.switch]);
        Ok(NetworkState {
            links: self.links.clone(),
            clients_fd: self.joined[0].1.descriptor(),
            namespaces: all.map(Namespace::inode).collect::<Result<_>>()?,
        })
    }

    /// The counters of each link so far.
    pub fn count(&self) -> Result<Vec<Link>> {
        let ports = self.tools.ip("-s -j link show", None)?;
        let towards = self.tools.tc("-s -j qdisc show")?;
        let mut links = Vec::new();
        for (link, (_, namespace)) in self.links.iter().zip(&self.joined) {
            namespace.enter()?;
            let from = self.tools.tc("-s -j qdisc show");
            self.switch.enter()?;
            links.push(counters::link(link, &ports, &towards, &from?)?);
        }
        Ok(links)
    }
}

fn bucket(rate_bits_per_second: u64) -> String {
    let burst = (rate_bits_per_second / 8 / 1000).max(BURST_BYTES_MIN);
    format!("tbf rate {rate_bits_per_second}bit burst {burst} latency {QUEUE_MS}ms")
}

/// Tests whether the kernel supports the requested limits, in a namespace that is left at once.
fn try_disciplines(proc: &Proc, facility: Facility, tools: &Tools) -> Result<()> {
    let _scratch = Namespace::create(proc)?;
    let is_there = |discipline: &str| tools.tc(&format!("qdisc replace dev lo root {discipline}")).is_ok();
    if !facility.delay.is_zero() && !is_there("netem delay 1ms") {
        return Err(Error::NoDelay);
    }
    if facility.rate_bits_per_second.is_some() && !is_there(&bucket(1_000_000_000)) {
        return Err(Error::NoRateLimit);
    }
    Ok(())
}
