//! Hosts with their cores and links, and the parts on them.

use crate::{
    cargo::Cargo,
    draws::Draws,
    network::{Cost, Lane, Network, Stall, Station, Step},
    testbed::{Cores, Sharing, Testbed, Work},
};
use profile::Rate;
use std::collections::BTreeMap;

/// Separates shares of links from all other draws.
const SHARES: u64 = 3;

/// One host.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its cores.
    pub cores: Station,
    delay_ns: u64,
    out: Option<Direction>,
    into: Option<Direction>,
}

#[derive(Debug, Clone, Copy)]
struct Direction {
    station: Station,
    byte_ns: f64,
}

/// A host's link.
#[derive(Debug, Clone)]
pub struct Link {
    /// The host.
    pub host: String,
    /// Its rate in each direction; `None`: unlimited.
    pub bits_per_second: Option<f64>,
    /// How long a bit takes.
    pub delay_ns: u64,
    /// From the host, if it is limited.
    pub out: Option<Station>,
    /// To the host, if it is limited.
    pub into: Option<Station>,
}

/// All hosts and parts of a testbed.
#[derive(Debug)]
pub struct Hosts {
    places: Vec<Place>,
    links: Vec<Link>,
    /// First place and number of places of each host.
    names: BTreeMap<String, (u32, u32)>,
    /// The threads of each part with their hosts, and the one that takes the next connection.
    parts: BTreeMap<String, (Vec<(u32, Lane)>, usize)>,
}

impl Hosts {
    /// Adds the hosts and parts of a testbed to a network; `seed` is for the shares of its links.
    pub fn build(testbed: &Testbed, seed: u64, network: &mut Network<Cargo>) -> Self {
        let pool =
            |(name, cores): (&String, &u32)| (name.clone(), network.station(format!("the cores `{name}`"), *cores));
        let pools: BTreeMap<String, Station> = testbed.cores.iter().map(pool).collect();
        let (mut places, mut links, mut names, mut directions) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
        for (name, host) in &testbed.hosts {
            names.insert(name.clone(), (places.len() as u32, host.count));
            for number in 1..=host.count {
                let called = if host.count == 1 { name.clone() } else { format!("{name} {number}") };
                let cores = match &host.cores {
                    Cores::Own(cores) => network.station(format!("the cores of {called}"), *cores),
                    Cores::Pool(pool) => pools[pool],
                };
                let bits_per_second =
                    host.link.and_then(|rate| if let Rate::Bits(bits) = rate { Some(bits) } else { None });
                let mut link = |direction: &str| {
                    let bits = bits_per_second?;
                    directions += 1;
                    let (name, draws) = (format!("{called} {direction}"), Draws::new(seed, SHARES, directions));
                    let station = match testbed.wire.sharing {
                        Sharing::Equal => network.station(name, 1),
                        Sharing::Drawn => network.link(name, draws, testbed.wire.buffer.0),
                    };
                    let queue_ns = testbed.wire.queue.map_or(0, |queue| queue.0.as_nanos() as u64);
                    if queue_ns > 0 {
                        network.queues_up(station, queue_ns);
                    }
                    network.stalls(
                        station,
                        testbed.wire.stall.map(|stall| Stall {
                            queue_bytes: (bits / 8e9 * queue_ns as f64) as u64,
                            ns: stall.0.as_nanos() as u64,
                        }),
                    );
                    Some(Direction { station, byte_ns: 8e9 / bits * (1.0 + testbed.wire.overhead) })
                };
                let (out, into) = (link("out"), link("in"));
                let delay_ns = host.delay.map_or(0, |delay| delay.0.as_nanos() as u64);
                places.push(Place { cores, delay_ns, out, into });
                let [from, to] = [out, into].map(|direction| direction.map(|direction| direction.station));
                links.push(Link { host: called, bits_per_second, delay_ns, out: from, into: to });
            }
        }
        let mut parts = BTreeMap::new();
        for (name, part) in &testbed.parts {
            let (first, hosts) = names[&part.host];
            // One of them on each host of that name.
            let cores: Vec<(u32, Station)> = (first..first + hosts)
                .map(|host| match part.cpu {
                    Some(cpu) => {
                        let servers = match &testbed.hosts[&part.host].cores {
                            Cores::Own(cores) => *cores,
                            Cores::Pool(pool) => testbed.cores[pool],
                        };
                        (host, network.limited(format!("the {cpu} CPU of {name}"), servers, cpu))
                    }
                    None => (host, places[host as usize].cores),
                })
                .collect();
            let mut threads = Vec::new();
            for number in 1..=part.threads {
                for (host, station) in &cores {
                    threads.push((*host, network.lane(*station, Some(format!("thread {number} of {name}")))));
                }
            }
            parts.insert(name.clone(), (threads, 0));
        }
        Self { places, links, names, parts }
    }

    /// The place of worker or node `index` of `count` on the hosts of that name, in blocks.
    pub fn of(&self, name: &str, index: usize, count: usize) -> u32 {
        let (first, hosts) = self.names[name];
        first + (index * hosts as usize / count.max(1)) as u32
    }

    /// The link of each host.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The place by its number.
    pub fn place(&self, number: u32) -> Place {
        self.places[number as usize]
    }

    /// The link to a host, if it is limited.
    pub fn link_to(&self, number: u32) -> Option<Station> {
        self.place(number).into.map(|link| link.station)
    }

    /// A part's place and its thread for one more connection: to one of its addresses, or to whichever is next.
    pub fn part(&mut self, name: &str, address: Option<u32>) -> (u32, Lane) {
        let (threads, next) = self.parts.get_mut(name).expect("the testbed was checked");
        let thread = threads[address.map_or(*next, |address| address as usize) % threads.len()];
        *next += 1;
        thread
    }

    /// The way from one host to another for one direction of a connection, and how long a bit takes.
    pub fn cross(&self, network: &mut Network<Cargo>, from: u32, to: u32) -> (Vec<Step>, u64) {
        if from == to {
            return (Vec::new(), 0);
        }
        let (from, to) = (self.place(from), self.place(to));
        let delay_ns = from.delay_ns + to.delay_ns;
        let over = |direction: Option<Direction>| {
            direction.map(|link| {
                let cost = Cost { byte_ns: link.byte_ns, ..Cost::default() };
                Step::Work(network.lane(link.station, None), cost)
            })
        };
        let mut steps: Vec<Step> = [from.out, to.into].into_iter().filter_map(over).collect();
        steps.push(Step::Wait(delay_ns));
        (steps, delay_ns)
    }
}

/// A cost in the units of the network.
pub fn cost(work: Work) -> Cost {
    Cost { message_ns: work.us * 1e3, packet_ns: work.packet_us * 1e3, byte_ns: work.byte_ns }
}
