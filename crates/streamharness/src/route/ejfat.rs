//! EJFAT: load balancers that are reserved for the run, and each rank's transport over them or past them.

use crate::{
    files::pem_file,
    host::reach,
    launch::world::{Host, Stop, World},
    route::{
        holder::{Held, Holder},
        secrets,
    },
    terminal::exit::{Exit, Failure},
};
use ejfat::{
    Client, Limits, Trust, Uri, Version,
    messages::{Reserve, Timestamp},
};
use engine::ports::{Comm, Role};
use measure::record::{Hop, HopEnd};
use profile::{Ejfat, Plan, RouteProfile};
use serde::{Deserialize, Serialize};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};
use testbed::Testbed;
use transport_amqp::Secret;
use transport_ejfat::{EjfatTransport, Route, Settings};

/// How long each call to the control plane may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// How long the holder may take to report success or failure.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// A reservation outlives the limits of its run by this.
const GRACE: Duration = Duration::from_secs(600);
const SYNC_PERIOD: Duration = Duration::from_millis(300);
const STATE_PERIOD: Duration = Duration::from_millis(100);
/// How often a rank looks for free ports.
const PORT_TRIES: u32 = 100;
/// Who says where a control plane is, where the environment does not.
const GIVEN: &str = "--url";
const LOAD_BALANCER: &str = "load balancer";
const BALANCER_OF_REPLIES: &str = "load balancer of replies";

/// What every rank needs to stream through a load balancer; rank 0 broadcasts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reserved {
    /// The reservation, with its token.
    uri: Secret,
    /// That of the load balancer of replies, where the pattern has some.
    back: Option<Secret>,
    ca_pem: Option<String>,
}

/// A reservation. Dropping it frees what was reserved for this run; so does the end of this process.
#[derive(Debug)]
pub struct Reservation {
    /// For every rank.
    pub reserved: Reserved,
    /// The hops of a run through it.
    pub hops: Vec<Hop>,
    _holders: Vec<Holder>,
}

/// The request to the holder.
#[derive(Serialize, Deserialize)]
pub struct Order {
    uri: Secret,
    ca_pem: Option<String>,
    name: String,
    /// How its slots are given; empty: by weight.
    strategy: String,
    /// For how long it may be needed.
    needed: Duration,
}

impl Reserved {
    /// A connection to its control plane, and its number there.
    pub async fn client(&self) -> Result<(Client, String), Failure> {
        let uri = read(self.uri.expose())?;
        Ok((client(&uri, self.ca_pem.as_deref()).await?, uri.lb_id.unwrap_or_default()))
    }
}

impl Reservation {
    /// Reserves the load balancer of the control plane at `address`, unless that is the address of a reservation already.
    pub fn open(written: &RouteProfile, plan: &Plan, address: &Address) -> Result<Self, Failure> {
        let uri = address.with_token(written)?;
        let ca_pem = written.ca.as_ref().map(|path| pem_file::read("--ca", path)).transpose()?;
        let replies = plan.flow.replies > 0;
        let reserve = |name: String, strategy: &str| -> Result<(Holder, Uri), Failure> {
            let order = Order {
                uri: Secret::new(uri.with_token()),
                ca_pem: ca_pem.clone(),
                name,
                strategy: strategy.to_owned(),
                needed: plan.limits.stream + GRACE,
            };
            let (holder, text) = Holder::start::<Secret>(Held::LoadBalancer, &order, OPEN_LIMIT)?;
            Ok((holder, read(text.expose())?))
        };
        let (mut holders, there) = match uri.lb_id {
            Some(_) if replies => {
                let sentence = "replies come back through a load balancer of their own, and this address is a reservation \
                     of one: give the address of the control plane, so that two can be reserved, or use --pattern work-sharing";
                return Err(Failure::new(Exit::Route, sentence));
            }
            Some(_) => (Vec::new(), existing(uri.clone(), ca_pem.as_deref())?),
            None => reserve(format!("run-{:08x}", plan.run), "").map(|(holder, uri)| (vec![holder], uri))?,
        };
        let mut hops = through(LOAD_BALANCER, [HopEnd::Producer, HopEnd::Consumer], &there);
        let mut back = None;
        if replies {
            let (holder, uri) = reserve(format!("run-{:08x}-replies", plan.run), "explicit")?;
            hops.extend(through(BALANCER_OF_REPLIES, [HopEnd::Consumer, HopEnd::Producer], &uri));
            back = Some(Secret::new(uri.with_token()));
            holders.push(holder);
        }
        let reserved = Reserved { uri: Secret::new(there.with_token()), back, ca_pem };
        Ok(Self { reserved, hops, _holders: holders })
    }
}

