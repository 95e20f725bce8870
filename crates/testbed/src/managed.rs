//! The managed service's way in: a balancer and an ingress, both HAProxy, before the cluster's TLS listeners.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use scistream::Kind;
use serde::{Deserialize, Serialize};

use crate::error::{FileContext, SystemContext};
use crate::identity::Identity;
use crate::network::Host;
use crate::ports::Ports;
use crate::routes::Balance;
use crate::{Error, Result, place, secrets};

/// The name that clients know, under the one that the server's certificate is for.
pub const FQDN: &str = "rmq-bench-testbed.mss.test";
/// The port that clients know; where it really is, `--connect-to` says.
pub const PUBLIC_PORT: u16 = 443;

pub const INGRESS: &str = "ingress";
pub const BALANCER: &str = "balancer";

/// Connections at once. Each takes two descriptors, and HAProxy does not start where they do not fit.
const CONNECTIONS_MAX: u64 = 8000;
const GREETING_LIMIT: Duration = Duration::from_secs(10);

/// The route as `state.json` tells it.
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
}

impl Managed<'_> {
    fn console(&self, part: &str) -> PathBuf {
        place::log_dir(self.dir).join(format!("{part}.console.log"))
    }

    /// The ingress: reads the name that a client's first TLS message asks for, and passes the connection on as it is.
    pub fn ingress(&self) -> Result<Command> {
        let dir = self.part_dir(INGRESS)?;
        let map = dir.join("sni.map");
        secrets::write(&map, &format!("{FQDN} be_tcp_cluster\n"), 0o600, Some(self.identity))?;
        let nodes: Vec<SocketAddrV4> =
            (1..=self.nodes).map(|node| self.ports.at_node(node, self.ports.amqps(node))).collect();
        let text = ingress_config(connections_max()?, self.at(INGRESS), &map, self.balance, &nodes);
        self.haproxy(INGRESS, &dir, &text)
    }

    /// The balancer before it. Starts after it: it would take an ingress that does not answer yet for dead.
    pub fn balancer(&self) -> Result<Command> {
        let dir = self.part_dir(BALANCER)?;
        self.haproxy(BALANCER, &dir, &balancer_config(connections_max()?, self.at(BALANCER), self.at(INGRESS)))
    }

    /// Where one of the two listens.
    pub fn at(&self, part: &str) -> SocketAddrV4 {
        match part {
            INGRESS => self.ports.at(Host::Ingress, self.ports.ingress()),
            _ => self.ports.at(Host::Balancer, self.ports.balancer()),
        }
    }

    fn part_dir(&self, part: &str) -> Result<PathBuf> {
        let dir = self.dir.join(part);
        place::create(&dir, Some(self.identity))?;
        Ok(dir)
    }

    fn haproxy(&self, part: &str, dir: &Path, text: &str) -> Result<Command> {
        let config = dir.join("haproxy.cfg");
        secrets::write(&config, text, 0o600, Some(self.identity))?;
        let console = self.console(part);
        let output = File::create(&console).on("create", &console)?;
        let errors = output.try_clone().on("create", &console)?;
        let mut command = Command::new(Kind::Haproxy.find()?);
        command
            .args(["-db", "-f"])
            .arg(&config)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors);
        self.identity.apply(&mut command);
        Ok(command)
    }

    pub fn last_lines(&self, part: &str) -> String {
        fs::read_to_string(self.console(part)).unwrap_or_default()
    }

    /// Whether the broker greets through both, in TLS, by the name.
    pub fn greets(&self) -> Result<()> {
        let balancer = SocketAddr::from(self.at(BALANCER));
        let ca = place::ca_file(self.dir);
        let ca = fs::read(&ca).on("read", &ca)?;
        greeting(balancer, &ca).map_err(|source| Error::RouteDead {
            route: crate::routes::MANAGED.to_owned(),
            entry: format!("{FQDN} ({balancer})"),
            reason: source.to_string(),
        })
    }
}

fn connections_max() -> Result<u64> {
    let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE).when("read the limit of open files")?;
    Ok(CONNECTIONS_MAX.min(open_files.saturating_sub(200) / 2))
}

/// As OpenShift's router does it for a passthrough route, with its limits on silence.
fn ingress_config(maxconn: u64, at: SocketAddrV4, map: &Path, balance: Balance, nodes: &[SocketAddrV4]) -> String {
    let map = map.display();
    let mut text = format!(
        "global
    maxconn {maxconn}
    nbthread 1
    tune.bufsize 32768
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
backend be_tcp_cluster
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

fn greeting(balancer: SocketAddr, ca: &[u8]) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_slice(ca).map_err(|error| io::Error::other(format!("{error:?}")))?;
    roots.add(ca).map_err(io::Error::other)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(FQDN).map_err(io::Error::other)?;
    let tcp = TcpStream::connect_timeout(&balancer, GREETING_LIMIT)?;
    tcp.set_read_timeout(Some(GREETING_LIMIT))?;
    let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(session, tcp);
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let mut first = [0; 3];
    stream.read_exact(&mut first)?;
    if first == [1, 0, 0] { Ok(()) } else { Err(io::Error::other("what answers is no AMQP broker")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ingress_reads_the_name_and_passes_on_to_every_node() {
        let at = |port| SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        let nodes = [at(12011), at(12012)];
        let text = ingress_config(8000, at(12443), Path::new("/t/sni.map"), Balance::RoundRobin, &nodes);
        for line in [
            "    bind 127.0.0.1:12443\n",
            "    use_backend %[req.ssl_sni,lower,map(/t/sni.map,be_no_route)]\n",
            "    balance roundrobin\n",
            "    server rmq1 127.0.0.1:12011 check inter 5s\n    server rmq2 127.0.0.1:12012 check inter 5s\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        assert!(balancer_config(8000, at(12444), at(12443)).contains("bind 127.0.0.1:12444\n    balance leastconn\n"));
    }
}
