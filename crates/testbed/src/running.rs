//! A running testbed for its users: addresses and variables.

use crate::{
    CpuLimits, Error, Limited, ProxyRoute, Result, counting,
    ejfat::{self, EJFAT_BALANCER, EJFAT_CONTROL, EjfatAccess},
    firewall,
    gateway::{self, GATEWAY, gateway_part},
    hops::{
        CONSUMER, CONSUMER_PROXY, Hop, LOAD_BALANCER, PRODUCER, PRODUCER_PROXY, Route, SERVICE, hop, without_first_hop,
    },
    limits::Groups,
    lock,
    managed::{self, ManagedState},
    network::{Access, Host, Link, LinkState, NetworkChoice, Rule, host_of_part},
    nlb::{NLB, Nlb},
    place,
    ports::{PortRange, Ports},
    process::Proc,
    rabbitmq::{cluster::node_part, config::USER},
    report::{OF_EACH_HOST, Report},
    routes::{
        DTS_NLB, EJFAT, EJFAT_DIRECT, GATEWAY_ROUTE, GATEWAYS_ROUTE, IF_POSSIBLE, INGRESS, MANAGED, ONE_PROXY,
        replicas_of,
    },
    s3m::S3mAccess,
    state::{Phase, State},
    status::{self, Status},
    tunnels::{End, TunnelState, s2ds_part, server_of},
};
use shortage::FileContext;
use std::{
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddrV4},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Open MPI refuses to start for user 0 without these two variables.
const AS_ROOT: [&str; 2] = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];

/// A testbed that is up according to its state file and its lock.
#[derive(Debug, Clone)]
pub struct Testbed {
    dir: PathBuf,
    state: State,
}

/// The testbed in `dir`. `None` unless it is up and ready.
///
/// # Errors
///
/// [`Error`] if its lock or state file cannot be read.
pub fn find(dir: &Path) -> Result<Option<Testbed>> {
    if !lock::is_held(dir)? {
        return Ok(None);
    }
    let dir = std::path::absolute(dir).on("resolve", dir)?;
    let ready = State::load(&dir)?.filter(|state| state.phase == Phase::Ready);
    Ok(ready.map(|state| Testbed { dir, state }))
}

impl Testbed {
    /// Its private directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of broker nodes.
    pub fn nodes(&self) -> usize {
        self.state.nodes
    }

    /// The broker's version.
    pub fn rabbitmq_version(&self) -> &str {
        &self.state.rabbitmq_version
    }

    /// The route of `dts` (AMQPS), `dts-plain` (AMQP) or one through proxies; `None` for architectures that this
    /// testbed does not have.
    pub fn route(&self, architecture: &str) -> Option<Route> {
        let direct = |scheme: &str, port| {
            let urls = self.urls(scheme, port);
            let hops = [PRODUCER, CONSUMER].map(|from| self.to_service(from, scheme, &urls)).into();
            (urls.clone(), urls, hops)
        };
        let (producer_urls, consumer_urls, hops) = match architecture {
            "dts" => direct("amqps", Ports::amqps),
            "dts-plain" => direct("amqp", Ports::amqp),
            DTS_NLB => self.balanced()?,
            GATEWAY_ROUTE | GATEWAYS_ROUTE => self.gateways(architecture)?,
            EJFAT => self.ejfat()?,
            EJFAT_DIRECT => {
                let to = hop(PRODUCER, CONSUMER, "udp", &[], CONSUMER.to_owned());
                (Vec::new(), Vec::new(), vec![to])
            }
            MANAGED => self.managed(self.state.managed.as_ref()?),
            INGRESS => {
                without_first_hop(self.managed(self.state.managed.as_ref()?), managed::BALANCER, managed::INGRESS)
            }
            ONE_PROXY => self.one_proxy(self.tunnel(ProxyRoute::Haproxy.name())?),
            _ => self.proxied(self.tunnel(architecture)?),
        };
        // Parts have the names of the route that they were started for.
        let parts_of = if architecture == ONE_PROXY { ProxyRoute::Haproxy.name() } else { architecture };
        let limited = |hop: Hop| {
            let distance = self.distance_of(&hop);
            Hop { limits: self.limits_of(parts_of, &hop.to), distance, ..hop }
        };
        let entries: Vec<SocketAddrV4> = match architecture {
            MANAGED => vec![managed::at(self.ports(), managed::BALANCER)],
            INGRESS => vec![managed::at(self.ports(), managed::INGRESS)],
            _ => {
                (1..=replicas_of(architecture).unwrap_or(0)).map(|replica| gateway::at(self.ports(), replica)).collect()
            }
        };
        let provisioned = !entries.is_empty();
        Some(Route {
            architecture: architecture.to_owned(),
            producer_urls,
            consumer_urls,
            password_file: place::password_file(&self.dir),
            connect_to: (managed::PUBLIC_PORT..).zip(entries).map(|(port, at)| format!(":{port}:{at}")).collect(),
            ca: (["dts", DTS_NLB].contains(&architecture) || provisioned || self.is_spread())
                .then(|| place::ca_file(&self.dir)),
            management_url: self.management_url(&format!("{USER}@")),
            s3m: provisioned.then(|| self.s3m()),
            ejfat: (architecture == EJFAT).then(|| EjfatAccess::new(&self.dir, self.ports())),
            hops: hops.into_iter().map(limited).collect(),
        })
    }

