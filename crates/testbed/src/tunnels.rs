//! Builds the proxied routes: control servers as parts of the sandbox, and a tunnel through them for each route.

use crate::{
    Error, ProxyRoute, Result, Shared, identity::Identity, network::host_of_part, part, place, ports::Ports,
    routes::ONE_PROXY, secrets,
};
use scistream::{Kind, Reached, Role, Side, Tunnel, TunnelRequest};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// How long each call to a control server may take.
const CALL_LIMIT: Duration = Duration::from_secs(15);
/// How long a part may take to accept a connection.
const LOOK_LIMIT: Duration = Duration::from_secs(2);
/// How long the service may take to greet through a tunnel.
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// A route through proxies in `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TunnelState {
    /// Its name as an architecture.
    pub route: String,
    /// `haproxy`, `stunnel` ...
    pub kind: String,
    /// Addresses for producers.
    pub entries: Vec<String>,
    /// Addresses that the producers' proxy connects to.
    pub exits: Vec<String>,
    /// Addresses that the consumers' proxy connects to.
    pub targets: Vec<String>,
    /// The log of the producers' proxy; it has stunnel's negotiation with the other proxy.
    pub log: PathBuf,
    /// Version and cipher of that negotiation, if the log is on another host.
    #[serde(default)]
    pub agreed: Option<(String, String)>,
}

impl TunnelState {
    /// The protocol between the two proxies.
    pub fn wide_protocol(&self) -> &'static str {
        if self.kind == Kind::Haproxy.name() { "tcp" } else { "tls" }
    }

    /// The negotiation of the two proxies at the latest connection, from the log of the producers' proxy.
    pub fn agreed(&self) -> Option<(String, String)> {
        let of_log = || scistream::negotiated(&fs::read_to_string(&self.log).ok()?);
        self.agreed.clone().or_else(|| of_log().map(|agreed| (agreed.version, agreed.cipher)))
    }
}

/// The side of a control server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Producer,
    Consumer,
}

impl End {
    pub const BOTH: [Self; 2] = [Self::Producer, Self::Consumer];

    fn named(word: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|end| end.word() == word)
    }

    /// Where producers enter a tunnel, it goes out.
    fn role(self) -> Role {
        match self {
            Self::Producer => Role::Outbound,
            Self::Consumer => Role::Inbound,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// The name of a control server as a part.
pub fn s2cs_part(kind: Kind, end: End) -> String {
    format!("s2cs {kind} {}", end.word())
}

/// The name of a route's data server as a part.
pub fn s2ds_part(route: &str, end: End) -> String {
    format!("s2ds {route} {}", end.word())
}

/// The control server that started a data server, by their names as parts.
pub fn server_of(s2ds: &str) -> Option<String> {
    let (route, end) = s2ds.strip_prefix("s2ds ")?.rsplit_once(' ')?;
    Some(format!("s2cs {} {end}", ProxyRoute::named(route)?.kind()))
}

/// The route and the side of a data server, by its name as a part.
pub fn of_data_server(part: &str) -> Option<(String, End)> {
    let (route, end) = part.strip_prefix("s2ds ")?.rsplit_once(' ')?;
    Some((route.to_owned(), End::named(end)?))
}

/// The type and the side of a control server, by its name as a part.
pub fn of_control_server(part: &str) -> Option<(Kind, End)> {
    let (kind, end) = part.strip_prefix("s2cs ")?.rsplit_once(' ')?;
    Some((kind.parse().ok()?, End::named(end)?))
}

/// The open tunnels, with the keys that their requests are known by.
#[derive(Debug, Default)]
pub struct Tunnels(Vec<(ProxyRoute, Tunnel)>);

impl Tunnels {
    /// The routes of a type, in the order of their requests.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(route, _)| *route).filter(move |route| route.kind() == kind).map(ProxyRoute::name)
    }

    /// Has the data server of one side started again, at the same ports.
    pub fn renew(&self, route: &str, end: End) -> Result<()> {
        Ok(self.of(route)?.renew_blocking(end.role())?)
    }

    /// Makes the request of one side anew, to a control server that was started again.
    pub fn reopen(&self, route: &str, end: End) -> Result<()> {
        Ok(self.of(route)?.reopen_blocking(end.role())?)
    }

    fn of(&self, route: &str) -> Result<&Tunnel> {
        let found = self.0.iter().find(|(known, _)| known.name() == route).map(|(_, tunnel)| tunnel);
        found.ok_or_else(|| Error::Fault(format!("the testbed has no tunnel {route}")))
    }
}

/// The name of a route's proxy as a part, on the producers' or the consumers' side.
pub fn proxy_part(route: &str, of_producers: bool) -> String {
    // A route with one proxy uses that of another route.
    let route = if route == ONE_PROXY { ProxyRoute::Haproxy.name() } else { route };
    s2ds_part(route, if of_producers { End::Producer } else { End::Consumer })
}

/// The name of its control server as a part.
pub fn control_server_part(route: &str, of_producers: bool) -> String {
    server_of(&proxy_part(route, of_producers)).unwrap_or_else(|| format!("control server of {route}"))
}

/// The control servers of a testbed.
#[derive(Debug)]
pub struct ControlServers<'a> {
    dir: &'a Path,
    ports: Ports,
    identity: &'a Identity,
    shared: &'a Shared,
}

