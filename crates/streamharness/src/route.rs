//! Where this run connects to: addresses given, a running testbed, or one built for the run.

pub mod addressed;
pub mod cluster;
pub mod effort;
pub mod ejfat;
pub mod facility;
pub mod holder;
pub mod limits;
pub mod links;
pub mod login;
pub mod own;
pub mod secrets;
pub mod site;
pub mod source;
pub mod spread;
pub mod tunnel;
pub mod ways;

use crate::{
    files::pem_file,
    route::{
        cluster::Cluster,
        effort::Passed,
        ejfat::{Address, Reservation, Reserved},
        holder::RELEASE_LIMIT,
        own::OwnTestbed,
        source::{Source, addresses, fail, has_tls, running_testbed},
        tunnel::Tunnel,
        ways::Ways,
    },
    terminal::exit::{Exit, Failure},
};
use management::Access;
use measure::record::{Hop, Labels, Provisioned, ServicePart, Tls};
use profile::{Plan, Profile, RouteProfile, S3mProfile, SciStreamProfile, Span};
use serde::{Deserialize, Serialize};
use std::{env, net::SocketAddrV4, path::Path, time::Duration};
use testbed::{ProxyRoute, Testbed};
use transport_amqp::{AmqpRoute, ConnectTo, Endpoint, Scheme, Secret};

/// How long it may take to close a route, and a testbed of a launch's own.
pub const CLOSE_LIMIT: Duration = RELEASE_LIMIT.saturating_add(Duration::from_secs(30));
/// How long a testbed may take to provision a cluster: it only adds a user and a name.
const TESTBED_READY_WITHIN: Duration = Duration::from_secs(30);
/// The name of the service's nodes at the end of a hop.
const SERVICE: &str = "service";
/// A proxied route ends connections that are silent for 50 s; either side beats twice in this time.
const PROXIED_HEARTBEAT_S_MAX: u16 = 60;

/// An opened route: the part that every rank needs to connect, and the part that rank 0 keeps.
pub struct Route {
    /// The part that every rank needs.
    pub connect: Connect,
    /// The labels of figures, from the profiles.
    pub labels: Labels,
    /// The firewall that it passes.
    pub passed: Passed,
    /// Where programs of others find the service.
    pub ways: Ways,
    /// The tunnel of this run; dropping it releases it.
    _tunnel: Option<Tunnel>,
    /// The managed service that was provisioned for this run; dropping it deletes it.
    _cluster: Option<Cluster>,
    /// The load balancer of this run; dropping it frees it.
    _reservation: Option<Reservation>,
    /// Access to the service's management API, if it is known; the names of queues are the plan's.
    pub management: Option<Access>,
}

impl Route {
    fn new(amqp: AmqpRoute, hops: Vec<Hop>) -> Self {
        let connect = Connect { amqp, ejfat: None, hops, provisioned: None, parts: Vec::new(), own_testbed: None };
        Self {
            connect,
            labels: Labels::default(),
            passed: Passed::default(),
            ways: Ways::default(),
            _tunnel: None,
            _cluster: None,
            _reservation: None,
            management: None,
        }
    }
}

/// Addresses and trust for every rank; rank 0 broadcasts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// Addresses and trust; without addresses over EJFAT.
    pub amqp: AmqpRoute,
    /// The load balancer of EJFAT, if one was reserved.
    pub ejfat: Option<Reserved>,
    /// Hops of the route, for the record.
    pub hops: Vec<Hop>,
    /// The managed service, if one was provisioned or reused.
    pub provisioned: Option<Provisioned>,
    /// The parts of a testbed of the launch's own over several hosts.
    pub parts: Vec<ServicePart>,
    /// Where the first node of a testbed of the launch's own is, if ranks of other hosts connect to it.
    pub own_testbed: Option<SocketAddrV4>,
}

