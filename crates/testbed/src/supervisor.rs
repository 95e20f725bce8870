//! The process that owns a testbed: starts its parts, watches them, and removes everything when it is stopped or
//! orphaned.

use crate::{
    CpuLimits, Error, ProxyRoute, Result, Routes, Shared, counting, effort,
    ejfat::{self, EJFAT_CONTROL, EjfatAccess},
    events::{Events, Heard},
    fault::{self, Faults, Hands},
    firewall,
    gateway::{self, gateway_part},
    identity::Identity,
    limits::Groups,
    managed::{self, Managed, ManagedState},
    message::{Message, log},
    network::{Facility, Host, NetworkChoice, Tools, forwarder::FORWARDER, host_of_part},
    nlb::{NLB, Nlb},
    part, place,
    ports::{self, PortRange, Ports},
    process::{Process, boot_id},
    programs,
    rabbitmq::{
        cluster::{Cluster, Progress, node_part},
        install::Install,
    },
    routes::{DTS_NLB, EJFAT, GATEWAY_ROUTE, GATEWAYS_ROUTE, Gateways, MANAGED, Wanted},
    s3m::{self, S3M, S3mAccess},
    sandbox::{Isolation, Sandbox},
    secrets,
    state::{Part, Phase, State},
    tunnels::{self, ControlServers, End, Tunnels, s2cs_part, s2ds_part},
};
use nix::{
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        stat::{Mode, umask},
    },
    unistd::{close, dup2_stdin, dup2_stdout, setsid},
};
use scistream::Kind;
use shortage::{FileContext, SystemContext};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{stdin, stdout},
    net::Ipv4Addr,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often a starting cluster is checked.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The programs and facilities that a testbed needs on this host.
struct Found {
    program: PathBuf,
    identity: Identity,
    install: Install,
    isolation: Isolation,
    claim: ports::Reservation,
    facility: Option<(Facility, Tools)>,
}

/// The body of `testbed supervise`. Standard input is the held lock file, standard output a socket to the caller, standard
/// error the log. Returns when the testbed is gone.
///
/// `ephemeral`: the testbed ends with the process that holds the other end of the socket.
///
/// # Errors
///
/// [`Error`] if a part cannot be started, has died, or cannot be removed. The caller on the socket gets its sentence, too.
pub fn supervise(
    dir: &Path,
    nodes: usize,
    routes: Routes,
    network: NetworkChoice,
    cpu_limits: CpuLimits,
    start_limit: Duration,
    ephemeral: bool,
) -> Result<()> {
    close_inherited()?;
    // The broker reads its configuration as another user.
    umask(Mode::from_bits_truncate(0o022));
    // A caller under mpirun or in a terminal must neither wait for us nor take us along. Fails for a group leader only.
    let _ = setsid();
    let lock = stdin().as_fd().try_clone_to_owned().when("keep the lock")?;
    let caller = stdout().as_fd().try_clone_to_owned().when("keep the caller's socket")?;
    let null = File::open("/dev/null").when("open /dev/null")?;
    dup2_stdin(&null).when("let go of standard input")?;
    dup2_stdout(std::io::stderr()).when("let go of standard output")?;
    let mut events = Events::open(UnixStream::from(caller))?;

    let mut supervisor = Supervisor {
        dir: dir.to_owned(),
        nodes,
        routes,
        network,
        cpu_limits,
        sandbox: None,
        cluster: None,
        tunnels: Tunnels::default(),
        _lock: lock,
    };
    let started = Instant::now();
    match supervisor.start(&mut events, started + start_limit, start_limit) {
        Ok(claim) => {
            events.progress(&format!("ready in {:.1} s", started.elapsed().as_secs_f64()));
            events.send(&Message::Ready);
            if !ephemeral {
                events.caller = None;
            }
            let unharmed = supervisor.watch(&mut events);
            drop(claim);
            supervisor.finish(!unharmed)
        }
        Err(error) => {
            log(&error);
            let keep_logs = !ephemeral && !matches!(error, Error::Interrupted);
            let finished = supervisor.finish(keep_logs);
            let mut sentence = error.to_string();
            if keep_logs {
                sentence.push_str(&format!("\n(all logs are in {})", place::log_dir(dir).display()));
            }
            if let Err(unfinished) = finished {
                sentence.push_str(&format!("\n{unfinished}"));
            }
            events.send(&Message::Failed(sentence));
            Err(error)
        }
    }
}

