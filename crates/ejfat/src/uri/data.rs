//! Where data goes: an address with one port or a range of them.

use std::{fmt, net::IpAddr, ops::RangeInclusive};

/// The port where none is given, "LB" in ASCII.
const PORT: u16 = 19_522;

/// Where data goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataAddress {
    /// The load balancer.
    pub ip: IpAddr,
    /// Its ports, any of which can be used.
    pub ports: RangeInclusive<u16>,
}

impl DataAddress {
    /// `IP`, `IP:PORT`, `IP:MIN-MAX`; an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (ip, ports) = match text.strip_prefix('[') {
            Some(rest) => {
                let (ip, after) = rest.split_once(']')?;
                let ports = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
                (IpAddr::V6(ip.parse().ok()?), ports)
            }
            None => {
                let (ip, ports) = text.split_once(':').map_or((text, None), |(ip, ports)| (ip, Some(ports)));
                (IpAddr::V4(ip.parse().ok()?), ports)
            }
        };
        let ports = match ports {
            None => PORT..=PORT,
            Some(ports) => {
                let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
                first.parse().ok()?..=last.parse().ok()?
            }
        };
        (*ports.start() > 0 && !ports.is_empty()).then_some(Self { ip, ports })
    }
}

impl fmt::Display for DataAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            IpAddr::V4(ip) => write!(f, "{ip}")?,
            IpAddr::V6(ip) => write!(f, "[{ip}]")?,
        }
        write!(f, ":{}", self.ports.start())?;
        if self.ports.start() == self.ports.end() { Ok(()) } else { write!(f, "-{}", self.ports.end()) }
    }
}
