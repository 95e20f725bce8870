//! The managed service's entry: a balancer and an ingress, both HAProxy, in front of the cluster's TLS listeners.

use crate::{
    Error, Result,
    identity::Identity,
    network::Host,
    part, place,
    ports::Ports,
    routes::Balance,
    secrets,
    tunnels::{expect_greeting, listens},
};
use nix::sys::resource::{Resource, getrlimit};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use scistream::Kind;
use serde::{Deserialize, Serialize};
use shortage::{FileContext, SystemContext};
use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, SocketAddrV4, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// Suffix of the names of tenants; the server's certificate covers all names with one label before it.
pub const DOMAIN: &str = "mss.test";
/// A name that always exists, to test whether balancer and ingress forward bytes.
pub const PROBE: &str = "probe.mss.test";
/// The public port; `--connect-to` has the actual one.
pub const PUBLIC_PORT: u16 = 443;

pub const INGRESS: &str = "ingress";
pub const BALANCER: &str = "balancer";
/// The ingress's backend for the cluster.
pub const BACKEND: &str = "be_tcp_cluster";

/// HAProxy binds its socket under a longer name first, and both must fit into a socket's address.
const SOCKET_PATH_MAX: usize = 97;

/// Most simultaneous connections. Each needs two descriptors, and HAProxy does not start without enough of them.
const CONNECTIONS_MAX: u64 = 8000;
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// The route in `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedState {
    /// How the ingress chooses a node.
    pub balance: String,
}

/// What to start.
pub struct Managed<'a> {
    pub dir: &'a Path,
    pub nodes: usize,
    pub ports: Ports,
    pub identity: &'a Identity,
    pub balance: Balance,
    /// Replicas of its gateway.
    pub gateways: usize,
}

impl Managed<'_> {
    /// The ingress: reads the server name in a client's first TLS message, and forwards the connection unchanged.
    pub fn ingress(&self) -> Result<Command> {
        let dir = self.part_dir(INGRESS)?;
        let map = map(self.dir);
        secrets::write(&map, &format!("{PROBE} {BACKEND}\n"), 0o600, Some(self.identity))?;
        let nodes: Vec<SocketAddrV4> =
            (1..=self.nodes).map(|node| self.ports.at_node(node, self.ports.amqps(node))).collect();
        let files = (map.as_path(), socket(self.dir));
        let text = ingress_config(connections_max()?, at(self.ports, INGRESS), files, self.balance, &nodes);
        self.haproxy(INGRESS, &dir, &text)
    }

    /// The balancer in front of it. It starts later, because it would consider an ingress that does not respond yet
    /// dead.
    pub fn balancer(&self) -> Result<Command> {
        let dir = self.part_dir(BALANCER)?;
        self.haproxy(
            BALANCER,
            &dir,
            &balancer_config(connections_max()?, at(self.ports, BALANCER), at(self.ports, INGRESS)),
        )
    }

    fn part_dir(&self, part: &str) -> Result<PathBuf> {
        let dir = self.dir.join(part);
        place::create(&dir, Some(self.identity))?;
        Ok(dir)
    }

    fn haproxy(&self, part: &str, dir: &Path, text: &str) -> Result<Command> {
        let config = dir.join("haproxy.cfg");
        secrets::write(&config, text, 0o600, Some(self.identity))?;
        let mut command = part::command(self.dir, part, Kind::Haproxy.find()?, self.identity)?;
        command.args(["-db", "-f"]).arg(&config);
        Ok(command)
    }
}

/// The ingress's initial map from names to backends; later names are in its memory only.
pub fn map(dir: &Path) -> PathBuf {
    dir.join(INGRESS).join("sni.map")
}

/// The socket on which names are added to and removed from the running ingress.
pub fn socket(dir: &Path) -> PathBuf {
    dir.join(INGRESS).join("admin.sock")
}

/// Writes the names that the running ingress leads on into its file, so that it has them when it is started again.
pub fn keep_names(dir: &Path) -> Result<()> {
    let (socket, map) = (socket(dir), map(dir));
    let talk = || -> io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        stream.set_read_timeout(Some(GREETING_LIMIT))?;
        writeln!(stream, "show map {}", map.display())?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    };
    let listed = talk().on("ask for names at", &socket)?;
    // Each line has an address before the name and its backend.
    let names: String =
        listed.lines().filter_map(|line| line.split_once(' ')).map(|(_, name)| format!("{name}\n")).collect();
    Ok(fs::write(&map, names).on("write", &map)?)
}