struct Supervisor {
    dir: PathBuf,
    nodes: usize,
    routes: Routes,
    network: NetworkChoice,
    cpu_limits: CpuLimits,
    sandbox: Option<Sandbox>,
    /// Once it is laid out.
    cluster: Option<Cluster>,
    tunnels: Tunnels,
    /// Held as long as we live. Our children do not inherit it.
    _lock: OwnedFd,
}

impl Supervisor {
    /// Finds it, before anything is started.
    fn find(&self) -> Result<Found> {
        let program = std::env::current_exe().when("find this program's own file")?;
        let identity = Identity::choose()?;
        identity.can_reach(&self.dir)?;
        let install = programs::find(&self.routes, &identity)?;
        self.routes.managed.map_or(Ok(()), |_| managed::check(&self.dir))?;
        let isolation = Isolation::choose(&program);
        let (claim, facility) = match &self.network {
            NetworkChoice::Loopback => (self.reserve(None)?, None),
            NetworkChoice::Reachable(address) => (self.reserve(Some(*address))?, None),
            NetworkChoice::Allocation(allocation, base) => (ports::claim(*base, *allocation)?, None),
            NetworkChoice::Facility(facility) => {
                (ports::facility(self.nodes, facility.sites), Some((facility.clone(), Tools::find()?)))
            }
        };
        Ok(Found { program, identity, install, isolation, claim, facility })
    }

    fn reserve(&self, reachable: Option<Ipv4Addr>) -> Result<ports::Reservation> {
        ports::reserve(self.nodes, &self.routes, reachable, PortRange::of_environment()?, secrets::random_number()?)
    }

    /// Returns the claim on the ports, to be kept as long as the testbed is up.
    fn start(&mut self, events: &mut Events, deadline: Instant, limit: Duration) -> Result<ports::Reservation> {
        let Found { program, identity, install, isolation, claim, facility } = self.find()?;
        let ports = claim.ports;
        let version = install.version.to_string();
        let brokers = if ports.hosts.is_spread() {
            String::new()
        } else {
            format!("RabbitMQ {version}, {} {}, ", self.nodes, if self.nodes == 1 { "node" } else { "nodes" })
        };
        events.progress(&format!(
            "{brokers}ports {}-{}, run as {}, kept together by {isolation}",
            ports.base,
            ports.last(self.nodes, &self.routes),
            identity.name,
        ));

        let shared = Shared::take(&self.dir, ports.hosts)?;
        shared.lay_out(&self.dir, &identity)?;
        fault::lay_out(&self.dir)?;
        let cluster = Cluster::lay_out(&self.dir, self.nodes, ports, install, identity.clone(), &shared)?;
        if self.routes.managed.is_some() {
            s3m::lay_out(&self.dir, &shared, &identity)?;
        }
        if self.routes.ejfat {
            ejfat::lay_out(&self.dir, &shared, &identity)?;
        }
        let started = Instant::now();
        let mut state = self.new_state(ports, isolation, &identity, &cluster);
        if !self.cpu_limits.is_empty() {
            let groups = state.limits.insert(Groups::choose(self.cpu_limits.clone())?).clone();
            // In the state file before it exists, so that it cannot be overlooked.
            state.save(&self.dir)?;
            groups.make()?;
        }
        let sandbox = self.sandbox.insert(Sandbox::enter(isolation, &program)?);
        state.parts.push(part("supervisor", sandbox.this_process(), vec![("claim".into(), ports.base)]));
        state.parts.extend(sandbox.reaper().map(|reaper| part("reaper", Some(reaper), vec![])));
        limit_open_files()?;
        if let Some((facility, tools)) = facility {
            state.parts[0].ports.clear();
            let opened = facility.firewall;
            let network = sandbox.build_network(ports.hosts, facility, tools)?;
            if let Some(opened) = opened {
                network.close_site(&firewall::rules(opened, ports, self.nodes))?;
            }
            state.network = Some(network.state()?);
            if let Some(forwarder) = network.take_forwarder() {
                let command = forwarder.command(&self.dir, &identity)?;
                launch(&self.dir, sandbox, &mut state, FORWARDER, Vec::new(), command)?;
                if let Some(process) = state.process(FORWARDER) {
                    distance::prefer(process.pid);
                }
            }
            events.progress("the facility network is there");
        }
        let nlb = Nlb { ports, nodes: self.nodes };
        let with_nlb = can_balance(self.routes.nlb, nlb, sandbox, &mut state, events)?;
        let gateways = gateways(self.routes.gateways, &identity, &mut state, events)?;

        start_brokers(&self.dir, &cluster, sandbox, &mut state, events, (deadline, limit))?;
        // While the brokers start: a proxy connects to them only when a client comes.
        let servers = ControlServers::new(&self.dir, ports, &identity, &shared);
        let place = (&*self.dir, &mut self.tunnels);
        build_tunnels(&self.routes.proxies, &servers, sandbox, &mut state, events, (deadline, limit), place)?;
        if self.routes.ejfat {
            build_ejfat(&self.dir, &identity, sandbox, &mut state, events, (deadline, limit))?;
        }

        await_cluster(&cluster, sandbox, events, (deadline, limit))?;
        // Those of other hosts, too: what is in front of them would consider them dead.
        for node in 1..=self.nodes {
            let is_up = || tunnels::listens(ports.at_node(node, ports.amqps(node)));
            await_part(&self.dir, &node_part(node), sandbox, events, (deadline, limit), is_up)?;
        }
        state.set_up_s.insert(effort::SERVICE.to_owned(), started.elapsed().as_secs_f64());
        greet_through_tunnels(&mut state, events)?;
        if with_nlb {
            build_nlb(nlb, sandbox, &mut state, events, (deadline, limit), &self.dir)?;
        }
        if let Some(balance) = self.routes.managed {
            let managed = Managed { dir: &self.dir, nodes: self.nodes, ports, identity: &identity, balance, gateways };
            build_managed(&managed, sandbox, &mut state, events, (deadline, limit))?;
        }
        state.phase = Phase::Ready;
        state.ready_after_ms = Some(started.elapsed().as_millis() as u64);
        state.save(&self.dir)?;
        self.cluster = Some(cluster);
        Ok(claim)
    }

