//! EJFAT's control plane and load balancer: `streamharness ejfat serve` and `balance` as parts of the testbed.

use crate::{
    Result, Shared,
    identity::Identity,
    network::{Host, Hosts},
    part, place,
    ports::Ports,
    secrets,
    tunnels::listens,
};
use serde::{Deserialize, Serialize};
use std::{
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::Command,
};

/// The name of the control plane as a part.
pub const EJFAT_CONTROL: &str = "ejfat control";
/// That of the load balancer.
pub const EJFAT_BALANCER: &str = "ejfat balancer";
/// That of the one through which replies go back.
pub const EJFAT_REPLIES: &str = "ejfat balancer of replies";
/// What it prints once it takes packets.
const PASSES_ON: &str = "passes on what arrives";

/// Access to the control plane.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EjfatAccess {
    /// `ejfat://ADDR:PORT`, without a token.
    pub url: String,
    /// The file with the token, and nothing else.
    pub token_file: PathBuf,
    /// The authority to trust, if the URL is `ejfats://`.
    pub ca: Option<PathBuf>,
}

impl EjfatAccess {
    pub(crate) fn new(dir: &Path, ports: Ports) -> Self {
        let (scheme, ca) = if has_tls(ports) { ("ejfats", Some(place::ca_file(dir))) } else { ("ejfat", None) };
        Self { url: format!("{scheme}://{}", control(ports)), token_file: token_file(dir), ca }
    }
}

/// Ranks of other hosts call it, so that a token would be on the wire.
fn has_tls(ports: Ports) -> bool {
    matches!(ports.hosts, Hosts::Reachable(_) | Hosts::Allocation(_))
}

fn control(ports: Ports) -> SocketAddrV4 {
    ports.at(Host::EjfatControl, ports.ejfat_control())
}

/// Where the load balancer takes data.
pub fn data(ports: Ports) -> SocketAddrV4 {
    ports.at(Host::EjfatBalancer, ports.ejfat_data())
}

/// Where the one of replies does.
fn data_of_replies(ports: Ports) -> SocketAddrV4 {
    ports.at(Host::EjfatBalancer, ports.ejfat_replies()[1])
}

fn token_file(dir: &Path) -> PathBuf {
    dir.join("ejfat").join("token")
}

/// Creates its directory with the token, which the caller reads too: as the same user, or as root.
pub fn lay_out(dir: &Path, shared: &Shared, identity: &Identity) -> Result<()> {
    place::create(&dir.join("ejfat"), Some(identity))?;
    secrets::write(&token_file(dir), &format!("{}\n", shared.token), 0o600, Some(identity))
}

/// The command that starts the control plane.
pub fn control_command(dir: &Path, ports: Ports, identity: &Identity) -> Result<Command> {
    let mut command = part::own_command(dir, EJFAT_CONTROL, identity)?;
    let sync = |port| ports.at(Host::EjfatControl, port);
    let [of_replies, _] = ports.ejfat_replies();
    // The first free one is reserved, and messages come before replies.
    command
        .args(["ejfat", "serve", "--listen", &control(ports).to_string()])
        .args(["--balancer", &format!("{},{}", sync(ports.ejfat_sync()), data(ports))])
        .args(["--balancer", &format!("{},{}", sync(of_replies), data_of_replies(ports))])
        .arg("--token-file")
        .arg(token_file(dir));
    if has_tls(ports) {
        let tls = place::tls_dir(dir);
        command.arg("--cert").arg(tls.join("server.pem")).arg("--key").arg(tls.join("server.key"));
    }
    Ok(command)
}

/// Both load balancers: each with the port of its data.
pub fn balancers(ports: Ports) -> [(&'static str, u16); 2] {
    [(EJFAT_BALANCER, ports.ejfat_data()), (EJFAT_REPLIES, ports.ejfat_replies()[1])]
}

/// The command that starts one of them, once the control plane is up.
pub fn balancer_command(dir: &Path, name: &str, ports: Ports, identity: &Identity) -> Result<Command> {
    let mut command = part::own_command(dir, name, identity)?;
    let (data, number) = if name == EJFAT_REPLIES { (data_of_replies(ports), "1") } else { (data(ports), "0") };
    let EjfatAccess { url, token_file, ca } = EjfatAccess::new(dir, ports);
    command
        .args(["ejfat", "balance", "--listen", &data.to_string(), "--number", number, "--control-plane", &url])
        .arg("--token-file")
        .arg(token_file);
    if let Some(ca) = ca {
        command.arg("--ca").arg(ca);
    }
    Ok(command)
}

/// Whether the control plane takes calls.
pub fn control_is_up(ports: Ports) -> bool {
    listens(control(ports))
}

/// Whether a load balancer has its sockets and its first tables; nothing answers a packet.
pub fn balancer_is_up(dir: &Path, name: &str) -> bool {
    part::output(dir, name).contains(PASSES_ON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_in_a_file_and_calls_are_encrypted_where_other_hosts_make_them() {
        let dir = Path::new("/tmp/t");
        let local = EjfatAccess::new(dir, Ports::loopback(12000));
        assert_eq!((local.url.as_str(), local.ca), ("ejfat://127.0.0.1:12446", None));
        assert_eq!(local.token_file, Path::new("/tmp/t/ejfat/token"));
        let reachable = EjfatAccess::new(dir, Ports::reachable(12000, [192, 0, 2, 7].into()));
        assert_eq!(reachable.url, "ejfats://192.0.2.7:12446");
        assert_eq!(reachable.ca.as_deref(), Some(Path::new("/tmp/t/tls/ca.pem")));
    }
}
