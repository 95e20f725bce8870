//! What each architecture needs of the firewall at the service's site: the only place that states it.

use crate::{
    Error, ProxyRoute, Result,
    network::{Host, Opened, Rule},
    ports::{Ports, UNPRIVILEGED},
    routes::{DTS_NLB, EJFAT, EJFAT_DIRECT, GATEWAY_ROUTE, GATEWAYS_ROUTE, INGRESS, MANAGED, ONE_PROXY, replicas_of},
    tunnels::{ControlServers, End},
};
use std::{io, net::TcpStream, ops::RangeInclusive, time::Duration};

/// How long a connection may take that no rule lets through: a filter gives no reply.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// The rules of an architecture. Consumers are at the service's site and need none.
pub fn needs(architecture: &str, ports: Ports, nodes: usize) -> Vec<Rule> {
    let rule = |host: Host, ports_of_it: RangeInclusive<u16>| Rule {
        architectures: vec![architecture.to_owned()],
        host: host.to_string(),
        address: ports.hosts.address(host),
        from_port: *ports_of_it.start(),
        to_port: *ports_of_it.end(),
        udp: false,
    };
    let packets = |host, ports_of_it| Rule { udp: true, ..rule(host, ports_of_it) };
    let each_node = |port: fn(Ports, usize) -> u16| {
        (1..=nodes).map(|node| rule(Host::Dsn(node), port(ports, node)..=port(ports, node))).collect()
    };
    match architecture {
        "dts" => each_node(Ports::amqps),
        "dts-plain" => each_node(Ports::amqp),
        DTS_NLB => vec![rule(Host::Nlb, ports.nlb(1)..=ports.nlb(nodes))],
        GATEWAY_ROUTE | GATEWAYS_ROUTE => (1..=replicas_of(architecture).unwrap_or(1))
            .map(|replica| rule(Host::Gateway(replica), ports.gateway(replica)..=ports.gateway(replica)))
            .collect(),
        MANAGED => vec![rule(Host::Balancer, ports.balancer()..=ports.balancer())],
        INGRESS => vec![rule(Host::Ingress, ports.ingress()..=ports.ingress())],
        EJFAT => vec![
            rule(Host::EjfatControl, ports.ejfat_control()..=ports.ejfat_control()),
            packets(Host::EjfatControl, ports.ejfat_sync()..=ports.ejfat_sync()),
            packets(Host::EjfatBalancer, ports.ejfat_data()..=ports.ejfat_data()),
            // Consumers send their replies within the site; the load balancer sends them out of it.
        ],
        // Consumers take any free ports.
        EJFAT_DIRECT => vec![packets(Host::Clients, UNPRIVILEGED..=u16::MAX)],
        _ => {
            let name = if architecture == ONE_PROXY { ProxyRoute::Haproxy.name() } else { architecture };
            // Data servers draw their ports when they are requested, so the whole range is authorized before.
            let server = ProxyRoute::named(name).map(|route| ControlServers::index(route.kind(), End::Consumer));
            server.map(|server| rule(ports.hosts.consumer_proxy(), ports.s2ds(server))).into_iter().collect()
        }
    }
}

/// The rules of all these architectures, each rule once.
pub fn rules(opened: Opened, ports: Ports, nodes: usize) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for rule in opened.names().flat_map(|name| needs(name, ports, nodes)) {
        match rules.iter_mut().find(|known| known.opens(&rule)) {
            Some(known) => known.architectures.extend(rule.architectures),
            None => rules.push(rule),
        }
    }
    rules
}

/// Tries to pass where `architecture` lacks one of its rules; the calling thread is at the other site.
pub fn passes(architecture: &str, ports: Ports, nodes: usize, in_force: &[Rule]) -> Result<()> {
    let lacks = |rule: &Rule| !in_force.iter().any(|known| known.opens(rule));
    let Some(missing) = needs(architecture, ports, nodes).into_iter().find(lacks) else { return Ok(()) };
    let closed =
        |source| Err(Error::Firewall { architecture: architecture.to_owned(), rule: missing.to_string(), source });
    if missing.udp {
        return closed(io::Error::other("it drops UDP without a reply"));
    }
    let address = std::net::SocketAddr::from((missing.address, missing.from_port));
    match TcpStream::connect_timeout(&address, TRY_LIMIT) {
        Ok(_) => Ok(()),
        Err(source) => closed(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_words(names: &[&str]) -> Vec<String> {
        let ports = Ports::facility(2, true);
        rules(Opened::of(names.iter().copied()), ports, 2).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_architecture_opens_what_it_needs_and_shares_what_others_have_opened() {
        assert_eq!(
            in_words(&["dts", "dts-nlb:if-possible", "mss"]),
            [
                "dts: TCP to dsn1 10.79.0.11:10211",
                "dts: TCP to dsn2 10.79.0.12:10212",
                "dts-nlb: TCP to nlb 10.79.0.22:10251-10252",
                "mss: TCP to lb 10.79.0.20:10644"
            ]
        );
        assert_eq!(
            in_words(&["one-proxy", "prs-haproxy", "prs-haproxy-4"]),
            ["prs-haproxy, prs-haproxy-4, one-proxy: TCP to dsn1 10.79.0.11:10760-10769"]
        );
        assert_eq!(
            in_words(&["ejfat", "ejfat-direct"]),
            [
                "ejfat: TCP to ejfat-cp 10.79.0.26:10646",
                "ejfat: UDP to ejfat-cp 10.79.0.26:10647",
                "ejfat: UDP to ejfat-lb 10.79.0.27:10648",
                "ejfat-direct: UDP to clients 10.79.0.10:1024-65535"
            ]
        );
        assert_eq!(in_words(&[]), [""; 0]);
    }

    #[test]
    fn no_architecture_is_without_rules() {
        let ports = Ports::facility(3, true);
        for name in Opened::of(["all"]).names() {
            assert!(!needs(name, ports, 3).is_empty(), "{name}");
        }
    }
}