    /// Producers through both proxies, consumers straight to the service.
    fn proxied(&self, tunnel: &TunnelState) -> (Vec<String>, Vec<String>, Vec<Hop>) {
        let entries = tunnel.entries.iter().map(|entry| format!("amqp://{USER}@{entry}")).collect();
        let proxy = |end| {
            let part = s2ds_part(&tunnel.route, end);
            // On a host that did not make the requests, a data server is known by its control server only.
            let server = || Some(format!("on {}", self.state.host_of(&server_of(&part)?)?));
            let known = self.state.pid_in_words(&part).or_else(server);
            known.map_or_else(|| tunnel.kind.clone(), |known| format!("{} ({known})", tunnel.kind))
        };
        let between = hop(PRODUCER_PROXY, CONSUMER_PROXY, tunnel.wide_protocol(), &tunnel.exits, proxy(End::Consumer));
        let direct = self.urls("amqp", Ports::amqp);
        let hops = vec![
            hop(PRODUCER, PRODUCER_PROXY, "amqp", &tunnel.entries, proxy(End::Producer)),
            Hop { tls: tunnel.agreed(), ..between },
            hop(CONSUMER_PROXY, SERVICE, "amqp", &tunnel.targets, self.broker()),
            self.to_service(CONSUMER, "amqp", &direct),
        ];
        (entries, direct, hops)
    }

    fn tunnel(&self, route: &str) -> Option<&TunnelState> {
        self.state.tunnels.iter().find(|tunnel| tunnel.route == route)
    }

    /// Producers straight to the second of the two proxies.
    fn one_proxy(&self, tunnel: &TunnelState) -> (Vec<String>, Vec<String>, Vec<Hop>) {
        let (_, consumer_urls, hops) = without_first_hop(self.proxied(tunnel), PRODUCER_PROXY, CONSUMER_PROXY);
        let entries = tunnel.exits.iter().map(|exit| format!("amqp://{USER}@{exit}")).collect();
        (entries, consumer_urls, hops)
    }

    /// The interface to request clusters of the managed service.
    fn s3m(&self) -> S3mAccess {
        S3mAccess::new(&self.dir, self.ports(), self.nodes())
    }

    /// All clients use a public name that is requested first, through balancer and ingress. TLS ends at the service.
    fn managed(&self, state: &ManagedState) -> (Vec<String>, Vec<String>, Vec<Hop>) {
        let haproxy = |part: &str, how: &str| {
            let pid = self.state.pid_in_words(part).map_or_else(String::new, |pid| format!("{pid}, "));
            format!("haproxy ({pid}balance {how})")
        };
        let at = |host, port| [self.ports().at(host, port).to_string()];
        let nodes = self.tls_nodes();
        let (balancer, ingress) = (haproxy(managed::BALANCER, "leastconn"), haproxy(managed::INGRESS, &state.balance));
        let hops = vec![
            hop(PRODUCER, managed::BALANCER, "amqps", &at(Host::Balancer, self.ports().balancer()), balancer.clone()),
            hop(managed::BALANCER, managed::INGRESS, "tcp", &at(Host::Ingress, self.ports().ingress()), ingress),
            hop(managed::INGRESS, SERVICE, "tcp", &nodes, self.broker()),
            hop(CONSUMER, managed::BALANCER, "amqps", &at(Host::Balancer, self.ports().balancer()), balancer),
        ];
        (Vec::new(), Vec::new(), hops)
    }