    /// The state before anything is started.
    fn new_state(&self, ports: Ports, isolation: Isolation, identity: &Identity, cluster: &Cluster) -> State {
        State {
            boot_id: boot_id(),
            phase: Phase::Starting,
            nodes: self.nodes,
            base_port: ports.base,
            isolation: isolation.to_string(),
            run_as: identity.name.clone(),
            rabbitmq_version: cluster.version(),
            scheduling: cluster.scheduling().to_owned(),
            started_unix_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
            ready_after_ms: None,
            parts: Vec::new(),
            tunnels: Vec::new(),
            limits: None,
            network: None,
            reachable: match self.network {
                NetworkChoice::Reachable(address) => Some(address),
                _ => None,
            },
            allocation: match self.network {
                NetworkChoice::Allocation(allocation, _) => Some(allocation),
                _ => None,
            },
            managed: None,
            set_up_s: BTreeMap::new(),
            left_out: Vec::new(),
        }
    }

    /// Watches until it is stopped, orphaned, or without any broker. False in the last case.
    fn watch(&mut self, events: &mut Events) -> bool {
        let (Some(sandbox), Some(cluster)) = (&mut self.sandbox, &self.cluster) else { return false };
        let had_brokers = sandbox.alive().any(is_node);
        let mut faults = Faults::default();
        loop {
            match events.listen(faults.any().then_some(fault::LOOK_EVERY)) {
                Heard::Stop | Heard::Orphaned => return true,
                Heard::Nothing if !faults.any() => {}
                seen => {
                    if seen == Heard::Count
                        && let Some(network) = sandbox.network()
                        && let Err(error) =
                            counting::save(&self.dir, network, |signal| sandbox.signal(FORWARDER, signal))
                    {
                        log(error);
                    }
                    sandbox.reap();
                    if seen == Heard::ChildEnded {
                        for (name, how) in sandbox.ended() {
                            log(format_args!("{name} has ended: {how}"));
                        }
                    }
                    faults.serve(&mut Hands { dir: &self.dir, sandbox, cluster, tunnels: &self.tunnels });
                    if had_brokers && !sandbox.alive().any(is_node) && !faults.hold_a_node() {
                        log("no broker is left: removing the testbed");
                        return false;
                    }
                }
            }
        }
    }