impl Order {
    /// Reserves; returns the address of the reservation, and its client and id to free it.
    pub async fn open(&self) -> Result<(Secret, (Client, String)), Failure> {
        let client = client(&read(self.uri.expose())?, self.ca_pem.as_deref()).await?;
        let until = UNIX_EPOCH.elapsed().unwrap_or_default() + self.needed;
        let until = Timestamp::of_us(u64::try_from(until.as_micros()).unwrap_or(u64::MAX));
        let request = Reserve {
            name: self.name.clone(),
            until: Some(until),
            strategy: self.strategy.clone(),
            ..Reserve::default()
        };
        let reservation = client.reserve(request).await.map_err(failure)?;
        Ok((Secret::new(reservation.ejfat_uri), (client, reservation.lb_id)))
    }
}

/// Whether a hop is one through the load balancer of replies.
pub fn is_of_replies(hop: &Hop) -> bool {
    let balancer = HopEnd::from(BALANCER_OF_REPLIES.to_owned());
    [&hop.from, &hop.to].contains(&&balancer)
}

/// The hops through a load balancer.
fn through(balancer: &str, [from, to]: [HopEnd; 2], uri: &Uri) -> Vec<Hop> {
    let data = uri.data.iter().map(|data| SocketAddr::new(data.ip, *data.ports.start()).to_string());
    let data = data.collect::<Vec<_>>().join(",");
    let balancer = || HopEnd::from(balancer.to_owned());
    vec![hop(from, balancer(), Some(data)), hop(balancer(), to, None)]
}

/// The address of a reservation that somebody else has made, with what its control plane knows of it.
fn existing(uri: Uri, ca_pem: Option<&str>) -> Result<Uri, Failure> {
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    let lb_id = uri.lb_id.clone().unwrap_or_default();
    let found = runtime.block_on(async { client(&uri, ca_pem).await?.get(&lb_id).await.map_err(failure) })?;
    Ok(found.complete(uri))
}

/// What a control plane says of itself to who has the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduced {
    /// Its address, without a token; `None` if that cannot be read.
    pub url: Option<String>,
    /// Its version, or why it cannot be used.
    pub version: Result<String, String>,
}

/// Asks a control plane for its version. Only a mistake on the command line is a failure.
pub fn introduced(written: &RouteProfile, address: &Address) -> Result<Introduced, Failure> {
    let url = Uri::parse(address.text.trim()).ok().map(|uri| uri.to_string());
    let unusable = |failure: Failure| Introduced { url: url.clone(), version: Err(failure.sentence) };
    let uri = match address.with_token(written) {
        Ok(uri) => uri,
        Err(failure) if failure.exit == Exit::Usage && address.given_by == GIVEN => return Err(failure),
        Err(failure) => return Ok(unusable(failure)),
    };
    let ca_pem = written.ca.as_ref().map(|path| pem_file::read("--ca", path)).transpose()?;
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    let asked = async { client(&uri, ca_pem.as_deref()).await?.version().await.map_err(failure) };
    let version = runtime.block_on(asked).map(|reply| [reply.compat_tag, reply.build].join(" ").trim().to_owned());
    Ok(version.map_or_else(unusable, |version| Introduced { url: url.clone(), version: Ok(version) }))
}

/// Frees a load balancer.
pub async fn free((client, lb_id): (Client, String)) -> Result<(), Failure> {
    client.free(&lb_id).await.map_err(failure)
}

/// Where a control plane is, and who said so.
pub struct Address {
    text: String,
    given_by: &'static str,
}

impl Address {
    /// One on the command line or in a file, which anybody may read.
    pub fn given(text: String) -> Self {
        Self { text, given_by: GIVEN }
    }

    /// One in the environment, where E2SAR's tools have it with its token.
    pub fn of_environment() -> Option<Self> {
        let text = std::env::var("EJFAT_URI").ok().filter(|text| !text.trim().is_empty())?;
        Some(Self { text, given_by: "EJFAT_URI" })
    }

    /// The one among given addresses; without any, that of the environment.
    pub fn find(written: &RouteProfile) -> Option<Self> {
        let mut given = [&written.urls, &written.producer_urls, &written.consumer_urls].into_iter().flatten().flatten();
        let is_given = given.clone().next().is_some();
        let one = given.find(|url| url.starts_with("ejfat")).cloned().map(Self::given);
        one.or_else(|| Self::of_environment().filter(|_| !is_given))
    }

    fn with_token(&self, written: &RouteProfile) -> Result<Uri, Failure> {
        let uri = Uri::parse(self.text.trim())
            .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", self.given_by)))?;
        if uri.token.is_some() && self.given_by == GIVEN {
            let sentence = "a token in --url can be seen by every user of this host: leave it out there and give \
                 --token-file FILE, or put the whole address into EJFAT_URI";
            return Err(Failure::new(Exit::Usage, sentence));
        }
        let token = written.token_file.as_ref().map(|path| secrets::of_file(Path::new(path), "token")).transpose()?;
        let token = token.map(|token| token.expose().to_owned()).or_else(|| uri.token.clone());
        if token.is_none() {
            let sentence = "the address of the EJFAT control plane has no token: give --token-file FILE, or put the \
                 address with its token into EJFAT_URI";
            return Err(Failure::new(Exit::Route, sentence));
        }
        Ok(Uri { token, ..uri })
    }
}