/// Opens the route on rank 0. `say` reports slow steps to the user.
pub fn open(profile: &Profile, plan: &Plan, own: &mut OwnTestbed, say: &mut dyn FnMut(&str)) -> Result<Route, Failure> {
    let mut route = find(profile, plan, own, say)?;
    let Profile { route: RouteProfile { title, colour, marker, .. }, message, .. } = profile.clone();
    let (colour, marker) = (colour.map(|colour| colour.to_string()), marker.map(|marker| marker.to_string()));
    route.labels = Labels { architecture: title, workload: message.title, colour, marker };
    route.passed = Passed::by(profile.route.testbed.as_deref())?;
    route.ways = route.ways.with(&profile.route, &route.connect.amqp);
    Ok(route)
}

fn find(profile: &Profile, plan: &Plan, own: &mut OwnTestbed, say: &mut dyn FnMut(&str)) -> Result<Route, Failure> {
    let (written, tls) = (&profile.route, has_tls(&profile.route));
    let proxied = written.testbed.as_deref().and_then(ProxyRoute::named);
    let proxied =
        proxied.map(|route| route.to_string()).or_else(|| written.scistream.as_ref().map(|_| "this route".into()));
    if let (Some(proxied), Some(seconds)) = (proxied, profile.service.heartbeat_s)
        && !(1..=PROXIED_HEARTBEAT_S_MAX).contains(&seconds)
    {
        let sentence = format!(
            "proxies of {proxied} end connections that are silent for 50 s: set service.heartbeat_s to 1 to {PROXIED_HEARTBEAT_S_MAX}"
        );
        return fail(Exit::Usage, sentence);
    }
    match Source::of(profile)? {
        Source::Tunnel(scistream) => {
            by_tunnel(written, scistream, plan, &addresses(written, &written.consumer_urls), tls, say)
        }
        Source::Ejfat(address) => by_reservation(written, plan, &address, say),
        Source::EjfatDirect => {
            let hops = match ejfat::sites()? {
                Some(testbed) => {
                    site::check(&testbed, plan, written.testbed.as_deref())?;
                    let known = written.testbed.as_deref().and_then(|name| testbed.route(name));
                    known
                        .map_or_else(|| ejfat::direct(plan), |known| known.hops.into_iter().map(testbeds_hop).collect())
                }
                None => ejfat::direct(plan),
            };
            Ok(Route::new(AmqpRoute::default(), hops))
        }
        Source::ManagedService(s3m) => by_cluster(written, s3m, plan, None, say),
        Source::Given([producer, consumer]) => {
            if producer.is_empty() || consumer.is_empty() {
                let missing = if producer.is_empty() { "--producer-url" } else { "--consumer-url" };
                let sentence = format!("only one side has an address: give {missing} too, or --url for both");
                return fail(Exit::Usage, sentence);
            }
            by_address(written, &producer, &consumer, tls, None)
        }
        Source::Environment(name, urls) => {
            let management = written.management.clone().or_else(|| env::var("STREAMHARNESS_MGMT_URL").ok());
            endpoints(&urls, tls).map_err(|failure| {
                let sentence = format!("{name} in the environment: {}; or unset {name}", failure.sentence);
                Failure::new(failure.exit, sentence)
            })?;
            let mut route = by_address(&RouteProfile { management, ..written.clone() }, &urls, &urls, tls, None)?;
            if let Some(testbed) = running_testbed()? {
                site::check(&testbed, plan, written.testbed.as_deref())?;
            }
            name_distances(&mut route.connect.hops, written.testbed.as_deref(), running_testbed()?.as_ref());
            Ok(route)
        }
        Source::Testbed(name) => {
            if let Some(running) = running_testbed()? {
                if own.hosts.len() > 1 && running.reachable().is_none() {
                    let sentence = "the testbed that runs on rank 0's host listens on loopback only, and there are ranks on \
                         other hosts: `streamharness testbed down`, and the launch builds one that they reach; or give an \
                         address with --url";
                    return fail(Exit::Route, sentence.to_owned());
                }
                return by_testbed(written, plan, &running, name, say);
            }
            let testbed = own.with(name, written, say)?;
            let mut route = by_testbed(written, plan, testbed, name, say)?;
            route.connect.own_testbed = testbed.reachable();
            Ok(route)
        }
    }
}