    /// Ends everything and removes the directory, except the logs with `keep_logs`.
    fn finish(self, keep_logs: bool) -> Result<()> {
        let mut groups = None;
        if let Ok(Some(mut state)) = State::load(&self.dir) {
            state.phase = Phase::Stopping;
            state.save(&self.dir)?;
            groups = state.limits;
        }
        if let Some(sandbox) = self.sandbox {
            sandbox.end()?;
        }
        if let Some(groups) = groups {
            groups.remove()?;
        }
        if keep_logs { place::empty(&self.dir, true) } else { place::remove(&self.dir) }
    }
}

/// Starts the nodes of this host, each after the epmd that it asks for the others.
fn start_brokers(
    dir: &Path,
    cluster: &Cluster,
    sandbox: &mut Sandbox,
    state: &mut State,
    events: &mut Events,
    limits: (Instant, Duration),
) -> Result<()> {
    let (nodes, ports) = (cluster.nodes_here(), state.addresses());
    if nodes.is_empty() {
        return Ok(());
    }
    events.progress("starting epmd");
    for node in cluster.epmds() {
        let port = vec![("epmd".into(), ports.epmd())];
        launch(dir, sandbox, state, &cluster.epmd_part(node), port, cluster.epmd(node)?)?;
    }
    events.progress(&format!("starting {} RabbitMQ", nodes.len()));
    for node in cluster.epmds() {
        await_part(dir, &cluster.epmd_part(node), sandbox, events, limits, || cluster.epmd_replies(node))?;
    }
    for node in nodes {
        launch(dir, sandbox, state, &node_part(node), ports.of_node(node), cluster.node(node)?)?;
    }
    Ok(())
}

fn is_node(part: &str) -> bool {
    part.starts_with("node ")
}

/// Waits until every node of this host is up and sees all nodes of the cluster.
fn await_cluster(
    cluster: &Cluster,
    sandbox: &mut Sandbox,
    events: &mut Events,
    (deadline, limit): (Instant, Duration),
) -> Result<()> {
    let (api, here) = (cluster.api(), cluster.nodes_here());
    let mut most_up = 0;
    let announce = |from: usize, to: usize, events: &Events| {
        for node in from + 1..=to {
            events.progress(&format!("node {node} of {} up", here.len()));
        }
    };
    loop {
        sandbox.reap();
        if let Some((name, how)) = sandbox.ended().next() {
            let (part, how) = (name.to_owned(), how.to_owned());
            return Err(Error::PartDied { log: cluster.last_lines(&part), part, how });
        }
        if let Some(part) = cluster.boot_failure() {
            return Err(Error::PartDied { log: cluster.last_lines(&part), part, how: "BOOT FAILED".into() });
        }
        let up = match cluster.progress(&api) {
            Progress::Ready => break,
            Progress::Forming => here.len(),
            Progress::NodesUp(up) => up,
        };
        announce(most_up, up, events);
        most_up = most_up.max(up);
        if Instant::now() > deadline {
            let part = cluster.late_part(&api);
            return Err(late(&format!("the start of {part}"), limit, cluster.last_lines(&part)));
        }
        heed(events, LOOK_EVERY)?;
    }
    announce(most_up, here.len(), events);
    if here.len() > 1 {
        events.progress("cluster formed");
    }
    Ok(())
}

/// Starts a part. It is in the state file before and after, so that it cannot be overlooked.
fn launch(
    dir: &Path,
    sandbox: &mut Sandbox,
    state: &mut State,
    name: &str,
    listeners: Vec<(String, u16)>,
    mut command: Command,
) -> Result<()> {
    if let Some(groups) = &state.limits {
        groups.enter_at_start(name, &mut command)?;
    }
    state.parts.push(part(name, None, listeners));
    state.save(dir)?;
    let process = sandbox.start(name, command)?;
    if let Some(part) = state.parts.last_mut() {
        part.process = Some(process);
    }
    state.save(dir)
}