/// The running testbed, if this process is in its network and producers are at a site of their own there.
pub fn sites() -> Result<Option<Testbed>, Failure> {
    let has_sites = |testbed: &Testbed| testbed.has_sites() && testbed.check_reachable().is_ok();
    let running = testbed::find(&testbed::default_dir()).map_err(|error| Failure::new(Exit::Route, error))?;
    Ok(running.filter(has_sites))
}

/// The hops of a run without a load balancer.
pub fn direct(plan: &Plan) -> Vec<Hop> {
    let back = (plan.flow.replies > 0).then(|| hop(HopEnd::Consumer, HopEnd::Producer, None));
    [hop(HopEnd::Producer, HopEnd::Consumer, None)].into_iter().chain(back).collect()
}

/// The transport of this rank; every rank calls it.
pub fn transport(
    world: &World,
    plan: &Plan,
    ejfat: &Ejfat,
    reserved: Option<&Reserved>,
) -> Result<EjfatTransport, Stop> {
    let stops = |failure| world.stop(failure);
    let replies = plan.flow.replies > 0;
    let (route, back) = match reserved {
        Some(reserved) => {
            let of = |uri: &Secret| balanced(uri, reserved.ca_pem.as_deref());
            (of(&reserved.uri).map_err(stops)?, reserved.back.as_ref().map(of).transpose().map_err(stops)?)
        }
        None => {
            let consumers = receivers(world, plan, ejfat, Role::Consumer)?;
            let producers = replies.then(|| receivers(world, plan, ejfat, Role::Producer)).transpose()?;
            (Route::Direct(consumers), producers.map(Route::Direct))
        }
    };
    let limits =
        Limits { timeout_ns: u64::try_from(ejfat.give_up.as_nanos()).unwrap_or(u64::MAX), ..Limits::default() };
    Ok(EjfatTransport::new(Settings {
        route,
        back,
        mtu: ejfat.mtu,
        version: if ejfat.version == 2 { Version::V2 } else { Version::V3 },
        sockets: ejfat.sockets as usize,
        port_bits: ejfat.port_bits,
        buffer_bytes: usize::try_from(ejfat.buffer_bytes).unwrap_or(usize::MAX),
        limits,
        queue: ejfat.waiting as usize,
        sync_period: SYNC_PERIOD,
        state_period: STATE_PERIOD,
        limit: CALL_LIMIT,
    }))
}

fn balanced(uri: &Secret, ca_pem: Option<&str>) -> Result<Route, Failure> {
    let uri = read(uri.expose())?;
    let to = uri.data.first().map(|data| SocketAddr::new(data.ip, *data.ports.start()));
    let host = to.and_then(sends_from).ok_or_else(|| {
        let sentence =
            format!("this host has no way to the load balancer of {}: check its data= address", uri.control());
        Failure::new(Exit::Route, sentence)
    })?;
    Ok(Route::Balanced { uri, trust: trust(ca_pem), host })
}

/// The address from which this host sends there. Sends nothing.
fn sends_from(to: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(to).ok()?;
    socket.local_addr().ok().map(|own| own.ip())
}

/// The first address of each worker of this role, by its index: each rank finds ports for its own.
fn receivers(world: &World, plan: &Plan, ejfat: &Ejfat, role: Role) -> Result<Vec<SocketAddr>, Stop> {
    let placed = plan.placement.role(world.comm.rank());
    let (indices, count) = match role {
        Role::Consumer => (placed.consumers, plan.placement.consumers),
        Role::Producer => (placed.producers, plan.placement.producers),
    };
    let ports = free_ports(indices.len(), 1 << ejfat.port_bits);
    let own: (usize, Vec<(u32, u16)>) = (world.host(), indices.iter().copied().zip(ports).collect());
    world.decide(&own, plan.limits.collective, |ranks| {
        let known = sites()?.and_then(|testbed| match role {
            Role::Consumer => testbed.consumers(),
            Role::Producer => testbed.producers(),
        });
        let at_site = known.map(IpAddr::from);
        let address = |host| at_site.map_or_else(|| address_of(&world.known, host), Ok);
        let hosts = (0..world.known.len()).map(address).collect::<Result<Vec<_>, _>>()?;
        let mut all: Vec<(u32, SocketAddr)> = ranks
            .into_iter()
            .flat_map(|(host, ports)| {
                let ip = hosts[host];
                ports.into_iter().map(move |(index, port)| (index, SocketAddr::new(ip, port)))
            })
            .collect();
        all.sort_unstable_by_key(|(index, _)| *index);
        if all.len() < count as usize {
            let sentence = "a host has no free UDP ports for its workers: end other programs";
            return Err(Failure::new(Exit::Route, sentence));
        }
        Ok(all.into_iter().map(|(_, address)| address).collect())
    })
}

