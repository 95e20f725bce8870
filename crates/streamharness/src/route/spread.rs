//! Builds a testbed over the hosts of a launch: the first rank of each host starts the parts of its host, and all ranks take
//! part in each choice, so that none goes on alone.

use crate::{
    host::reach,
    launch::world::{Host, Stop, World},
    terminal::exit::{Exit, Failure},
};
use measure::record::ServicePart;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
    time::Duration,
};
use testbed::{Allocation, Ephemeral, NetworkChoice, Options, Placement, Report, Routes, Shared, Starting, Testbed};

/// How the parts of a testbed over several hosts are protected from others in the network.
pub const BETWEEN_PARTS: &str = "management API, S3M interface and control servers: TLS, password and token of this launch; \
    Erlang's distribution between brokers: cookie of this launch, not encrypted; AMQP and proxies: as the route says";
/// How long hosts may take to look for programs and ports.
const PREPARE_LIMIT: Duration = Duration::from_secs(60);
/// How long a host may take to accept a connection of another.
const REACH_LIMIT: Duration = Duration::from_secs(5);
/// How often the hosts compare how far they are.
const ROUND: Duration = Duration::from_millis(200);
/// How long a host may be late for a round.
const ROUND_LIMIT: Duration = Duration::from_secs(60);

/// The testbed that a run needs, as rank 0 knows it.
#[derive(Serialize, Deserialize)]
pub struct Wish {
    /// The hosts of the launch, that of rank 0 first.
    pub hosts: Vec<Host>,
    /// Whether each has workers.
    pub with_workers: Vec<bool>,
    /// Broker nodes.
    pub nodes: usize,
    /// Names of routes.
    pub routes: Vec<String>,
    /// The network interface that was asked for.
    pub interface: Option<String>,
    /// Ports to try.
    pub bases: Vec<u16>,
}

/// A testbed over several hosts, on rank 0.
pub struct Spread {
    /// All its parts.
    pub testbed: Testbed,
    /// Which part is on which host.
    pub parts: Vec<ServicePart>,
}

/// What a host offers.
#[derive(Serialize, Deserialize)]
struct Offer {
    address: Ipv4Addr,
    free: Vec<bool>,
    /// A port that accepts connections until all hosts have tried it.
    probe: u16,
}

/// What rank 0 has chosen.
#[derive(Serialize, Deserialize)]
struct Choice {
    placement: Placement,
    /// Of each host, with the port to try.
    addresses: Vec<(Ipv4Addr, u16)>,
    base: u16,
    shared: Shared,
}

/// How far a host is.
#[derive(Serialize, Deserialize)]
struct Progress {
    lines: Vec<String>,
    state: State,
}

#[derive(Serialize, Deserialize)]
enum State {
    /// It starts nothing.
    Idle,
    Starting,
    Ready(Box<Report>),
    Failed(String),
}

/// Builds it; every rank calls it. Returns the parts of this host, which its first rank holds, and all parts on rank 0.
pub fn build(
    world: &World,
    wish: &Wish,
    say: &mut dyn FnMut(&str),
) -> Result<(Option<Ephemeral>, Option<Spread>), Stop> {
    let here = world.host();
    let starts = world.is_first_of_its_host();
    let (offer, _probe) = if starts { offer(wish, here) } else { (None, None) };
    let choice = world.decide(&offer, PREPARE_LIMIT, |offers| choose(wish, world, offers))?;
    let routes = named(&wish.routes).map_err(|failure| world.stop(failure))?;
    let of_parts = choice.placement.hosts(!routes.proxies.is_empty(), routes.managed.is_some() || routes.ejfat);
    if world.leads() {
        let list =
            |hosts: &[usize]| hosts.iter().map(|host| wish.hosts[*host].name.as_str()).collect::<Vec<_>>().join(", ");
        say(&format!(
            "building a testbed over the hosts of this launch, with brokers on {} and all parts on {}",
            list(&choice.placement.nodes),
            list(&of_parts)
        ));
    }

    let reached = if starts { reach_all(wish, here, &choice, &of_parts) } else { Ok(()) };
    world.decide(&reached, PREPARE_LIMIT, |all| match all.into_iter().find_map(Result::err) {
        Some(sentence) => Err(Failure::new(Exit::Route, sentence)),
        None => Ok(()),
    })?;

    // Rank 0 needs its host's files even if no part is there.
    let begun = (starts && (of_parts.contains(&here) || here == 0)).then(|| {
        let addresses: Vec<Ipv4Addr> = choice.addresses.iter().map(|(address, _)| *address).collect();
        let network = NetworkChoice::Allocation(Allocation::new(&choice.placement, &addresses, here), choice.base);
        let cores_of_others = wish.hosts[here].cores.clone();
        let options = Options::new(wish.nodes)?;
        testbed::begin(&Options { routes, network, cores_of_others, shared: Some(choice.shared.clone()), ..options })
    });
    let mut part = Part::begun(begun);
    let reports = loop {
        let progress = part.look();
        let reports = world.decide(&progress, ROUND_LIMIT, |all| heard(wish, world, all, say));
        if let Some(reports) = reports? {
            break reports;
        }
    };
    let testbed = part.into_testbed();
    let spread = testbed.as_ref().filter(|_| world.leads()).map(|own| join(wish, &choice, own.testbed(), reports));
    Ok((testbed, spread))
}