    /// All clients use one address, whose packets the kernel translates: the same TCP and TLS end at a node.
    fn balanced(&self) -> Option<(Vec<String>, Vec<String>, Vec<Hop>)> {
        let nlb = Nlb { ports: self.ports(), nodes: self.nodes() };
        let process = format!("nftables ({}, in turn)", self.state.pid_in_words(NLB)?);
        let entry = [format!("{}:{}", self.ports().hosts.name(Host::Nlb), nlb.at().port())];
        let urls = vec![format!("amqps://{USER}@{}", entry[0])];
        let hops = vec![
            hop(PRODUCER, NLB, "amqps", &entry, process.clone()),
            hop(NLB, SERVICE, "nat", &self.tls_nodes(), self.broker()),
            hop(CONSUMER, NLB, "amqps", &entry, process),
        ];
        Some((urls.clone(), urls, hops))
    }

    /// All clients take turns over the replicas, which lead the requested name on to the nodes. TLS ends there.
    fn gateways(&self, architecture: &str) -> Option<(Vec<String>, Vec<String>, Vec<Hop>)> {
        let balance = &self.state.managed.as_ref()?.balance;
        let replicas = 1..=replicas_of(architecture)?;
        let pids: Option<Vec<String>> =
            replicas.clone().map(|replica| self.state.pid_in_words(&gateway_part(replica))).collect();
        let process = format!("envoy ({}, balance {balance})", pids?.join(", "));
        let entries: Vec<String> = replicas.map(|replica| gateway::at(self.ports(), replica).to_string()).collect();
        let hops = vec![
            hop(PRODUCER, GATEWAY, "amqps", &entries, process.clone()),
            hop(GATEWAY, SERVICE, "tcp", &self.tls_nodes(), self.broker()),
            hop(CONSUMER, GATEWAY, "amqps", &entries, process),
        ];
        Some((Vec::new(), Vec::new(), hops))
    }

    /// Producers send packets to the load balancer, which sends each event to one consumer.
    fn ejfat(&self) -> Option<(Vec<String>, Vec<String>, Vec<Hop>)> {
        self.state.process(EJFAT_CONTROL)?;
        let process = format!("streamharness ejfat balance ({})", self.state.pid_in_words(EJFAT_BALANCER)?);
        let data = [ejfat::data(self.ports()).to_string()];
        let hops = vec![
            hop(PRODUCER, LOAD_BALANCER, "udp", &data, process),
            hop(LOAD_BALANCER, CONSUMER, "udp", &[], CONSUMER.to_owned()),
        ];
        Some((Vec::new(), Vec::new(), hops))
    }

    fn tls_nodes(&self) -> Vec<String> {
        (1..=self.nodes()).map(|node| self.ports().at_node(node, self.ports().amqps(node)).to_string()).collect()
    }

    /// Its CPU limits.
    pub(crate) fn cpu_limits(&self) -> CpuLimits {
        self.state.limits.as_ref().map(|groups| groups.limits().clone()).unwrap_or_default()
    }

    /// The CPU limit of the part that accepts a hop.
    fn limits_of(&self, architecture: &str, to: &str) -> Option<String> {
        match to {
            PRODUCER_PROXY => self.state.limit_of(&s2ds_part(architecture, End::Producer)),
            CONSUMER_PROXY => self.state.limit_of(&s2ds_part(architecture, End::Consumer)),
            SERVICE => {
                let of = |node| Some(format!("{} node {node}", self.state.limit_of(&node_part(node))?));
                let all: Vec<String> = (1..=self.nodes()).filter_map(of).collect();
                (!all.is_empty()).then(|| all.join(", "))
            }
            // All have the same, as the part of a limit is the first word of their names.
            GATEWAY => self.state.limit_of(&gateway_part(1)),
            LOAD_BALANCER => self.state.limit_of(EJFAT_BALANCER),
            part => self.state.limit_of(part),
        }
    }

