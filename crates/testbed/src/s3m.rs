//! The S3M interface: `streamharness s3m serve` as a part of the testbed.

use crate::{
    Result, Shared, gateway,
    identity::Identity,
    managed::{self, DOMAIN, PUBLIC_PORT},
    network::Host,
    part, place,
    ports::Ports,
    rabbitmq::config::USER,
    secrets,
    tunnels::listens,
};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::Command,
};

/// Its name as a part.
pub const S3M: &str = "s3m";

/// Access to the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3mAccess {
    /// `http://ADDR:PORT`.
    pub url: String,
    /// The file with the token, and nothing else.
    pub token_file: PathBuf,
    /// The authority to trust, if the URL is `https://`.
    pub ca: Option<PathBuf>,
    /// Nodes of the cluster that tenants get.
    pub nodes: usize,
}

impl S3mAccess {
    pub(crate) fn new(dir: &Path, ports: Ports, nodes: usize) -> Self {
        let scheme = if ports.hosts.is_spread() { "https" } else { "http" };
        let ca = ports.hosts.is_spread().then(|| place::ca_file(dir));
        Self { url: format!("{scheme}://{}", at(ports)), token_file: s3m_dir(dir).join("token"), ca, nodes }
    }
}

/// With the supervisor at the switch: a facility's control plane, which carries no message.
fn at(ports: Ports) -> SocketAddrV4 {
    ports.peer(Host::Switch, ports.s3m())
}

fn s3m_dir(dir: &Path) -> PathBuf {
    dir.join(S3M)
}

/// Creates its directory with the token, which the caller reads too: as the same user, or as root.
pub fn lay_out(dir: &Path, shared: &Shared, identity: &Identity) -> Result<()> {
    let own = s3m_dir(dir);
    place::create(&own, Some(identity))?;
    secrets::write(&own.join("token"), &format!("{}\n", shared.token), 0o600, Some(identity))?;
    secrets::write(&own.join("password"), &shared.password, 0o600, Some(identity))
}

/// The command that starts it.
pub fn command(dir: &Path, nodes: usize, ports: Ports, gateways: usize, identity: &Identity) -> Result<Command> {
    let token = S3mAccess::new(dir, ports, nodes).token_file;
    let password_file = s3m_dir(dir).join("password");
    let mut command = part::own_command(dir, S3M, identity)?;
    let management = if ports.hosts.is_spread() {
        let tls = place::tls_dir(dir);
        command
            .arg("s3m")
            .arg("serve")
            .arg("--cert")
            .arg(tls.join("server.pem"))
            .arg("--key")
            .arg(tls.join("server.key"));
        command.arg("--management-ca").arg(place::ca_file(dir));
        format!("https://{}", ports.at_node(1, ports.management_tls(1)))
    } else {
        command.arg("s3m").arg("serve");
        format!("http://{}", ports.inner(Host::Dsn(1), ports.management(1)))
    };
    command
        .args(["--listen", &at(ports).to_string(), "--token-file"])
        .arg(&token)
        .args(["--management", &management])
        .args(["--user", USER, "--password-file"])
        .arg(&password_file)
        .arg("--ingress-socket")
        .arg(managed::socket(dir))
        .arg("--ingress-map")
        .arg(managed::map(dir))
        .args(["--backend", managed::BACKEND, "--domain", DOMAIN, "--port", &PUBLIC_PORT.to_string()])
        .args(["--nodes", &nodes.to_string()]);
    for replica in 1..=gateways {
        command.arg("--gateway-names").arg(gateway::names(dir, replica));
    }
    Ok(command)
}

/// Whether it takes connections.
pub fn is_up(ports: Ports) -> bool {
    listens(at(ports))
}