/// The routes of these names.
pub fn named(names: &[String]) -> Result<Routes, Failure> {
    Routes::named(names.iter().map(String::as_str)).map_err(|error| Failure::new(Exit::Usage, error))
}

/// The part of the testbed on this host, if this rank starts it.
enum Part {
    None,
    Starting(Starting),
    Ready(Box<Ephemeral>),
    Failed(String),
}

impl Part {
    fn begun(begun: Option<testbed::Result<Starting>>) -> Self {
        match begun {
            None => Self::None,
            Some(Ok(starting)) => Self::Starting(starting),
            Some(Err(error)) => Self::Failed(error.to_string()),
        }
    }

    /// Waits a little, and returns how far it is.
    fn look(&mut self) -> Progress {
        let mut lines = Vec::new();
        if let Self::Starting(starting) = self {
            match starting.poll(ROUND, &mut |line| lines.push(line.to_owned())) {
                Ok(None) => {}
                Ok(Some(ready)) => *self = Self::Ready(Box::new(ready)),
                Err(error) => *self = Self::Failed(error.to_string()),
            }
        }
        let state = match self {
            Self::None => State::Idle,
            Self::Starting(_) => State::Starting,
            Self::Ready(ready) => State::Ready(Box::new(ready.testbed().report())),
            Self::Failed(sentence) => State::Failed(sentence.clone()),
        };
        Progress { lines, state }
    }

    fn into_testbed(self) -> Option<Ephemeral> {
        match self {
            Self::Ready(ready) => Some(*ready),
            _ => None,
        }
    }
}

/// What this host offers, and the socket behind its port to try.
fn offer(wish: &Wish, here: usize) -> (Option<Result<Offer, String>>, Option<TcpListener>) {
    let name = &wish.hosts[here].name;
    let offered = || -> Result<(Offer, TcpListener), String> {
        let routes = named(&wish.routes).map_err(|failure| failure.sentence)?;
        testbed::check_programs(&routes).map_err(|error| format!("host {name}: {error}"))?;
        let others: Vec<_> = wish.hosts.iter().map(|host| host.addresses.clone()).collect();
        let others = [&others[..here], &others[here + 1..]].concat();
        let address = reach::choose(&wish.hosts[here].addresses, &others, wish.interface.as_deref())
            .map_err(|sentence| format!("host {name}: {sentence}"))?;
        let cannot = |error: std::io::Error| format!("host {name} cannot listen at {address} ({error})");
        let probe = TcpListener::bind((address, 0)).map_err(cannot)?;
        let port = probe.local_addr().map_err(cannot)?.port();
        Ok((
            Offer { address, free: testbed::free_ports(&wish.bases, wish.nodes, &routes, address), probe: port },
            probe,
        ))
    };
    match offered() {
        Ok((offer, probe)) => (Some(Ok(offer)), Some(probe)),
        Err(sentence) => (Some(Err(sentence)), None),
    }
}

