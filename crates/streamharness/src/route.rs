//! Where this run connects to: addresses given, a running testbed, or one built for the run.

use crate::{
    exit::{Exit, Failure},
    facility,
    tunnel::Tunnel,
};
use management::Access;
use measure::record::{Hop, Tls};
use profile::{Profile, RouteProfile, SciStreamProfile};
use serde::{Deserialize, Serialize};
use std::{env, fs, path::Path};
use testbed::{Ephemeral, Options, ProxyRoute, Routes, Testbed};
use transport_amqp::{AmqpRoute, ConnectTo, Endpoint, Scheme, Secret};

/// Nodes of a testbed that is built for one run: it must be up soon, and its figures are not for
/// comparison.
const EPHEMERAL_NODES: usize = 1;
/// A proxied route ends connections that are silent for 50 s; either side beats twice in this time.
const PROXIED_HEARTBEAT_S_MAX: u16 = 60;

/// An opened route. What every rank needs to connect, and what rank 0 keeps.
pub struct Route {
    /// What every rank needs.
    pub connect: Connect,
    /// The testbed that was built for this run; dropping it removes it.
    pub ephemeral: Option<Ephemeral>,
    /// The tunnel that was asked for this run; dropping it releases it.
    pub tunnel: Option<Tunnel>,
    /// How the service's management API is asked, where it is known; the names of queues are the plan's.
    pub management: Option<Access>,
}

/// What every rank needs to connect; rank 0 broadcasts it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Connect {
    /// Addresses and trust.
    pub amqp: AmqpRoute,
    /// Legs of the route, for the record.
    pub hops: Vec<Hop>,
}

/// Opens the route on rank 0. `say` tells the user what takes time.
pub fn open(profile: &Profile, say: &mut dyn FnMut(&str)) -> Result<Route, Failure> {
    let written = &profile.route;
    // A tunnel's own clients are without TLS, unless its file says otherwise.
    let tls = written.tls.unwrap_or(written.scistream.is_none());
    let given = |one: &Option<Vec<String>>| one.clone().or_else(|| written.urls.clone()).unwrap_or_default();
    let (producer, consumer) = (given(&written.producer_urls), given(&written.consumer_urls));
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
    if let Some(scistream) = &written.scistream {
        return by_tunnel(written, scistream, &consumer, tls, say);
    }
    if !producer.is_empty() || !consumer.is_empty() {
        if producer.is_empty() || consumer.is_empty() {
            let missing = if producer.is_empty() { "--producer-url" } else { "--consumer-url" };
            return fail(Exit::Usage, format!("only one side has an address: give {missing} too, or --url for both"));
        }
        return by_address(written, &producer, &consumer, tls, None);
    }
    // The environment names the service's own addresses; a route to them would be left out.
    if matches!(written.testbed.as_deref(), None | Some("dts" | "dts-plain"))
        && let Some(urls) = urls_of_environment(tls)
    {
        let management = written.management.clone().or_else(|| env::var("STREAMHARNESS_MGMT_URL").ok());
        return by_address(&RouteProfile { management, ..written.clone() }, &urls, &urls, tls, None);
    }
    let Some(name) = &written.testbed else {
        let arch = profile.arch.as_deref().unwrap_or_default();
        return fail(
            Exit::Usage,
            format!("architecture `{arch}` gives no address: add --url, or urls under its [route]"),
        );
    };
    let unusable = |error: testbed::Error| Failure::new(Exit::Route, error);
    if let Some(running) = testbed::find(&testbed::default_dir()).map_err(unusable)? {
        return by_testbed(written, &running, name, tls);
    }
    say(&format!(
        "no address given and no testbed running: building a {EPHEMERAL_NODES}-node testbed for this run \
         (`streamharness testbed up` starts a lasting one)"
    ));
    let routes = Routes::named([name.as_str()]).map_err(|error| Failure::new(Exit::Usage, error))?;
    let options = Options { routes, ..Options::new(EPHEMERAL_NODES).map_err(unusable)? };
    let ephemeral = testbed::ephemeral(&options, say).map_err(unusable)?;
    let route = by_testbed(written, ephemeral.testbed(), name, tls)?;
    Ok(Route { ephemeral: Some(ephemeral), ..route })
}

fn fail<T>(exit: Exit, sentence: String) -> Result<T, Failure> {
    Err(Failure::new(exit, sentence))
}