/// Starts the control servers that the routes need, and makes the requests of each route.
fn build_tunnels(
    routes: &[ProxyRoute],
    servers: &ControlServers<'_>,
    sandbox: &mut Sandbox,
    state: &mut State,
    events: &mut Events,
    (deadline, limit): (Instant, Duration),
    (dir, open): (&Path, &mut Tunnels),
) -> Result<()> {
    let begun = Instant::now();
    let places: Vec<(Kind, End)> =
        ControlServers::kinds(routes).into_iter().flat_map(|kind| End::BOTH.map(|end| (kind, end))).collect();
    for &(kind, end) in places.iter().filter(|(kind, end)| servers.is_here(*kind, *end)) {
        let listener = ("grpc".to_owned(), servers.port(kind, end));
        launch(dir, sandbox, state, &s2cs_part(kind, end), vec![listener], servers.command(kind, end)?)?;
    }
    // Where the producers' control servers are, requests are made to both of a route.
    let requests = |kind| servers.is_here(kind, End::Producer);
    for &(kind, end) in places.iter().filter(|(kind, end)| servers.is_here(*kind, *end) || requests(*kind)) {
        let is_up = || servers.is_up(kind, end);
        await_part(dir, &s2cs_part(kind, end), sandbox, events, (deadline, limit), is_up)?;
    }
    let servers_s = begun.elapsed().as_secs_f64();
    for route in routes.iter().copied().filter(|route| requests(route.kind())) {
        let number = 1 + state.tunnels.iter().filter(|tunnel| tunnel.kind == route.kind().name()).count();
        let server = |state: &State, end| state.process(&s2cs_part(route.kind(), end));
        let children = |sandbox: &Sandbox, state: &State, end| {
            server(state, end).map(|server| sandbox.children(server)).unwrap_or_default()
        };
        let before = End::BOTH.map(|end| children(sandbox, state, end));
        let begun = Instant::now();
        let tunnel = servers.open(route, number, tunnels::service(state.addresses(), state.nodes), open)?;
        for (end, before) in End::BOTH.into_iter().zip(before) {
            let process = children(sandbox, state, end).into_iter().find(|child| !before.contains(child));
            let listeners = match end {
                End::Producer => tunnels::ports_of(&tunnel.entries, "amqp"),
                End::Consumer => tunnels::ports_of(&tunnel.exits, tunnel.wide_protocol()),
            };
            state.parts.push(part(&s2ds_part(route.name(), end), process, listeners));
        }
        state.tunnels.push(tunnel);
        state.set_up_s.insert(route.name().to_owned(), servers_s + begun.elapsed().as_secs_f64());
        state.save(dir)?;
        events.progress(&format!("{route}: both proxies listen"));
    }
    Ok(())
}

/// Whether this machine can have a network load balancer, if one is wanted; prepares its host. Before the brokers start, so
/// that a machine without it is reported at once.
fn can_balance(wanted: Wanted, nlb: Nlb, sandbox: &Sandbox, state: &mut State, events: &Events) -> Result<bool> {
    let prepared = match (wanted, sandbox.network()) {
        (Wanted::No, _) => return Ok(false),
        (_, Some(network)) => network.at_place_of(NLB, || nlb.check()).and_then(|()| nlb.prepare(network)),
        (_, None) => nlb.check(),
    };
    match prepared {
        Err(error) if wanted == Wanted::IfPossible => {
            events.progress(&format!("left out: {error}"));
            state.left_out.push((DTS_NLB.to_owned(), error.to_string()));
            Ok(false)
        }
        prepared => prepared.map(|()| true),
    }
}

/// How many gateways this machine can have, if any are wanted.
fn gateways(wanted: Gateways, identity: &Identity, state: &mut State, events: &Events) -> Result<usize> {
    let found = match wanted.wanted {
        Wanted::No => return Ok(0),
        _ => gateway::find().and_then(|program| identity.can_start(&program)),
    };
    match found {
        Err(error) if wanted.wanted == Wanted::IfPossible => {
            events.progress(&format!("left out: {error}"));
            state.left_out.extend([GATEWAY_ROUTE, GATEWAYS_ROUTE].map(|route| (route.to_owned(), error.to_string())));
            Ok(0)
        }
        found => found.map(|()| wanted.replicas),
    }
}