impl<'a> ControlServers<'a> {
    pub fn new(dir: &'a Path, ports: Ports, identity: &'a Identity, shared: &'a Shared) -> Self {
        Self { dir, ports, identity, shared }
    }

    /// Whether one of them is started on this host.
    pub fn is_here(&self, kind: Kind, end: End) -> bool {
        self.ports.hosts.starts(host_of_part(self.ports.hosts, &s2cs_part(kind, end)))
    }

    /// The types that the routes need, each once.
    pub fn kinds(routes: &[ProxyRoute]) -> Vec<Kind> {
        Kind::ALL.into_iter().filter(|kind| routes.iter().any(|route| route.kind() == *kind)).collect()
    }

    /// Its place among all that there could be; its ports follow from it.
    pub fn index(kind: Kind, end: End) -> usize {
        let kind = Kind::ALL.iter().position(|known| *known == kind).expect("all kinds are in ALL");
        2 * kind + usize::from(end == End::Consumer)
    }

    pub fn port(&self, kind: Kind, end: End) -> u16 {
        self.ports.s2cs(Self::index(kind, end))
    }

    fn at(&self, kind: Kind, end: End) -> SocketAddrV4 {
        let host = host_of_part(self.ports.hosts, &s2cs_part(kind, end));
        self.ports.at(host, self.port(kind, end))
    }

    fn server_dir(&self, kind: Kind, end: End) -> PathBuf {
        self.dir.join(format!("s2cs-{kind}-{}", end.word()))
    }

    /// Lays out its directory.
    pub fn command(&self, kind: Kind, end: End) -> Result<Command> {
        let dir = self.server_dir(kind, end);
        place::create(&dir, Some(self.identity))?;
        secrets::write(&self.token_file(kind, end), &self.shared.token, 0o600, Some(self.identity))?;
        let range = self.ports.s2ds(Self::index(kind, end));
        let mut command = part::own_command(self.dir, &s2cs_part(kind, end), self.identity)?;
        command
            .args(["testbed", "s2cs", "--listen", &self.at(kind, end).to_string()])
            .args(["--ports", &format!("{}-{}", range.start(), range.end()), "--type", kind.name(), "--dir"])
            .arg(&dir)
            .arg("--token-file")
            .arg(self.token_file(kind, end))
            .arg("--cert")
            .arg(place::tls_dir(self.dir).join("server.pem"))
            .arg("--key")
            .arg(place::tls_dir(self.dir).join("server.key"));
        Ok(command)
    }

    /// Whether it takes connections.
    pub fn is_up(&self, kind: Kind, end: End) -> bool {
        listens(self.at(kind, end))
    }