fn by_testbed(
    written: &RouteProfile,
    plan: &Plan,
    testbed: &Testbed,
    name: &str,
    say: &mut dyn FnMut(&str),
) -> Result<Route, Failure> {
    testbed.check_reachable().map_err(|error| Failure::new(Exit::Route, error))?;
    site::check(testbed, plan, Some(name))?;
    let Some(route) = testbed.route(name) else {
        return fail(
            Exit::Route,
            format!(
                "the running testbed has no route `{name}`: `streamharness testbed down`, then `testbed up --arch {name}`"
            ),
        );
    };
    let route = if written.consumers_via_proxy == Some(true) { route.with_consumers_via_proxy() } else { route };
    let route = match written.nodes {
        Some(nodes) => route.with_nodes(nodes.get() as usize),
        None => route,
    };
    let connect_to = written.connect_to.iter().flatten().chain(&route.connect_to).cloned().collect();
    let given = written.management.is_some();
    let written = RouteProfile {
        connect_to: Some(connect_to),
        management: written.management.clone().or_else(|| Some(route.management_url.clone())),
        ca: written.ca.clone().or_else(|| route.ca.as_ref().map(|path| path.display().to_string())),
        ..written.clone()
    };
    let mut opened = match (&route.s3m, &route.ejfat) {
        (Some(access), _) => by_cluster(&written, &testbeds_s3m(access), plan, Some(route.connect_to.len()), say)?,
        (None, Some(access)) => {
            let text = |path: &Path| Some(path.display().to_string());
            let ca = access.ca.as_deref().and_then(text);
            let written = RouteProfile { token_file: text(&access.token_file), ca, ..written };
            by_reservation(&written, plan, &Address::given(access.url.clone()), say)?
        }
        (None, None) => {
            let tls = written.tls.unwrap_or(true);
            by_address(&written, &route.producer_urls, &route.consumer_urls, tls, Some(&route.password_file))?
        }
    };
    // The testbed knows its parts, and not whether the run has replies.
    let back = opened.connect.hops.into_iter().filter(ejfat::is_of_replies);
    opened.connect.hops = route.hops.into_iter().map(testbeds_hop).chain(back).collect();
    if let Some(access) = opened.management.as_mut().filter(|_| !given) {
        // As the testbed's own user: a provisioned user may not see the nodes.
        access.password = secrets::of_file(&route.password_file, "password")?.expose().to_owned();
    }
    opened.ways = Ways { password_file: Some(route.password_file), ca: route.ca, ..opened.ways };
    Ok(opened)
}

/// Reserves a load balancer of EJFAT, through which all workers stream.
fn by_reservation(
    written: &RouteProfile,
    plan: &Plan,
    address: &Address,
    say: &mut dyn FnMut(&str),
) -> Result<Route, Failure> {
    say("reserving a load balancer of EJFAT");
    let reservation = Reservation::open(written, plan, address)?;
    let hops = written.hops.as_ref().map_or_else(|| reservation.hops.clone(), |hops| facility::by_hand(hops));
    let mut route = Route::new(AmqpRoute::default(), hops);
    route.connect.ejfat = Some(reservation.reserved.clone());
    Ok(Route { _reservation: Some(reservation), ..route })
}

fn testbeds_s3m(access: &testbed::S3mAccess) -> S3mProfile {
    S3mProfile {
        url: access.url.clone(),
        token_file: Some(access.token_file.display().to_string()),
        ca: access.ca.as_ref().map(|path| path.display().to_string()),
        resources: [("nodes".to_owned(), access.nodes as i64)].into(),
        ready_within: Some(Span(TESTBED_READY_WITHIN)),
        ..S3mProfile::default()
    }
}