/// Starts the process that holds its table, once the brokers listen.
fn build_nlb(
    nlb: Nlb,
    sandbox: &mut Sandbox,
    state: &mut State,
    events: &mut Events,
    limits: (Instant, Duration),
    dir: &Path,
) -> Result<()> {
    let begun = Instant::now();
    let (command, stream) = nlb.command(dir)?;
    sandbox.hold(stream);
    launch(dir, sandbox, state, NLB, nlb.listeners(), command)?;
    await_part(dir, NLB, sandbox, events, limits, || tunnels::listens(nlb.at()))?;
    managed::greets_at(dir, nlb.at(), DTS_NLB)?;
    state.set_up_s.insert(DTS_NLB.to_owned(), begun.elapsed().as_secs_f64());
    events.progress("dts-nlb: the broker greets through the network load balancer");
    Ok(())
}

/// Waits until the broker greets through every tunnel.
fn greet_through_tunnels(state: &mut State, events: &Events) -> Result<()> {
    for tunnel in &state.tunnels {
        let begun = Instant::now();
        tunnels::greets(tunnel)?;
        *state.set_up_s.entry(tunnel.route.clone()).or_default() += begun.elapsed().as_secs_f64();
        events.progress(&format!("{}: the broker greets through both proxies", tunnel.route));
    }
    Ok(())
}

/// Starts ingress and balancer, in this order and once the brokers listen: each would consider the next one dead. Then
/// starts the S3M interface.
fn build_managed(
    managed: &Managed<'_>,
    sandbox: &mut Sandbox,
    state: &mut State,
    events: &mut Events,
    limits: (Instant, Duration),
) -> Result<()> {
    let begun = Instant::now();
    let &Managed { dir, nodes, ports, identity, .. } = managed;
    let is_here = |part: &str| ports.hosts.starts(host_of_part(ports.hosts, part));
    if is_here(managed::INGRESS) {
        let listener = vec![("tcp".to_owned(), ports.ingress())];
        launch(dir, sandbox, state, managed::INGRESS, listener, managed.ingress()?)?;
    }
    if is_here(managed::INGRESS) || is_here(managed::BALANCER) {
        await_part(dir, managed::INGRESS, sandbox, events, limits, || managed::is_up(ports, managed::INGRESS))?;
    }
    if is_here(managed::BALANCER) {
        let listener = vec![("tcp".to_owned(), ports.balancer())];
        launch(dir, sandbox, state, managed::BALANCER, listener, managed.balancer()?)?;
        await_part(dir, managed::BALANCER, sandbox, events, limits, || managed::is_up(ports, managed::BALANCER))?;
        managed::greets(dir, ports)?;
        events.progress("mss: the broker greets through balancer and ingress");
    }
    for replica in (1..=managed.gateways).filter(|replica| ports.hosts.starts(Host::Gateway(*replica))) {
        let part = gateway_part(replica);
        let command = gateway::command(dir, (ports, nodes), replica, managed.balance, identity)?;
        launch(dir, sandbox, state, &part, vec![("tcp".to_owned(), ports.gateway(replica))], command)?;
        await_part(dir, &part, sandbox, events, limits, || tunnels::listens(gateway::at(ports, replica)))?;
        managed::greets_at(dir, gateway::at(ports, replica), GATEWAY_ROUTE)?;
        events.progress(&format!("mss-gateway: the broker greets through {part}"));
    }
    if ports.hosts.starts(Host::Switch) {
        let command = s3m::command(dir, nodes, ports, managed.gateways, identity)?;
        let access = S3mAccess::new(dir, ports, nodes);
        let protocol = if access.ca.is_some() { "https" } else { "http" };
        launch(dir, sandbox, state, S3M, vec![(protocol.to_owned(), ports.s3m())], command)?;
        await_part(dir, S3M, sandbox, events, limits, || s3m::is_up(ports))?;
        events.progress(&format!("mss: clusters are provisioned at {}", access.url));
    }
    state.set_up_s.insert(MANAGED.to_owned(), begun.elapsed().as_secs_f64());
    state.managed = Some(ManagedState { balance: managed.balance.to_string() });
    Ok(())
}