    /// Only this testbed makes requests: others may reach the server.
    fn token_file(&self, kind: Kind, end: End) -> PathBuf {
        self.server_dir(kind, end).join("token")
    }

    fn side(&self, kind: Kind, end: End) -> Side {
        Side {
            address: self.at(kind, end).to_string(),
            certificate: self.shared.certificates.server.clone(),
            token: Some(self.shared.token.clone()),
            reached: Reached::default(),
        }
    }

    /// Makes the two requests of a route, the `number`-th of its kind.
    pub fn open(
        &self,
        route: ProxyRoute,
        number: usize,
        service: Vec<String>,
        open: &mut Tunnels,
    ) -> Result<TunnelState> {
        let kind = route.kind();
        let request = TunnelRequest {
            outbound: self.side(kind, End::Producer),
            inbound: self.side(kind, End::Consumer),
            service: service.clone(),
            connections: route.connections(),
            limit: CALL_LIMIT,
            quick: true,
        };
        let tunnel = request.open_blocking()?;
        let state = TunnelState {
            route: route.name().to_owned(),
            kind: kind.name().to_owned(),
            targets: (0..tunnel.exits.len()).map(|port| service[port % service.len()].clone()).collect(),
            entries: tunnel.entries.clone(),
            exits: tunnel.exits.clone(),
            // A control server numbers its requests from 1.
            log: self.server_dir(kind, End::Producer).join(format!("{number}.log")),
            agreed: None,
        };
        open.0.push((route, tunnel));
        Ok(state)
    }
}

/// Checks that the broker greets through every entry: then each hop of the route carries bytes, in both directions.
pub fn greets(tunnel: &TunnelState) -> Result<()> {
    for entry in &tunnel.entries {
        greeting(entry).map_err(|source| Error::RouteDead {
            route: tunnel.route.clone(),
            entry: entry.clone(),
            reason: source.to_string(),
        })?;
    }
    Ok(())
}

/// Checks that an AMQP broker greets at `HOST:PORT`, possibly through proxies. A name's addresses are tried in turn.
///
/// # Errors
///
/// The system's error, or that the peer is not an AMQP broker.
pub fn greeting(address: &str) -> io::Result<()> {
    let mut last = io::Error::other("the name has no address");
    for address in address.to_socket_addrs()? {
        match greeting_at(&address) {
            Ok(()) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn greeting_at(address: &SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(address, GREETING_LIMIT)?;
    stream.set_read_timeout(Some(GREETING_LIMIT))?;
    expect_greeting(&mut stream)
}

/// Sends the protocol header and reads the broker's greeting; the error describes any other peer.
pub fn expect_greeting(stream: &mut (impl Read + Write)) -> io::Result<()> {
    let in_words = |error: io::Error| match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let sentence = format!("nothing came back within {} s", GREETING_LIMIT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, sentence)
        }
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            io::Error::new(error.kind(), "the connection was accepted and closed without a reply")
        }
        _ => error,
    };
    stream.write_all(b"AMQP\x00\x00\x09\x01").map_err(in_words)?;
    let mut first = [0; 3];
    stream.read_exact(&mut first).map_err(in_words)?;
    // A method frame on channel 0: connection.start.
    if first == [1, 0, 0] { Ok(()) } else { Err(io::Error::other("the peer is not an AMQP broker")) }
}

/// The ports of addresses, for the list of what a part listens on.
pub fn ports_of(addresses: &[String], protocol: &str) -> Vec<(String, u16)> {
    let port = |address: &String| address.rsplit(':').next()?.parse().ok();
    addresses.iter().filter_map(port).map(|port| (protocol.to_owned(), port)).collect()
}

/// Whether something takes connections there.
pub fn listens(address: SocketAddrV4) -> bool {
    TcpStream::connect_timeout(&address.into(), LOOK_LIMIT).is_ok()
}

/// The service's addresses without TLS.
pub fn service(ports: Ports, nodes: usize) -> Vec<String> {
    (1..=nodes).map(|node| ports.at_node(node, ports.amqp(node)).to_string()).collect()
}