/// Rank 0 places the parts and chooses ports that are free on all hosts.
fn choose(wish: &Wish, world: &World, offers: Vec<Option<Result<Offer, String>>>) -> Result<Choice, Failure> {
    let mut by_host: Vec<Option<Offer>> = wish.hosts.iter().map(|_| None).collect();
    let mut unable = Vec::new();
    for (rank, offer) in offers.into_iter().enumerate() {
        match offer {
            None => {}
            Some(Ok(offer)) => by_host[world.hosts[rank] as usize] = Some(offer),
            Some(Err(sentence)) => unable.push(sentence),
        }
    }
    if !unable.is_empty() {
        return Err(Failure::new(Exit::Route, unable.join("; ")));
    }
    let offers: Vec<Offer> = by_host.into_iter().map(|offer| offer.expect("each host has a first rank")).collect();
    let is_free = |index: &usize| offers.iter().all(|offer| offer.free.get(*index) == Some(&true));
    let base = (0..wish.bases.len()).find(is_free).map(|index| wish.bases[index]).ok_or_else(|| {
        let sentence = format!(
            "no range of ports is free on all {} hosts: end other services there, give other ports with --ports, or \
             give the service's address with --url",
            wish.hosts.len()
        );
        Failure::new(Exit::Route, sentence)
    })?;
    let placement = Placement::choose(wish.nodes, &wish.with_workers);
    let addresses: Vec<(Ipv4Addr, u16)> = offers.iter().map(|offer| (offer.address, offer.probe)).collect();
    let plain: Vec<Ipv4Addr> = addresses.iter().map(|(address, _)| *address).collect();
    let shared = testbed::secrets_for(Allocation::new(&placement, &plain, 0))
        .map_err(|error| Failure::new(Exit::Route, error))?;
    Ok(Choice { placement, addresses, base, shared })
}

/// Tries to reach every host that will have a part.
fn reach_all(wish: &Wish, here: usize, choice: &Choice, of_parts: &[usize]) -> Result<(), String> {
    for host in of_parts {
        let (address, port) = choice.addresses[*host];
        let to = SocketAddrV4::new(address, port);
        TcpStream::connect_timeout(&to.into(), REACH_LIMIT).map_err(|error| {
            format!(
                "host {} does not reach host {} at {address} ({error}), and the service would be there: choose another network \
                 with --interface, or give the service's address with --url",
                wish.hosts[here].name, wish.hosts[*host].name
            )
        })?;
    }
    Ok(())
}

/// Rank 0 reports the progress of all hosts; returns their reports once all are ready.
fn heard(
    wish: &Wish,
    world: &World,
    all: Vec<Progress>,
    say: &mut dyn FnMut(&str),
) -> Result<Option<Vec<(usize, Report)>>, Failure> {
    let mut reports = Vec::new();
    let mut starting = false;
    for (rank, progress) in all.into_iter().enumerate() {
        let host = world.hosts[rank] as usize;
        let name = &wish.hosts[host].name;
        progress.lines.iter().for_each(|line| say(&format!("{name}: {line}")));
        match progress.state {
            State::Idle => {}
            State::Starting => starting = true,
            State::Ready(report) => reports.push((host, *report)),
            State::Failed(sentence) => return Err(Failure::new(Exit::Route, format!("host {name}: {sentence}"))),
        }
    }
    Ok((!starting).then_some(reports))
}

/// The whole testbed, as rank 0 sees it.
fn join(wish: &Wish, choice: &Choice, own: &Testbed, reports: Vec<(usize, Report)>) -> Spread {
    let mut testbed = own.clone();
    for (host, report) in reports.into_iter().filter(|(host, _)| *host != 0) {
        testbed.join(&wish.hosts[host].name, report);
    }
    let part = |(name, address): (String, SocketAddrV4)| {
        let host = choice.addresses.iter().position(|(at, _)| at == address.ip());
        ServicePart {
            name,
            host: host.map(|host| wish.hosts[host].name.clone()).unwrap_or_default(),
            address: address.to_string(),
            // It differs from run to run.
            beside_workers: false,
        }
    };
    let mut parts: Vec<ServicePart> = testbed.parts().into_iter().map(part).collect();
    parts.sort_by(|one, other| one.name.cmp(&other.name));
    Spread { testbed, parts }
}
