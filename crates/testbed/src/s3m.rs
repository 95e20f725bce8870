//! The S3M interface: `streamharness s3m serve` as a part of the testbed.

use crate::{
    Result,
    identity::Identity,
    managed::{self, DOMAIN, PUBLIC_PORT},
    network::Host,
    part, place,
    ports::Ports,
    rabbitmq::config::USER,
    secrets,
};
use serde::{Deserialize, Serialize};
use std::{
    net::{SocketAddrV4, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// Its name as a part.
pub const S3M: &str = "s3m";

const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Access to the interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3mAccess {
    /// `http://ADDR:PORT`.
    pub url: String,
    /// The file with the token, and nothing else.
    pub token_file: PathBuf,
    /// Nodes of the cluster that tenants get.
    pub nodes: usize,
}

impl S3mAccess {
    pub(crate) fn new(dir: &Path, ports: Ports, nodes: usize) -> Self {
        Self { url: format!("http://{}", at(ports)), token_file: s3m_dir(dir).join("token"), nodes }
    }
}

/// With the supervisor at the switch: a facility's control plane, which carries no message.
fn at(ports: Ports) -> SocketAddrV4 {
    ports.inner(Host::Switch, ports.s3m())
}

fn s3m_dir(dir: &Path) -> PathBuf {
    dir.join(S3M)
}

/// Creates its directory with a new token, which the caller reads too: as the same user, or as root.
pub fn command(dir: &Path, nodes: usize, ports: Ports, password: &str, identity: &Identity) -> Result<Command> {
    let own = s3m_dir(dir);
    place::create(&own, Some(identity))?;
    let token = S3mAccess::new(dir, ports, nodes).token_file;
    let password_file = own.join("password");
    secrets::write(&token, &format!("{}\n", secrets::random_hex(16)?), 0o600, Some(identity))?;
    secrets::write(&password_file, password, 0o600, Some(identity))?;
    let mut command = part::own_command(dir, S3M, identity)?;
    command
        .args(["s3m", "serve", "--listen", &at(ports).to_string(), "--token-file"])
        .arg(&token)
        .args(["--management", &format!("http://{}", ports.inner(Host::Dsn(1), ports.management(1)))])
        .args(["--user", USER, "--password-file"])
        .arg(&password_file)
        .arg("--ingress-socket")
        .arg(managed::socket(dir))
        .arg("--ingress-map")
        .arg(managed::map(dir))
        .args(["--backend", managed::BACKEND, "--domain", DOMAIN, "--port", &PUBLIC_PORT.to_string()])
        .args(["--nodes", &nodes.to_string()]);
    Ok(command)
}

/// Whether it takes connections.
pub fn is_up(ports: Ports) -> bool {
    TcpStream::connect_timeout(&at(ports).into(), LOOK_LIMIT).is_ok()
}