    /// The distance that a hop crosses: the one between the sites, or between all clients and the rest.
    fn distance_of(&self, hop: &Hop) -> Option<String> {
        let network = self.state.network.as_ref()?;
        let far = if network.producers.is_some() { [PRODUCER, PRODUCER_PROXY] } else { [PRODUCER, CONSUMER] };
        let crosses = far.contains(&hop.from.as_str()) != far.contains(&hop.to.as_str());
        network.links.iter().find_map(LinkState::distance_in_words).filter(|_| crosses)
    }

    /// Where producers that are at a site of their own reach consumers.
    pub fn consumers(&self) -> Option<Ipv4Addr> {
        self.has_sites().then(|| self.ports().hosts.address(Host::Clients))
    }

    /// Where these producers are reached.
    pub fn producers(&self) -> Option<Ipv4Addr> {
        self.has_sites().then(|| self.ports().hosts.address(Host::Producers))
    }

    /// Whether producers are at a site of their own.
    pub fn has_sites(&self) -> bool {
        self.state.network.as_ref().is_some_and(|network| network.producers.is_some())
    }

    /// Moves the calling thread, and threads that it starts later, to the site of its rank, if there are two: the
    /// producers', or that of the service and the consumers.
    ///
    /// # Errors
    ///
    /// [`Error::Enter`] if it cannot be entered.
    pub fn enter_site(&self, of_producers: bool) -> Result<()> {
        let access = self.access().filter(|access| self.has_sites() && access.is_inside());
        access.map_or(Ok(()), |access| access.enter_site(of_producers))
    }

    /// What its supervisor has written down.
    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// What the firewall of the service's site lets through from the other site; `None` without a firewall.
    pub fn firewall(&self) -> Option<&[Rule]> {
        self.state.network.as_ref()?.firewall.as_deref()
    }

    /// Checks that the firewall, if there is one, lets a route through, from where its producers are.
    ///
    /// # Errors
    ///
    /// [`Error::Firewall`] with the rule that is missing.
    pub fn is_let_through(&self, architecture: &str) -> Result<()> {
        let (Some(in_force), Some(access)) = (self.firewall(), self.access()) else { return Ok(()) };
        let there = || {
            access.enter_site(true)?;
            firewall::passes(architecture, self.ports(), self.nodes(), in_force)
        };
        // A thread of its own is at another site, and this one stays where it is.
        std::thread::scope(|scope| scope.spawn(there).join()).expect("it does not panic")
    }

    /// Whether it has a route of that name: `mss:leastconn` only if its ingress does just that.
    pub(crate) fn has(&self, route: &str) -> bool {
        let managed = self.state.managed.as_ref().map(|managed| format!("{MANAGED}:{}", managed.balance));
        let is_optional = route.ends_with(IF_POSSIBLE);
        is_optional || managed.as_deref() == Some(route) || self.route(route).is_some()
    }

    fn to_service(&self, from: &str, protocol: &str, urls: &[String]) -> Hop {
        let address = |url: &String| url.rsplit('@').next().unwrap_or_default().to_owned();
        Hop {
            from: from.to_owned(),
            to: SERVICE.to_owned(),
            protocol: protocol.to_owned(),
            addresses: urls.iter().map(address).collect(),
            tls: None,
            process: self.broker(),
            limits: None,
            distance: None,
        }
    }

    fn broker(&self) -> String {
        format!("RabbitMQ {}", self.state.rabbitmq_version)
    }

    /// All its routes.
    pub fn routes(&self) -> Vec<Route> {
        let names = ["dts", "dts-plain", DTS_NLB, MANAGED, GATEWAY_ROUTE, GATEWAYS_ROUTE, EJFAT]
            .into_iter()
            .chain(self.state.tunnels.iter().map(|tunnel| tunnel.route.as_str()));
        names.filter_map(|name| self.route(name)).collect()
    }

    fn urls(&self, scheme: &str, port: fn(Ports, usize) -> u16) -> Vec<String> {
        let name = |node| self.ports().hosts.name(Host::Dsn(node));
        let url = |node| format!("{scheme}://{USER}@{}:{}", name(node), port(self.ports(), node));
        (1..=self.nodes()).map(url).collect()
    }