/// The address at which the others reach one of these hosts.
fn address_of(known: &[Host], host: usize) -> Result<IpAddr, Failure> {
    if known.len() == 1 {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let others: Vec<_> =
        (0..known.len()).filter(|other| *other != host).map(|other| known[other].addresses.clone()).collect();
    reach::choose(&known[host].addresses, &others, None)
        .map(IpAddr::from)
        .map_err(|sentence| Failure::new(Exit::Route, format!("host {}: {sentence}", known[host].name)))
}

/// The first of `in_a_row` free ports each, fewer than `count` if there are not so many.
fn free_ports(count: usize, in_a_row: u16) -> Vec<u16> {
    let bind = |port: u16| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).ok();
    // Held until all are found, so that no two are the same.
    let mut held: Vec<Vec<UdpSocket>> = Vec::new();
    let mut found = Vec::new();
    for _ in 0..PORT_TRIES * u32::try_from(count).unwrap_or(u32::MAX) {
        if found.len() == count {
            break;
        }
        let Some(first) = bind(0).and_then(|socket| Some((socket.local_addr().ok()?.port(), socket))) else { break };
        let (port, mut sockets) = (first.0, vec![first.1]);
        let rest = (1..in_a_row).map_while(|next| bind(port.checked_add(next)?));
        sockets.extend(rest);
        if sockets.len() == usize::from(in_a_row) {
            found.push(port);
            held.push(sockets);
        }
    }
    found
}

async fn client(uri: &Uri, ca_pem: Option<&str>) -> Result<Client, Failure> {
    Client::connect(uri, &trust(ca_pem), CALL_LIMIT).await.map_err(failure)
}

fn trust(ca_pem: Option<&str>) -> Trust {
    ca_pem.map_or(Trust::System, |pem| Trust::Only(pem.to_owned()))
}

fn read(uri: &str) -> Result<Uri, Failure> {
    Uri::parse(uri)
        .map_err(|error| Failure::new(Exit::Route, format!("the EJFAT control plane's reservation: {error}")))
}

fn failure(error: ejfat::Error) -> Failure {
    Failure::new(Exit::Route, error)
}

fn hop(from: HopEnd, to: HopEnd, address: Option<String>) -> Hop {
    Hop { from, to, protocol: "udp".to_owned(), address, ..Hop::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_of_consumers_on_one_host_are_free_and_do_not_overlap() {
        let ports = free_ports(8, 4);
        assert_eq!(ports.len(), 8);
        let mut all: Vec<u16> = ports.iter().flat_map(|first| *first..first + 4).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]), "{ports:?}");
    }

    #[test]
    fn a_token_is_not_taken_from_where_others_can_read_it() {
        let refused = |address: Address| address.with_token(&RouteProfile::default()).unwrap_err().sentence;
        let sentence = refused(Address::given("ejfat://secret@h:1".to_owned()));
        assert!(sentence.contains("--token-file") && !sentence.contains("secret"), "{sentence}");
        assert!(refused(Address::given("ejfat://h:1".to_owned())).contains("has no token"));
        assert!(refused(Address::given("amqp://h:1".to_owned())).contains("ejfat://"));
        let own = Address { text: "ejfat://secret@h:1".to_owned(), given_by: "EJFAT_URI" };
        assert_eq!(own.with_token(&RouteProfile::default()).unwrap().token.as_deref(), Some("secret"));
    }

    #[test]
    fn a_control_plane_is_described_without_its_token_whatever_is_wrong() {
        let written = RouteProfile { token_file: Some("/nothing/here".to_owned()), ..RouteProfile::default() };
        for (text, url) in [("ejfats://secret@h:1", Some("ejfats://h:1/")), ("ejfats:secret@h", None)] {
            let found = introduced(&written, &Address { text: text.to_owned(), given_by: "EJFAT_URI" }).unwrap();
            let sentence = found.version.as_ref().unwrap_err();
            assert_eq!(found.url.as_deref(), url, "{sentence}");
            assert!(!sentence.contains("secret"), "{sentence}");
        }
        let given = |url: &str| RouteProfile { urls: Some(vec![url.to_owned()]), ..RouteProfile::default() };
        assert_eq!(Address::find(&given("ejfat://h:1")).unwrap().given_by, GIVEN);
        assert!(Address::find(&given("amqps://me@h")).is_none(), "its token is not for a control plane");
    }
}