/// Addresses that the environment gives, as `testbed exec` and `eval "$(... testbed env)"` do.
fn urls_of_environment(tls: bool) -> Option<Vec<String>> {
    let scheme = if tls { "amqps://" } else { "amqp://" };
    let names = if tls {
        ["STREAMHARNESS_URLS", "STREAMHARNESS_URL"]
    } else {
        ["STREAMHARNESS_PLAIN_URLS", "STREAMHARNESS_URL"]
    };
    names
        .into_iter()
        .filter_map(|name| env::var(name).ok())
        .map(|urls| urls.split(',').map(str::to_owned).collect::<Vec<_>>())
        .find(|urls| urls.iter().all(|url| url.starts_with(scheme)))
}

fn by_testbed(written: &RouteProfile, testbed: &Testbed, name: &str, tls: bool) -> Result<Route, Failure> {
    testbed.check_reachable().map_err(|error| Failure::new(Exit::Route, error))?;
    let Some(route) = testbed.route(name) else {
        return fail(
            Exit::Route,
            format!(
                "the running testbed has no route `{name}`: `streamharness testbed down`, then `testbed up --arch {name}`"
            ),
        );
    };
    let route = if written.consumers_via_proxy == Some(true) { route.with_consumers_via_proxy() } else { route };
    let connect_to = written.connect_to.iter().flatten().chain(&route.connect_to).cloned().collect();
    let written = RouteProfile {
        connect_to: Some(connect_to),
        management: written.management.clone().or_else(|| Some(route.management_url.clone())),
        ca: written.ca.clone().or_else(|| route.ca.as_ref().map(|path| path.display().to_string())),
        ..written.clone()
    };
    let mut opened = by_address(&written, &route.producer_urls, &route.consumer_urls, tls, Some(&route.password_file))?;
    opened.connect.hops = route.hops.into_iter().map(testbeds_hop).collect();
    Ok(opened)
}

fn testbeds_hop(hop: testbed::Hop) -> Hop {
    Hop {
        from: hop.from,
        to: hop.to,
        protocol: hop.protocol,
        address: Some(hop.addresses.join(",")),
        tls: hop.tls.map(|(version, cipher)| Tls { version, cipher }),
        process: Some(hop.process),
        limits: None,
    }
}

/// Asks the control servers for a tunnel; producers enter it as the user, and on the virtual host, of the consumers.
fn by_tunnel(
    written: &RouteProfile,
    scistream: &SciStreamProfile,
    consumer: &[String],
    tls: bool,
    say: &mut dyn FnMut(&str),
) -> Result<Route, Failure> {
    let Some(first) = endpoints(consumer, tls)?.into_iter().next() else {
        let sentence = "route.scistream needs consumer_urls under [route]: where consumers connect, and as which user";
        return fail(Exit::Usage, sentence.to_owned());
    };
    // What can be wrong with the rest is better known before anything is asked for.
    by_address(written, consumer, consumer, tls, None)?;
    let (producers, consumers) = (&scistream.producer_side.s2cs, &scistream.consumer_side.s2cs);
    say(&format!("asking the S2CS at {consumers} and at {producers} for a tunnel"));
    let tunnel = Tunnel::open(scistream, !tls)?;
    let entries = tunnel.entries.iter().map(|entry| through(&first, entry)).collect::<Result<Vec<_>, Failure>>()?;
    let direct = endpoints(consumer, tls)?;
    let mut route = by_address(written, consumer, consumer, tls, None)?;
    let last = hop("consumer", "service", &direct);
    let ends = (tunnel.entries.as_slice(), tunnel.exits.as_slice());
    route.connect.hops = facility::of_tunnel(written, scistream, &first.scheme.to_string(), ends, last);
    if written.consumers_via_proxy == Some(true) {
        route.connect.amqp.consumer.clone_from(&entries);
    }
    route.connect.amqp.producer = entries;
    Ok(Route { tunnel: Some(tunnel), ..route })
}