    /// Routes that this machine cannot have, each with the reason.
    pub fn left_out(&self) -> &[(String, String)] {
        &self.state.left_out
    }

    /// Variables for scripts, without the password.
    pub fn env(&self) -> Vec<(String, String)> {
        let tls = self.urls("amqps", Ports::amqps);
        let path = |path: PathBuf| path.display().to_string();
        [
            ("URL", tls[0].clone()),
            ("URLS", tls.join(",")),
            ("PLAIN_URLS", self.urls("amqp", Ports::amqp).join(",")),
            ("PASSWORD_FILE", path(place::password_file(&self.dir))),
            ("CA", path(place::ca_file(&self.dir))),
            ("MGMT_URL", self.management_url("")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .chain(self.state.tunnels.iter().map(|tunnel| {
            let urls: Vec<String> = tunnel.entries.iter().map(|entry| format!("amqp://{USER}@{entry}")).collect();
            (format!("{}_URLS", tunnel.route.to_uppercase().replace('-', "_")), urls.join(","))
        }))
        .map(|(name, value)| (format!("STREAMHARNESS_{name}"), value))
        .chain(self.state.managed.iter().flat_map(|_| {
            let S3mAccess { url, token_file, .. } = self.s3m();
            [("S3M_URL".to_owned(), url), ("S3M_TOKEN_FILE".to_owned(), path(token_file))]
        }))
        .chain(self.route(EJFAT).and_then(|route| route.ejfat).into_iter().flat_map(|access| {
            let [url, token_file] = ["URL", "TOKEN_FILE"].map(|name| format!("STREAMHARNESS_EJFAT_{name}"));
            [(url, access.url), (token_file, path(access.token_file))]
        }))
        .collect()
    }

    /// [`Testbed::env`] as lines for a shell's `eval`.
    pub fn env_lines(&self) -> String {
        // No value contains a quote: the directory's name was checked before it was created.
        self.env().iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect()
    }

    /// The first node's.
    fn management_url(&self, user: &str) -> String {
        self.management_of(1, user)
    }

    /// The management API of each node: those of others are there while one is down.
    pub fn management_urls(&self) -> Vec<String> {
        (1..=self.nodes()).map(|node| self.management_of(node, "")).collect()
    }

    fn management_of(&self, node: usize, user: &str) -> String {
        let (ports, name) = (self.ports(), self.ports().hosts.peer_name(Host::Dsn(node)));
        let (tls, plain) = (ports.management_tls(node), ports.management(node));
        if self.is_spread() { format!("https://{user}{name}:{tls}") } else { format!("http://{user}{name}:{plain}") }
    }

    /// Whether its parts are on several hosts.
    fn is_spread(&self) -> bool {
        self.ports().hosts.is_spread()
    }

    /// What the supervisor of this host has started, for the host that joins all of them.
    pub fn report(&self) -> Report {
        Report::of(&self.state)
    }

    /// Adds what another host has started.
    pub fn join(&mut self, host: &str, report: Report) {
        report.add_to(&mut self.state, host);
    }

    /// The parts that carry messages or control the way there, each with its address.
    pub fn parts(&self) -> Vec<(String, SocketAddrV4)> {
        let hosts = self.ports().hosts;
        let listed = self.state.parts.iter().filter_map(|part| {
            let (_, port) = part.ports.first().filter(|_| !OF_EACH_HOST.contains(&part.name.as_str()))?;
            Some((part.name.clone(), self.ports().at(host_of_part(hosts, &part.name), *port)))
        });
        listed.collect()
    }

    fn access(&self) -> Option<Access<'_>> {
        Some(Access { supervisor: self.state.supervisor()?, network: self.state.network.as_ref()? })
    }

    /// Refuses if this process cannot reach it: a network of its own is reachable from inside only.
    ///
    /// # Errors
    ///
    /// [`Error`] with the command to type.
    pub fn check_reachable(&self) -> Result<()> {
        if self.access().is_none_or(Access::is_inside) { Ok(()) } else { Err(Error::Outside) }
    }

    /// The counters of its links so far; empty if it has no network of its own, or if this process is outside of it.
    ///
    /// # Errors
    ///
    /// [`Error::NoCounters`] if the supervisor does not count in time.
    pub fn links(&self) -> Result<Vec<Link>> {
        let inside = self.access().filter(|access| access.is_inside());
        inside.map_or_else(|| Ok(Vec::new()), |access| counting::request(&self.dir, access.supervisor))
    }

    /// Its parts whose CPU is limited, by name, each with what it has used up so far.
    pub fn limited_parts(&self) -> Vec<Limited> {
        self.state.limits.as_ref().map(Groups::limited).unwrap_or_default()
    }

    /// Where clients of other hosts reach its first node without TLS; `None` if only those of this host do.
    pub fn reachable(&self) -> Option<SocketAddrV4> {
        let is_reachable = self.state.reachable.is_some() || self.is_spread();
        is_reachable.then(|| self.ports().at_node(1, self.ports().amqp(1)))
    }

    /// Whether no port of it is outside of this range. In a network of its own, ports are none of the host's.
    pub(crate) fn stays_within(&self, range: PortRange) -> bool {
        self.state.network.is_some() || self.state.ports().all(|port| range.contains(port))
    }

    /// Whether its network is the requested one.
    pub(crate) fn has_network(&self, requested: &NetworkChoice) -> bool {
        match (&self.state.network, requested) {
            (None, NetworkChoice::Loopback) => self.state.reachable.is_none(),
            (None, NetworkChoice::Reachable(address)) => self.state.reachable == Some(*address),
            (Some(network), NetworkChoice::Facility(_)) => network.choice == requested.to_string(),
            _ => false,
        }
    }

    /// Moves this process, which must have no other threads yet, into its network, if it has one.
    fn enter(&self) -> Result<()> {
        self.access().filter(|access| !access.is_inside()).map_or(Ok(()), Access::enter)
    }

    /// Runs `command` with these variables inside the testbed's network, and waits for it. Returns its exit code, or
    /// 128 + signal if a signal ended it.
    ///
    /// # Errors
    ///
    /// [`Error`] if the network cannot be entered or the command cannot be started.
    pub fn exec(&self, command: &[OsString]) -> Result<u8> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| Error::Exec { command: String::new(), source: std::io::Error::other("no command given") })?;
        self.enter()?;
        let mut command = Command::new(program);
        command.args(arguments).envs(self.env());
        if self.state.network.is_some() {
            // Within a user namespace the default would differ.
            command.env("STREAMHARNESS_TESTBED", &self.dir);
            if nix::unistd::geteuid().is_root() {
                command.envs(AS_ROOT.map(|name| (name, "1")));
            }
        }
        let status = command
            .status()
            .map_err(|source| Error::Exec { command: program.to_string_lossy().into_owned(), source })?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(code as u8)
    }

    /// The current status of every part.
    ///
    /// # Errors
    ///
    /// [`Error`] if the parts cannot be checked.
    pub fn status(&self) -> Result<Status> {
        // A user without access still sees which parts are alive.
        let entered = self.enter();
        let password = entered.ok().and_then(|()| fs::read_to_string(place::password_file(&self.dir)).ok());
        let routes = self.routes().iter().map(Route::in_words).collect();
        Ok(Status { routes, ..status::look(&self.dir, &self.state, self.ports(), password)? })
    }

    /// The names of parts that have ended.
    pub(crate) fn dead_parts(&self) -> Result<Vec<String>> {
        let proc = Proc::open()?;
        let dead = self.state.processes().filter(|(_, process)| !proc.is_alive(*process));
        Ok(dead.map(|(name, _)| name.to_owned()).collect())
    }

    fn ports(&self) -> Ports {
        self.state.addresses()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Routes;

    fn testbed() -> Testbed {
        Testbed { dir: "/tmp/t".into(), state: crate::state::tests::example() }
    }

    #[test]
    fn dts_is_encrypted_and_dts_plain_is_not_on_the_same_nodes() {
        let dts = testbed().route("dts").unwrap();
        assert_eq!(dts.producer_urls, ["amqps://bench@localhost:12011", "amqps://bench@localhost:12012"]);
        assert_eq!(dts.ca.as_deref(), Some(Path::new("/tmp/t/tls/ca.pem")));
        let plain = testbed().route("dts-plain").unwrap();
        assert_eq!(plain.consumer_urls, ["amqp://bench@localhost:12001", "amqp://bench@localhost:12002"]);
        assert_eq!(plain.ca, None);
        assert_eq!(testbed().route("prs-haproxy"), None);
    }

    #[test]
    fn clients_may_be_kept_to_the_first_nodes_and_proxies_are_not() {
        let one = testbed().route("dts").unwrap().with_nodes(1);
        assert_eq!((one.producer_urls.len(), one.consumer_urls.len()), (1, 1));
        assert!(one.hops.iter().all(|hop| hop.addresses == ["localhost:12011"]), "{:?}", one.hops);
        let all = testbed().route("prs-stunnel").unwrap();
        let one = testbed().route("prs-stunnel").unwrap().with_nodes(1);
        assert_eq!(one.producer_urls, all.producer_urls);
        assert_eq!(one.consumer_urls, all.consumer_urls[..1]);
        let apart = |route: &Route| route.hops.iter().filter(|hop| hop.from != CONSUMER).cloned().collect::<Vec<_>>();
        assert_eq!(apart(&one), apart(&all));
    }

    #[test]
    fn one_address_stands_for_all_nodes_or_for_the_first_ones() {
        let mut testbed = testbed();
        assert_eq!(testbed.route("dts-nlb"), None, "it was left out");
        testbed.state.parts.push(crate::state::Part {
            name: NLB.into(),
            process: Some(crate::process::Process { pid: 7, start_ticks: 1 }),
            ports: vec![],
            host: None,
        });
        let route = testbed.route("dts-nlb").unwrap();
        assert_eq!(route.producer_urls, ["amqps://bench@localhost:12052"]);
        let one = route.clone().with_nodes(1);
        assert_eq!(
            (&one.producer_urls, &one.consumer_urls),
            (&vec!["amqps://bench@localhost:12051".to_owned()], &one.producer_urls)
        );
        let ways = |route: &Route| route.hops.iter().map(|hop| hop.addresses.join(",")).collect::<Vec<_>>();
        assert_eq!(ways(&route), ["localhost:12052", "127.0.0.1:12011,127.0.0.1:12012", "localhost:12052"]);
        assert_eq!(ways(&one), ["localhost:12051", "127.0.0.1:12011", "localhost:12051"]);
        assert_eq!(route.with_nodes(9).producer_urls, ["amqps://bench@localhost:12052"]);
    }

    #[test]
    fn the_managed_service_is_requested_and_reached_at_the_balancer_by_any_name() {
        let route = testbed().route("mss").unwrap();
        assert!(route.producer_urls.is_empty() && route.consumer_urls.is_empty());
        let s3m = route.s3m.unwrap();
        assert_eq!((s3m.url.as_str(), s3m.nodes), ("http://127.0.0.1:12445", 2));
        assert_eq!(s3m.token_file, Path::new("/tmp/t/s3m/token"));
        assert!(testbed().env_lines().contains("export S3M_TOKEN_FILE='/tmp/t/s3m/token'\n"));
        assert_eq!(route.connect_to, [":443:127.0.0.1:12444"]);
        assert!(route.ca.is_some());
        let to: Vec<&str> = route.hops.iter().map(|hop| hop.to.as_str()).collect();
        assert_eq!(to, ["balancer", "ingress", "service", "balancer"]);
        assert!(testbed().has("mss:source") && !testbed().has("mss:leastconn"));
    }

    #[test]
    fn a_load_balancer_of_ejfat_is_reserved_first_and_is_one_hop_before_consumers() {
        let mut testbed = testbed();
        assert_eq!(testbed.route("ejfat"), None, "it was not built");
        let direct = testbed.route("ejfat-direct").unwrap();
        assert_eq!((direct.hops.len(), direct.ejfat), (1, None));
        testbed.state.parts.extend([EJFAT_CONTROL, EJFAT_BALANCER].map(|name| crate::state::Part {
            name: name.into(),
            process: Some(crate::process::Process { pid: 7, start_ticks: 1 }),
            ports: vec![],
            host: None,
        }));
        let route = testbed.route("ejfat").unwrap();
        assert_eq!(route.ejfat.unwrap().url, "ejfat://127.0.0.1:12446");
        let shown: Vec<String> = route.hops.iter().map(|hop| format!("{} -> {}", hop.from, hop.to)).collect();
        assert_eq!(shown, ["producer -> load balancer", "load balancer -> consumer"]);
        assert_eq!(route.hops[0].addresses, ["127.0.0.1:12448"]);
        let lines = testbed.env_lines();
        assert!(lines.contains("export STREAMHARNESS_EJFAT_TOKEN_FILE='/tmp/t/ejfat/token'\n"), "{lines}");
    }

    #[test]
    fn producers_go_through_both_proxies_and_consumers_only_on_request() {
        let route = testbed().route("prs-stunnel").unwrap();
        assert_eq!(route.producer_urls, ["amqp://bench@127.0.0.1:12510"]);
        assert_eq!(route.consumer_urls, ["amqp://bench@localhost:12001", "amqp://bench@localhost:12002"]);
        assert_eq!(route.ca, None);
        let hops = |route: &Route| {
            let shown = |hop: &Hop| format!("{} -{}> {}", hop.from, hop.protocol, hop.to);
            route.hops.iter().map(shown).collect::<Vec<_>>()
        };
        let way =
            ["producer -amqp> producer proxy", "producer proxy -tls> consumer proxy", "consumer proxy -amqp> service"];
        assert_eq!(hops(&route), [way.as_slice(), &["consumer -amqp> service"]].concat());
        let both = route.with_consumers_via_proxy();
        assert_eq!(both.consumer_urls, both.producer_urls);
        assert_eq!(hops(&both), [way.as_slice(), &["consumer -amqp> producer proxy"]].concat());
        assert!(
            testbed().env_lines().contains("export STREAMHARNESS_PRS_STUNNEL_URLS='amqp://bench@127.0.0.1:12510'\n")
        );
    }

    #[test]
    fn each_hop_has_the_limit_of_the_part_that_accepts_it() {
        let limited = |words: &[&str]| {
            let mut testbed = testbed();
            let routes = Routes::all();
            let limits = CpuLimits::read(words.iter().copied(), 2, &routes, &NetworkChoice::Loopback).unwrap();
            testbed.state.limits = Some(Groups::at(Path::new("/none"), limits));
            testbed
        };
        let hop_limits = |testbed: &Testbed, route: &str| -> Vec<Option<String>> {
            testbed.route(route).unwrap().hops.into_iter().map(|hop| hop.limits).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let testbed = limited(&["s2cs stunnel producer=0.3", "node=1.5", "ingress=0.5"]);
        let nodes = some("1.5 CPU node 1, 1.5 CPU node 2");
        assert_eq!(hop_limits(&testbed, "dts"), [nodes.clone(), nodes.clone()]);
        assert_eq!(
            hop_limits(&testbed, "prs-stunnel"),
            [some("0.3 CPU with its S2CS"), None, nodes.clone(), nodes.clone()]
        );
        assert_eq!(hop_limits(&testbed, "mss"), [None, some("0.5 CPU"), nodes, None]);
    }

    #[test]
    fn the_lines_for_scripts_name_the_password_file_and_every_node() {
        let lines = testbed().env_lines();
        assert!(lines.starts_with("export STREAMHARNESS_URL='amqps://bench@localhost:12011'\n"), "{lines}");
        assert!(lines.contains("export STREAMHARNESS_PASSWORD_FILE='/tmp/t/password'\n"), "{lines}");
        assert!(lines.contains("PLAIN_URLS='amqp://bench@localhost:12001,amqp://bench@localhost:12002'"), "{lines}");
    }

    #[test]
    fn a_state_file_without_a_held_lock_is_no_testbed() {
        let dir = tempfile::tempdir().unwrap();
        crate::state::tests::example().save(dir.path()).unwrap();
        assert!(find(dir.path()).unwrap().is_none());
        let lock = lock::take(dir.path()).unwrap().unwrap();
        assert!(find(dir.path()).unwrap().is_some());
        drop(lock);
    }
}