/// Names the distance of hops to addresses of a running testbed, which are in the environment within its network.
fn name_distances(hops: &mut [Hop], architecture: Option<&str>, running: Option<&Testbed>) {
    let Some(known) = running.zip(architecture).and_then(|(testbed, name)| testbed.route(name)) else { return };
    for hop in hops {
        let same = |known: &&testbed::Hop| {
            hop.from.as_str() == known.from && hop.address.as_deref() == Some(&known.addresses.join(","))
        };
        hop.distance = known.hops.iter().find(same).and_then(|known| known.distance.clone());
    }
}

fn testbeds_hop(hop: testbed::Hop) -> Hop {
    Hop {
        from: hop.from.into(),
        to: hop.to.into(),
        protocol: hop.protocol,
        // Addresses of consumers are found when a run begins.
        address: (!hop.addresses.is_empty()).then(|| hop.addresses.join(",")),
        tls: hop.tls.map(|(version, cipher)| Tls { version, cipher }),
        process: Some(hop.process),
        limits: hop.limits,
        distance: hop.distance,
    }
}

/// Has a managed service provisioned; all workers connect to it by the name that it gets. `entries`: it belongs to the testbed,
/// ends with it, and has so many gateways, each at a port of its own, where a facility has an address of its own for each.
fn by_cluster(
    written: &RouteProfile,
    s3m: &S3mProfile,
    plan: &Plan,
    entries: Option<usize>,
    say: &mut dyn FnMut(&str),
) -> Result<Route, Failure> {
    let (ends_with_service, entries) = (entries.is_some(), entries.unwrap_or(1));
    fits(written, [entries, entries])?;
    let trust = trust(written, true)?;
    let within_s = s3m.ready_within().as_secs();
    say(&format!("asking the S3M service at {} for a cluster, which may take {within_s} s", s3m.url));
    let cluster = Cluster::open(s3m, plan, trust.clone(), ends_with_service)?;
    let is = &cluster.provisioned;
    let how = if is.reused { "was there" } else { "was provisioned" };
    say(&format!("cluster {} {how}, reachable as {} after {:.1} s", is.cluster, is.fqdn, is.ready_s));
    let entry = &cluster.endpoint;
    let addresses: Vec<Endpoint> =
        (entry.port..).take(entries).map(|port| Endpoint { port, ..entry.clone() }).collect();
    let hops = match &written.hops {
        Some(hops) => facility::by_hand(hops),
        None => ["producer", "consumer"].map(|from| hop(from, "balancer", &addresses)).into(),
    };
    let amqp = AmqpRoute { producer: addresses.clone(), consumer: addresses, ..trust };
    let reported = cluster.management.clone().filter(|_| written.management.is_none());
    // A password in the environment belongs to another service.
    let own_password = ends_with_service || reported.is_some();
    let written = RouteProfile { management: reported.or_else(|| written.management.clone()), ..written.clone() };
    let management = management(&written, &amqp, own_password)?;
    let provisioned = Some(cluster.provisioned.clone());
    let connect = Connect { amqp, ejfat: None, hops, provisioned, parts: Vec::new(), own_testbed: None };
    Ok(Route {
        connect,
        labels: Labels::default(),
        passed: Passed::default(),
        ways: Ways::default(),
        _tunnel: None,
        _cluster: Some(cluster),
        _reservation: None,
        management,
    })
}