/// The same endpoint, entered at `HOST:PORT`.
fn through(endpoint: &Endpoint, entry: &str) -> Result<Endpoint, Failure> {
    let parsed = entry.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    let (host, port) = parsed.ok_or_else(|| {
        Failure::new(Exit::Route, format!("the S2CS tells `{entry}`, which is no HOST:PORT: set host and node_ports"))
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
    let producer = endpoints(producer, tls)?;
    let consumer = endpoints(consumer, tls)?;
    if let Some(spread) = written.spread
        && let Some(few) = [&producer, &consumer].into_iter().find(|side| !spread.fits(side.len()))
    {
        let sentence = format!("route.spread = {spread}, and a side has only {} addresses: say 1 to that", few.len());
        return fail(Exit::Usage, sentence);
    }
    let connect_to = written
        .connect_to
        .iter()
        .flatten()
        .map(|text| ConnectTo::parse(text).map_err(|error| Failure::new(Exit::Usage, error)))
        .collect::<Result<_, _>>()?;
    let ca_from_environment = env::var("STREAMHARNESS_CA").ok().filter(|_| tls);
    let ca_pem = written.ca.clone().or(ca_from_environment).map(|path| pem("--ca", &path)).transpose()?;
    let client_cert = match (&written.cert, &written.key) {
        (Some(cert), Some(key)) => Some((pem("--cert", cert)?, Secret::new(pem("--key", key)?))),
        _ => None,
    };
    let anonymous = producer.iter().chain(&consumer).find(|endpoint| endpoint.password.is_none());
    let password = match anonymous {
        None => Secret::default(),
        Some(endpoint) => password(password_file)?.ok_or_else(|| {
            let user = &endpoint.user;
            Failure::new(
                Exit::Route,
                format!(
                    "no password for user `{user}`: set STREAMHARNESS_PASSWORD, or \
                STREAMHARNESS_PASSWORD_FILE to a file that holds it"
                ),
            )
        })?,
    };
    let (first, last) = first_hops(written);
    let hops = match &written.hops {
        Some(hops) => facility::by_hand(hops),
        None => vec![hop("producer", first, &producer), hop("consumer", last, &consumer)],
    };
    let amqp = AmqpRoute { producer, consumer, connect_to, ca_pem, client_cert, password };
    let management =
        written.management.as_ref().map(|url| management(url, &amqp, password_file.is_some())).transpose()?;
    Ok(Route { connect: Connect { amqp, hops }, ephemeral: None, tunnel: None, management })
}

/// The management API at `url`, asked as the consumers' user unless the URL or the environment say otherwise.
fn management(url: &str, amqp: &AmqpRoute, testbeds: bool) -> Result<Access, Failure> {
    let first = &amqp.consumer[0];
    let (scheme, rest) = url.trim_end_matches('/').split_once("://").unwrap_or(("http", url));
    let (user, at) = rest.rsplit_once('@').unwrap_or((&first.user, rest));
    let its_own = match password_of("STREAMHARNESS_MANAGEMENT_PASSWORD") {
        Some(password) if !testbeds => Some(password?),
        _ => None,
    };
    let password = its_own.unwrap_or_else(|| first.password.clone().unwrap_or_else(|| amqp.password.clone()));
    Ok(Access {
        url: format!("{scheme}://{at}"),
        user: user.to_owned(),
        password: password.expose().to_owned(),
        ca_pem: amqp.ca_pem.clone(),
        vhost: first.vhost.clone(),
        queues: String::new(),
    })
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

/// What addresses that were given belong to, for producers and consumers. What is behind them is not ours to claim.
fn first_hops(written: &RouteProfile) -> (&'static str, &'static str) {
    match written.testbed.as_deref() {
        Some("mss") => ("balancer", "balancer"),
        Some(name) if ProxyRoute::named(name).is_some() => {
            let via_proxy = written.consumers_via_proxy == Some(true);
            ("producer proxy", if via_proxy { "producer proxy" } else { "service" })
        }
        _ => ("service", "service"),
    }
}

fn hop(from: &str, to: &str, endpoints: &[Endpoint]) -> Hop {
    let scheme = endpoints.first().map_or(String::new(), |endpoint| endpoint.scheme.to_string());
    let addresses: Vec<String> =
        endpoints.iter().map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)).collect();
    Hop {
        from: from.to_owned(),
        to: to.to_owned(),
        protocol: scheme,
        address: Some(addresses.join(",")),
        tls: None,
        process: None,
        limits: None,
    }
}

fn pem(flag: &str, path: &str) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| Failure::new(Exit::Route, format!("cannot read {flag} `{path}`: {error}")))
}

fn password(testbeds: Option<&Path>) -> Result<Option<Secret>, Failure> {
    match testbeds {
        Some(path) => read_password(path).map(Some),
        None => password_of("STREAMHARNESS_PASSWORD").transpose(),
    }
}

/// The password that a variable gives, or the file that the variable with `_FILE` names.
fn password_of(variable: &str) -> Option<Result<Secret, Failure>> {
    let given = env::var(variable).ok().map(|password| Ok(Secret::new(password)));
    given.or_else(|| Some(read_password(Path::new(&env::var_os(format!("{variable}_FILE"))?))))
}

fn read_password(path: &Path) -> Result<Secret, Failure> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Secret::new(text.trim_end_matches(['\r', '\n']))),
        Err(error) => fail(Exit::Route, format!("cannot read the password file `{}`: {error}", path.display())),
    }
}
