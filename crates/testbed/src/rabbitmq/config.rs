//! Renders rabbitmq.conf for one node. Pure: the same facts give the same text.

use super::install::Version;
use crate::{network::Host, ports::Ports};
use std::fmt::Write;

/// The user of clients. `guest` works from loopback only.
pub const USER: &str = "bench";

/// The inputs of one node's configuration.
#[derive(Debug)]
pub struct NodeConfig<'a> {
    pub version: Version,
    /// This node, counted from 1.
    pub node: usize,
    pub nodes: usize,
    pub ports: Ports,
    /// Holds ca.pem, server.pem and server.key.
    pub tls_dir: &'a str,
    pub password: &'a str,
    /// Above this the node blocks publishers. Absolute, since the default is a fraction of the whole host *per node*.
    pub memory_limit_bytes: u64,
}

pub fn node_name(ports: Ports, node: usize) -> String {
    format!("rmq{node}@{}", ports.hosts.peer_name(Host::Dsn(node)))
}

/// The text of rabbitmq.conf.
pub fn render(config: &NodeConfig) -> String {
    let &NodeConfig { version, node, nodes, ports, tls_dir, password, memory_limit_bytes } = config;
    let mut text = String::new();
    let mut set = |key: &str, value: &dyn std::fmt::Display| {
        writeln!(text, "{key} = {value}").expect("writing to a string never fails");
    };
    let here = |port: u16| ports.at_node(node, port).to_string();
    let address = ports.hosts.inner_address(Host::Dsn(node));

    set("listeners.tcp.1", &here(ports.amqp(node)));
    set("listeners.ssl.1", &here(ports.amqps(node)));
    set("ssl_options.cacertfile", &format!("{tls_dir}/ca.pem"));
    set("ssl_options.certfile", &format!("{tls_dir}/server.pem"));
    set("ssl_options.keyfile", &format!("{tls_dir}/server.key"));
    set("ssl_options.verify", &"verify_none");
    set("ssl_options.fail_if_no_peer_cert", &false);
    set("management.tcp.ip", &address);
    set("management.tcp.port", &ports.management(node));
    if ports.hosts.is_spread() {
        set("management.ssl.ip", &ports.hosts.address(Host::Dsn(node)));
        set("management.ssl.port", &ports.management_tls(node));
        set("management.ssl.cacertfile", &format!("{tls_dir}/ca.pem"));
        set("management.ssl.certfile", &format!("{tls_dir}/server.pem"));
        set("management.ssl.keyfile", &format!("{tls_dir}/server.key"));
    }
    set("prometheus.tcp.ip", &address);
    set("prometheus.tcp.port", &ports.prometheus(node));

    if nodes > 1 {
        set("cluster_formation.peer_discovery_backend", &"classic_config");
        // The first node looks for its peers while they wait for it: with the default ten retries every start takes
        // twice as long.
        set("cluster_formation.discovery_retry_limit", &2);
        set("cluster_formation.discovery_retry_interval", &100);
        for peer in 1..=nodes {
            set(&format!("cluster_formation.classic_config.nodes.{peer}"), &node_name(ports, peer));
        }
    }

    // Queues spread over the nodes instead of piling up where their declarer is connected.
    if version.major < 4 {
        set("queue_master_locator", &"min-masters");
    }
    set("queue_leader_locator", &"balanced");
    if version.major >= 4 {
        // The paper's queues are neither durable nor exclusive; 4.3 rejects such queues by default.
        set("deprecated_features.permit.transient_nonexcl_queues", &true);
    }

    // A run samples its queues each second. The defaults update figures every five: most samples would show nothing
    // new.
    set("collect_statistics_interval", &1000);
    for policy in ["global.minute", "basic.minute", "detailed.10"] {
        set(&format!("management.sample_retention_policies.{policy}"), &1);
    }
    set("max_message_size", &536_870_912);
    set("default_user", &USER);
    set("default_pass", &password);
    set("vm_memory_high_watermark.absolute", &memory_limit_bytes);
    set("disk_free_limit.absolute", &"200MB");
    set("log.file.level", &"info");
    set("log.console", &false);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// `UPDATE_GOLDEN=1` rewrites the file; the diff is the review.
    #[track_caller]
    fn check_golden(version: &str) {
        let config = NodeConfig {
            version: version.parse().unwrap(),
            node: 2,
            nodes: 3,
            ports: Ports::loopback(20400),
            tls_dir: "/tmp/streamharness-1000/testbed/tls",
            password: "0123456789abcdef",
            memory_limit_bytes: 1 << 30,
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/rabbitmq-{version}.conf"));
        let text = render(&config);
        if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
            std::fs::write(&path, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "see {}", path.display());
    }

    #[test]
    fn the_configuration_for_3_10_is_the_golden_one() {
        check_golden("3.10");
    }

    #[test]
    fn the_configuration_for_4_1_is_the_golden_one() {
        check_golden("4.1");
    }

    #[test]
    fn a_single_node_looks_for_no_peers() {
        let config = NodeConfig {
            version: "3.10.8".parse().unwrap(),
            node: 1,
            nodes: 1,
            ports: Ports::loopback(20400),
            tls_dir: "/tls",
            password: "x",
            memory_limit_bytes: 1,
        };
        assert!(!render(&config).contains("cluster_formation"));
    }
}
