//! The network in `state.json`.

use serde::{Deserialize, Serialize};
use std::{fmt, net::Ipv4Addr};

/// The data needed to enter and to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NetworkState {
    pub links: Vec<LinkState>,
    /// The supervisor's descriptor of the clients' namespace.
    pub clients_fd: i32,
    /// The producers' namespace, where they are at a site of their own.
    #[serde(default)]
    pub producers: Option<ProducersState>,
    /// Inode numbers of all namespaces, the clients' first: they identify processes that are still inside.
    pub namespaces: Vec<u64>,
    /// The options that it was built with.
    #[serde(default)]
    pub choice: String,
    /// TCP's congestion control on every host; `None`: the kernel's default.
    #[serde(default)]
    pub congestion: Option<String>,
    /// What the firewall of the service's site lets through, as the kernel has it; `None`: no firewall.
    #[serde(default)]
    pub firewall: Option<Vec<Rule>>,
    /// The largest packet of every link, in bytes.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Whether the kernel can delay the packets of a link.
    #[serde(default)]
    pub netem: bool,
}

/// What the firewall lets through from the other site: connections, or packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The architectures that need it.
    pub architectures: Vec<String>,
    /// The host that they lead to.
    pub host: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The first of its ports.
    pub from_port: u16,
    /// The last of them.
    pub to_port: u16,
    /// Whether these are ports of UDP, in place of TCP.
    #[serde(default)]
    pub udp: bool,
}

impl Rule {
    /// Whether it lets the same through.
    pub fn opens(&self, other: &Self) -> bool {
        let opened = |rule: &Self| (rule.address, rule.from_port, rule.to_port, rule.udp);
        opened(self) == opened(other)
    }

    /// As nftables calls it.
    pub fn protocol(&self) -> &'static str {
        if self.udp { "udp" } else { "tcp" }
    }

    /// Number of ports that it opens.
    pub fn ports(&self) -> usize {
        usize::from(self.to_port - self.from_port) + 1
    }

    /// `10211`, or `10760-10769`.
    pub fn ports_in_words(&self) -> String {
        let Self { from_port, to_port, .. } = self;
        if to_port == from_port { from_port.to_string() } else { format!("{from_port}-{to_port}") }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { architectures, host, address, .. } = self;
        let protocol = self.protocol().to_uppercase();
        write!(f, "{}: {protocol} to {host} {address}:{}", architectures.join(", "), self.ports_in_words())
    }
}

/// The namespace of the ranks with producers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducersState {
    /// The supervisor's descriptor of it.
    pub fd: i32,
    /// Its inode number.
    pub namespace: u64,
}

/// What a link adds besides its rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    /// `netem`, or `forwarder`.
    pub by: String,
    /// The delay wanders by so much in both directions.
    pub jitter_s: f64,
    /// Share of packets that are lost.
    pub loss: f64,
    /// Share of packets that others overtake.
    pub reorder: f64,
    /// What a TCP socket of any host may hold at most, where that is known.
    #[serde(default)]
    pub socket_bytes: Option<u64>,
}

impl LinkState {
    /// `30 ms by forwarder, jitter 1 ms, loss 0.01 %`; `None` without distance.
    pub fn distance_in_words(&self) -> Option<String> {
        let distance = self.distance.as_ref()?;
        let ms = self.delay_s * 1e3;
        let part = |name: &str, value: f64, unit: &str| match value > 0.0 {
            // Rounded, since 0.0001 is 0.010000000000000002 %.
            true => format!(", {name} {} {unit}", (value * 1e9).round() / 1e9),
            false => String::new(),
        };
        Some(
            format!("{ms} ms by {}", distance.by)
                + &part("jitter", distance.jitter_s * 1e3, "ms")
                + &part("loss", distance.loss * 100.0, "%")
                + &part("reorder", distance.reorder * 100.0, "%"),
        )
    }
}

/// The link between the switch and one host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkState {
    /// The host's name, and that of the switch's port.
    pub name: String,
    pub address: Ipv4Addr,
    /// In each direction; `None`: unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// One way.
    pub delay_s: f64,
    /// What else happens on it, and by what; `None`: neither delay nor anything else.
    #[serde(default)]
    pub distance: Option<Distance>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_named_with_all_that_it_does() {
        let distance =
            |jitter_s, loss| Distance { by: "forwarder".to_owned(), jitter_s, loss, reorder: 0.0, socket_bytes: None };
        let mut link = LinkState {
            name: "clients".to_owned(),
            address: Ipv4Addr::LOCALHOST,
            rate_bits_per_second: None,
            delay_s: 0.03,
            distance: None,
        };
        assert_eq!(link.distance_in_words(), None);
        link.distance = Some(distance(0.0, 0.0));
        assert_eq!(link.distance_in_words().as_deref(), Some("30 ms by forwarder"));
        link.distance = Some(distance(0.001, 0.0001));
        assert_eq!(link.distance_in_words().as_deref(), Some("30 ms by forwarder, jitter 1 ms, loss 0.01 %"));
    }
}