/// Requests a tunnel from the control servers; producers enter it as the user, and on the virtual host, of the consumers.
fn by_tunnel(
    written: &RouteProfile,
    scistream: &SciStreamProfile,
    plan: &Plan,
    consumer: &[String],
    tls: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Route, Failure> {
    if consumer.is_empty() {
        let sentence = "route.scistream needs consumer_urls under [route]: where consumers connect, and as which user";
        return fail(Exit::Usage, sentence.to_owned());
    }
    // A wrong address is reported before a tunnel is requested.
    let mut route = by_address(written, consumer, consumer, tls, None)?;
    let first = route.connect.amqp.consumer[0].clone();
    let (producers, consumers) = (&scistream.producer_side.s2cs, &scistream.consumer_side.s2cs);
    say(&format!("asking the S2CS at {consumers} and at {producers} for a tunnel"));
    let tunnel = Tunnel::open(scistream, plan.run, !tls)?;
    let entries = tunnel.entries.iter().map(|entry| through(&first, entry)).collect::<Result<Vec<_>, Failure>>()?;
    let last = hop("consumer", SERVICE, &route.connect.amqp.consumer);
    let ends = (tunnel.entries.as_slice(), tunnel.exits.as_slice());
    route.connect.hops = facility::of_tunnel(written, scistream, &first.scheme.to_string(), ends, last);
    if written.consumers_via_proxy == Some(true) {
        route.connect.amqp.consumer.clone_from(&entries);
    }
    route.connect.amqp.producer = entries;
    Ok(Route { _tunnel: Some(tunnel), ..route })
}

/// The same endpoint, entered at `HOST:PORT`.
fn through(endpoint: &Endpoint, entry: &str) -> Result<Endpoint, Failure> {
    let parsed = entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed.ok_or_else(|| {
        Failure::new(
            Exit::Route,
            format!("the S2CS reported `{entry}`, which is not HOST:PORT: set host and node_ports"),
        )
    })?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Endpoint { host, port, ..endpoint.clone() })
}

fn by_address(
    written: &RouteProfile,
    producer: &[String],
    consumer: &[String],
    tls: bool,
    password_file: Option<&Path>,
) -> Result<Route, Failure> {
    let (first, last) = first_hops(written);
    let producer = endpoints(of_first_nodes(written, first, producer)?, tls)?;
    let consumer = endpoints(of_first_nodes(written, last, consumer)?, tls)?;
    fits(written, [producer.len(), consumer.len()])?;
    let hops = match &written.hops {
        Some(hops) => facility::by_hand(hops),
        None => vec![hop("producer", first, &producer), hop("consumer", last, &consumer)],
    };
    let mut amqp = AmqpRoute { producer, consumer, ..trust(written, tls)? };
    login::settle(written, &mut amqp, password_file)?;
    let management = management(written, &amqp, password_file.is_some())?;
    Ok(Route { management, ..Route::new(amqp, hops) })
}

/// The addresses of the first `route.nodes` nodes of the service. Addresses of proxies in front of it are all kept.
fn of_first_nodes<'a>(written: &RouteProfile, to: &str, urls: &'a [String]) -> Result<&'a [String], Failure> {
    match written.nodes {
        Some(nodes) if to == SERVICE => urls.get(..nodes.get() as usize).ok_or_else(|| {
            let sentence = format!("route.nodes = {nodes}, and the service has only {} addresses", urls.len());
            Failure::new(Exit::Usage, sentence)
        }),
        _ => Ok(urls),
    }
}

/// Whether workers can be spread over so many addresses of either side.
fn fits(written: &RouteProfile, addresses: [usize; 2]) -> Result<(), Failure> {
    if let Some(spread) = written.spread
        && let Some(few) = addresses.into_iter().find(|addresses| !spread.fits(*addresses))
    {
        let sentence = format!(
            "route.spread = {spread}, and one side has only {few} address(es): use --set route.spread=1 to {few}"
        );
        return fail(Exit::Usage, sentence);
    }
    Ok(())
}

/// A route without addresses: `connect_to`, the trusted authorities, and the client's certificate.
fn trust(written: &RouteProfile, tls: bool) -> Result<AmqpRoute, Failure> {
    let connect_to = written
        .connect_to
        .iter()
        .flatten()
        .map(|text| ConnectTo::parse(text).map_err(|error| Failure::new(Exit::Usage, error)))
        .collect::<Result<_, _>>()?;
    let ca_from_environment = env::var("STREAMHARNESS_CA").ok().filter(|_| tls);
    let ca_pem = written.ca.clone().or(ca_from_environment).map(|path| pem_file::read("--ca", &path)).transpose()?;
    let client_cert = match (&written.cert, &written.key) {
        (Some(cert), Some(key)) => Some((pem_file::read("--cert", cert)?, Secret::new(pem_file::read("--key", key)?))),
        (None, None) => None,
        (Some(_), None) => return fail(Exit::Usage, "route.cert has no route.key: give both or none".to_owned()),
        (None, Some(_)) => return fail(Exit::Usage, "route.key has no route.cert: give both or none".to_owned()),
    };
    Ok(AmqpRoute { connect_to, ca_pem, client_cert, ..AmqpRoute::default() })
}

