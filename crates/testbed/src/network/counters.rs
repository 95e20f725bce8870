//! Counters of each link, from the output of `ip -s -j` and `tc -s -j`.

use super::{Distance, LinkState};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// One link of the network, with its counters since its creation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The host at its end: `clients`, `dsn1`, `lb` ...
    pub name: String,
    /// In each direction; `None`: unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// One way.
    pub delay_s: f64,
    /// From the switch to the host.
    pub to_host: Count,
    /// From the host to the switch.
    pub from_host: Count,
    /// What the link adds besides its rate.
    #[serde(default)]
    pub distance: Option<Distance>,
    /// What the forwarder counted from the host, and to it; `None` on a link without one.
    #[serde(default)]
    pub forwarded: Option<[distance::Counters; 2]>,
}

/// One direction, counted at the switch's port, frame headers included. Segments that the kernel forwards as one count
/// as one packet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// In bytes.
    pub bytes: u64,
    /// As the port sees them.
    pub packets: u64,
    /// Frames that found the link's queue full.
    pub drops: u64,
}

impl Link {
    /// The difference to an earlier count.
    pub fn since(&self, earlier: &Self) -> Self {
        let less = |now: Count, then: Count| Count {
            bytes: now.bytes.saturating_sub(then.bytes),
            packets: now.packets.saturating_sub(then.packets),
            drops: now.drops.saturating_sub(then.drops),
        };
        Self {
            to_host: less(self.to_host, earlier.to_host),
            from_host: less(self.from_host, earlier.from_host),
            forwarded: self
                .forwarded
                .as_ref()
                .zip(earlier.forwarded.as_ref())
                .map(|([from, to], [from_then, to_then])| [from.since(from_then), to.since(to_then)]),
            ..self.clone()
        }
    }
}

#[derive(Deserialize)]
struct Port {
    ifname: String,
    stats64: Stats,
}

#[derive(Deserialize)]
struct Stats {
    rx: Direction,
    tx: Direction,
}

#[derive(Deserialize)]
struct Direction {
    bytes: u64,
    packets: u64,
}

#[derive(Deserialize)]
struct Discipline {
    dev: String,
    #[serde(default)]
    drops: u64,
}

/// `ports` and `towards` as printed at the switch, `from` at the host.
pub fn link(link: &LinkState, ports: &str, towards: &str, from: &str) -> Result<Link> {
    let unread = || Error::Counters(link.name.clone());
    let ports: Vec<Port> = serde_json::from_str(ports).map_err(|_| unread())?;
    let port = ports.into_iter().find(|port| port.ifname == link.name).ok_or_else(unread)?;
    let drops = |text: &str, device: &str| -> Result<u64> {
        let all: Vec<Discipline> = serde_json::from_str(text).map_err(|_| unread())?;
        Ok(all.iter().filter(|discipline| discipline.dev == device).map(|discipline| discipline.drops).sum())
    };
    let count = |direction: &Direction, drops| Count { bytes: direction.bytes, packets: direction.packets, drops };
    Ok(Link {
        name: link.name.clone(),
        rate_bits_per_second: link.rate_bits_per_second,
        delay_s: link.delay_s,
        to_host: count(&port.stats64.tx, drops(towards, &link.name)?),
        from_host: count(&port.stats64.rx, drops(from, "eth0")?),
        distance: link.distance.clone(),
        forwarded: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LinkState {
        LinkState {
            name: "dsn1".into(),
            address: "10.79.0.11".parse().unwrap(),
            rate_bits_per_second: Some(8),
            delay_s: 0.0,
            distance: None,
        }
    }

    #[test]
    fn what_the_switch_sends_is_what_goes_to_the_host() {
        let ports = r#"[{"ifname":"dsn1","stats64":{"rx":{"bytes":7,"packets":2},"tx":{"bytes":900,"packets":3}}}]"#;
        let towards = r#"[{"dev":"dsn2","drops":50},{"dev":"dsn1","drops":4}]"#;
        let link = link(&state(), ports, towards, r#"[{"dev":"eth0","drops":1}]"#).unwrap();
        assert_eq!(link.to_host, Count { bytes: 900, packets: 3, drops: 4 });
        assert_eq!(link.from_host, Count { bytes: 7, packets: 2, drops: 1 });
        let later = Link { to_host: Count { bytes: 1000, packets: 5, drops: 4 }, ..link.clone() };
        assert_eq!(later.since(&link).to_host, Count { bytes: 100, packets: 2, drops: 0 });
    }

    #[test]
    fn a_missing_port_is_reported() {
        assert!(link(&state(), "[]", "[]", "[]").unwrap_err().to_string().contains("dsn1"));
    }
}
