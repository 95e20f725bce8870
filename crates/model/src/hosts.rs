//! Hosts with their cores and links, and the parts on them.

use crate::{
    cargo::Cargo,
    network::{Cost, Lane, Network, Station, Step},
    testbed::{Cores, Testbed, Work},
};
use profile::Rate;
use std::collections::BTreeMap;

/// One host.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// Its cores.
    pub cores: Station,
    delay_ns: u64,
    out: Option<Link>,
    into: Option<Link>,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    station: Station,
    byte_ns: f64,
}

/// All hosts and parts of a testbed.
#[derive(Debug)]
pub struct Hosts {
    places: Vec<Place>,
    /// First place and number of places of each host.
    names: BTreeMap<String, (u32, u32)>,
    /// The threads of each part, and the one that takes the next connection.
    parts: BTreeMap<String, (u32, Vec<Lane>, usize)>,
}

impl Hosts {
    /// Adds the hosts and parts of a testbed to a network.
    pub fn build(testbed: &Testbed, network: &mut Network<Cargo>) -> Self {
        let pool = |(name, cores): (&String, &u32)| {
            (name.clone(), network.station(format!("the cores `{name}`"), *cores, 1.0))
        };
        let pools: BTreeMap<String, Station> = testbed.cores.iter().map(pool).collect();
        let (mut places, mut names) = (Vec::new(), BTreeMap::new());
        for (name, host) in &testbed.hosts {
            names.insert(name.clone(), (places.len() as u32, host.count));
            for number in 1..=host.count {
                let called = if host.count == 1 { name.clone() } else { format!("{name} {number}") };
                let cores = match &host.cores {
                    Cores::Own(cores) => network.station(format!("the cores of {called}"), *cores, 1.0),
                    Cores::Pool(pool) => pools[pool],
                };
                let mut link = |direction: &str| {
                    let Some(Rate::Bits(bits)) = host.link else { return None };
                    let station = network.station(format!("{called} {direction}"), 1, 1.0);
                    Some(Link { station, byte_ns: 8e9 / bits * (1.0 + testbed.wire.overhead) })
                };
                let (out, into) = (link("out"), link("in"));
                let delay_ns = host.delay.map_or(0, |delay| delay.0.as_nanos() as u64);
                places.push(Place { cores, delay_ns, out, into });
            }
        }
        let mut parts = BTreeMap::new();
        for (name, part) in &testbed.parts {
            let host = names[&part.host].0;
            let cores = match part.cpu {
                // More than a core is as many servers, each with its share.
                Some(cpu) => {
                    let servers = cpu.ceil();
                    network.station(format!("the {cpu} CPU of {name}"), servers as u32, cpu / servers)
                }
                None => places[host as usize].cores,
            };
            let thread = |number| network.lane(cores, Some(format!("thread {number} of {name}")));
            parts.insert(name.clone(), (host, (1..=part.threads).map(thread).collect(), 0));
        }
        Self { places, names, parts }
    }

    /// The place of worker or node `index` of `count` on the hosts of that name, in blocks.
    pub fn of(&self, name: &str, index: usize, count: usize) -> u32 {
        let (first, hosts) = self.names[name];
        first + (index * hosts as usize / count.max(1)) as u32
    }

    /// The place by its number.
    pub fn place(&self, number: u32) -> Place {
        self.places[number as usize]
    }

    /// A part's place, and its thread for one more connection.
    pub fn part(&mut self, name: &str) -> (u32, Lane) {
        let (host, threads, next) = self.parts.get_mut(name).expect("the testbed was checked");
        let thread = threads[*next % threads.len()];
        *next += 1;
        (*host, thread)
    }

    /// The way from one host to another for one direction of a connection, and how long a bit takes.
    pub fn cross(&self, network: &mut Network<Cargo>, from: u32, to: u32) -> (Vec<Step>, u64) {
        if from == to {
            return (Vec::new(), 0);
        }
        let (from, to) = (self.place(from), self.place(to));
        let delay_ns = from.delay_ns + to.delay_ns;
        let over = |link: Option<Link>| {
            link.map(|link| {
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