/// The management API of a route, as the consumers' user unless the URL or the environment names another.
fn management(written: &RouteProfile, amqp: &AmqpRoute, own_password: bool) -> Result<Option<Access>, Failure> {
    let Some(url) = &written.management else { return Ok(None) };
    let first = &amqp.consumer[0];
    let (scheme, rest) = url.trim_end_matches('/').split_once("://").unwrap_or(("http", url));
    let (user, at) = rest.rsplit_once('@').unwrap_or((first.user(), rest));
    let its_own = match own_password {
        true => None,
        false => secrets::of_variable("STREAMHARNESS_MANAGEMENT_PASSWORD")?,
    };
    let token_file = amqp.token_file.clone().filter(|_| its_own.is_none() && first.password.is_none());
    let password = match (its_own, &first.password) {
        (Some(password), _) => password,
        (None, _) if first.external => {
            let sentence = "the management API takes no login by certificate: write its user into its URL, and set \
                STREAMHARNESS_MANAGEMENT_PASSWORD";
            return fail(Exit::Route, sentence.to_owned());
        }
        (None, Some(password)) => password.clone(),
        (None, None) => amqp.password.clone(),
    };
    Ok(Some(Access {
        url: format!("{scheme}://{at}"),
        user: user.to_owned(),
        password: password.expose().to_owned(),
        token_file,
        ca_pem: amqp.ca_pem.clone(),
        vhost: first.vhost.clone(),
        queues: String::new(),
    }))
}

fn endpoints(urls: &[String], tls: bool) -> Result<Vec<Endpoint>, Failure> {
    urls.iter()
        .map(|url| {
            let endpoint = Endpoint::parse(url).map_err(|error| Failure::new(Exit::Usage, error))?;
            match (endpoint.scheme, tls) {
                (Scheme::Amqp, true) => fail(
                    Exit::Usage,
                    format!(
                        "{endpoint} is without TLS, and this architecture has TLS: use amqps://, or --arch dts-plain"
                    ),
                ),
                (Scheme::Amqps, false) => fail(
                    Exit::Usage,
                    format!("{endpoint} has TLS, and this architecture is without: use amqp://, or --arch dts"),
                ),
                _ => Ok(endpoint),
            }
        })
        .collect()
}

/// The kind of process at the given addresses, for producers and consumers. The hops behind it are unknown.
fn first_hops(written: &RouteProfile) -> (&'static str, &'static str) {
    match written.testbed.as_deref() {
        Some("mss") => ("balancer", "balancer"),
        Some("dts-nlb") => ("nlb", "nlb"),
        Some("mss-gateway" | "mss-gateway-3") => ("gateway", "gateway"),
        Some(name) if ProxyRoute::named(name).is_some() => {
            let via_proxy = written.consumers_via_proxy == Some(true);
            ("producer proxy", if via_proxy { "producer proxy" } else { SERVICE })
        }
        _ => (SERVICE, SERVICE),
    }
}

fn hop(from: &str, to: &str, endpoints: &[Endpoint]) -> Hop {
    let scheme = endpoints.first().map_or(String::new(), |endpoint| endpoint.scheme.to_string());
    let addresses: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)).collect();
    Hop {
        from: from.into(),
        to: to.into(),
        protocol: scheme,
        address: Some(addresses.join(",")),
        tls: None,
        process: None,
        limits: None,
        distance: None,
    }
}