/// Refuses a directory in which that socket's name would be too long.
pub fn check(dir: &Path) -> Result<()> {
    let over = socket(dir).as_os_str().len().saturating_sub(SOCKET_PATH_MAX);
    if over == 0 {
        return Ok(());
    }
    let reason = format!("its path is {over} characters too long for the ingress's socket");
    Err(Error::Directory { path: dir.to_owned(), reason })
}

/// The address of one of the two.
pub fn at(ports: Ports, part: &str) -> SocketAddrV4 {
    match part {
        INGRESS => ports.at(Host::Ingress, ports.ingress()),
        _ => ports.at(Host::Balancer, ports.balancer()),
    }
}

/// Whether one of the two accepts connections.
pub fn is_up(ports: Ports, part: &str) -> bool {
    listens(at(ports, part))
}

/// Whether the broker greets through both, in TLS, by a name.
pub fn greets(dir: &Path, ports: Ports) -> Result<()> {
    greets_at(dir, at(ports, BALANCER), crate::routes::MANAGED)
}

/// Whether the broker greets at the entry of a route, in TLS, by a name.
pub fn greets_at(dir: &Path, entry: SocketAddrV4, route: &str) -> Result<()> {
    let ca = place::ca_file(dir);
    let ca = fs::read(&ca).on("read", &ca)?;
    greeting(entry.into(), &ca).map_err(|source| Error::RouteDead {
        route: route.to_owned(),
        entry: format!("{PROBE} ({entry})"),
        reason: source.to_string(),
    })
}

fn connections_max() -> Result<u64> {
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE).when("read the limit of open files")?;
    Ok(CONNECTIONS_MAX.min(open_files.saturating_sub(200) / 2))
}

/// The configuration of OpenShift's router for a passthrough route, with its idle limits.
fn ingress_config(
    maxconn: u64,
    at: SocketAddrV4,
    (map, socket): (&Path, PathBuf),
    balance: Balance,
    nodes: &[SocketAddrV4],
) -> String {
    let (map, socket) = (map.display(), socket.display());
    let mut text = format!(
        "global
    maxconn {maxconn}
    nbthread 1
    tune.bufsize 32768
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout client-fin 1s
    timeout server-fin 1s
    timeout tunnel 1h
frontend public_ssl
    bind {at}
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    tcp-request content reject if WAIT_END
    use_backend %[req.ssl_sni,lower,map({map},be_no_route)]
backend be_no_route
    tcp-request content reject
backend {BACKEND}
    balance {balance}
    hash-type consistent
    timeout check 5s
"
    );
    for (index, node) in nodes.iter().enumerate() {
        text += &format!("    server rmq{} {node} check inter 5s\n", index + 1);
    }
    text
}

fn balancer_config(maxconn: u64, at: SocketAddrV4, ingress: SocketAddrV4) -> String {
    format!(
        "global
    maxconn {maxconn}
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen lb
    bind {at}
    balance leastconn
    server router1 {ingress} check
"
    )
}

fn greeting(entry: SocketAddr, ca: &[u8]) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca).map_err(|error| io::Error::other(format!("{error:?}")))?;
    roots.add(ca).map_err(io::Error::other)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(PROBE).map_err(io::Error::other)?;
    let tcp = TcpStream::connect_timeout(&entry, GREETING_LIMIT)?;
    tcp.set_read_timeout(Some(GREETING_LIMIT))?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp);
    expect_greeting(&mut stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ingress_reads_the_name_and_passes_on_to_every_node() {
        let at = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        let nodes = [at(12011), at(12012)];
        let text = ingress_config(
            8000,
            at(12443),
            (Path::new("/t/sni.map"), "/t/admin.sock".into()),
            Balance::RoundRobin,
            &nodes,
        );
        for line in [
            "    stats socket /t/admin.sock mode 600 level admin\n",
            "    bind 127.0.0.1:12443\n",
            "    use_backend %[req.ssl_sni,lower,map(/t/sni.map,be_no_route)]\n",
            "    balance roundrobin\n",
            "    server rmq1 127.0.0.1:12011 check inter 5s\n    server rmq2 127.0.0.1:12012 check inter 5s\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(balancer_config(8000, at(12444), at(12443)).contains("bind 127.0.0.1:12444\n    balance leastconn\n"));
    }

    #[test]
    fn a_directory_whose_path_is_too_long_for_a_socket_is_refused_with_how_much() {
        check(Path::new("/tmp/streamharness-1000/ephemeral-0123456789ab")).unwrap();
        let error = check(Path::new(&format!("/tmp/{}", "a".repeat(80)))).unwrap_err().to_string();
        assert!(error.contains("7 characters too long"), "{error}");
    }
}