/// Starts EJFAT's control plane, and then the load balancers, which get their tables from there.
fn build_ejfat(
    dir: &Path,
    identity: &Identity,
    sandbox: &mut Sandbox,
    state: &mut State,
    events: &mut Events,
    limits: (Instant, Duration),
) -> Result<()> {
    let (begun, ports) = (Instant::now(), state.addresses());
    let listener = |protocol: &str, port| (protocol.to_owned(), port);
    if ports.hosts.starts(Host::EjfatControl) {
        let listeners = vec![
            listener("grpc", ports.ejfat_control()),
            listener("sync", ports.ejfat_sync()),
            listener("sync", ports.ejfat_replies()[0]),
        ];
        launch(dir, sandbox, state, EJFAT_CONTROL, listeners, ejfat::control_command(dir, ports, identity)?)?;
    }
    if ports.hosts.starts(Host::EjfatControl) || ports.hosts.starts(Host::EjfatBalancer) {
        await_part(dir, EJFAT_CONTROL, sandbox, events, limits, || ejfat::control_is_up(ports))?;
    }
    if ports.hosts.starts(Host::EjfatBalancer) {
        for (name, port) in ejfat::balancers(ports) {
            let listeners = vec![listener("udp", port)];
            launch(dir, sandbox, state, name, listeners, ejfat::balancer_command(dir, name, ports, identity)?)?;
        }
        for (name, _) in ejfat::balancers(ports) {
            await_part(dir, name, sandbox, events, limits, || ejfat::balancer_is_up(dir, name))?;
        }
        let url = EjfatAccess::new(dir, ports).url;
        events.progress(&format!("ejfat: load balancers are reserved at {url}"));
    }
    state.set_up_s.insert(EJFAT.to_owned(), begun.elapsed().as_secs_f64());
    Ok(())
}

/// Waits until a part that was started is up.
fn await_part(
    dir: &Path,
    name: &str,
    sandbox: &mut Sandbox,
    events: &mut Events,
    (deadline, limit): (Instant, Duration),
    is_up: impl Fn() -> bool,
) -> Result<()> {
    while !is_up() {
        sandbox.reap();
        if let Some((_, how)) = sandbox.ended().find(|(ended, _)| *ended == name) {
            return Err(Error::PartDied { part: name.to_owned(), how: how.to_owned(), log: part::output(dir, name) });
        }
        if Instant::now() > deadline {
            return Err(late(&format!("the start of {name}"), limit, part::output(dir, name)));
        }
        heed(events, Duration::from_millis(10))?;
    }
    Ok(())
}

fn part(name: &str, process: Option<Process>, ports: Vec<(String, u16)>) -> Part {
    Part { name: name.to_owned(), process, ports, host: None }
}

fn late(waiting_for: &str, limit: Duration, log: String) -> Error {
    Error::StartTimeout { waiting_for: waiting_for.to_owned(), limit_s: limit.as_secs(), log }
}

/// Waits for `limit`, or until the start is cancelled.
fn heed(events: &mut Events, limit: Duration) -> Result<()> {
    match events.listen(Some(limit)) {
        Heard::Stop | Heard::Orphaned => Err(Error::Interrupted),
        Heard::Nothing | Heard::ChildEnded | Heard::Count | Heard::Fault => Ok(()),
    }
}

/// A process that waits for the end of a pipe that our caller had open (mpirun, a script's `3>&1`) must not wait for
/// us.
fn close_inherited() -> Result<()> {
    let path = Path::new("/proc/self/fd");
    let names = fs::read_dir(path).on("list", path)?.flatten().map(|entry| entry.file_name());
    let numbers: Vec<i32> = names.filter_map(|name| name.to_str()?.parse().ok()).collect();
    for number in numbers.into_iter().filter(|number| *number > 2) {
        // One of them was the listing's own and is closed already.
        let _ = close(number);
    }
    Ok(())
}

/// As many open files as a broker may need, but no more: the Erlang VM sizes tables by this limit, and epmd and the
/// VM's helpers close every possible descriptor one by one, which takes minutes where a container sets it to a billion.
fn limit_open_files() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).when("read the limit of open files")?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard.min(65536), hard).when("set the limit of open files")?)
}
