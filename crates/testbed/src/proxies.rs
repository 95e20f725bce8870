//! The routes through SciStream proxies that a testbed can have in addition to the direct ones.

use scistream::Kind;
use std::fmt;

/// One route through two proxies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyRoute {
    /// HAProxy on both sides, one port.
    Haproxy,
    /// HAProxy on both sides, four ports that workers spread over.
    Haproxy4,
    /// An encrypted stunnel tunnel.
    Stunnel,
    /// A stunnel tunnel that authenticates and does not encrypt, as the published ones.
    StunnelNull,
}

impl ProxyRoute {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Haproxy, Self::Haproxy4, Self::Stunnel, Self::StunnelNull];

    /// Its name as an architecture.
    pub fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "prs-haproxy",
            Self::Haproxy4 => "prs-haproxy-4",
            Self::Stunnel => "prs-stunnel",
            Self::StunnelNull => "prs-stunnel-null",
        }
    }

    /// The route of that name; `None` for a direct route.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == name)
    }

    /// The type of its data servers.
    pub fn kind(self) -> Kind {
        match self {
            Self::Haproxy | Self::Haproxy4 => Kind::Haproxy,
            Self::Stunnel => Kind::Stunnel,
            Self::StunnelNull => Kind::StunnelNull,
        }
    }

    /// Ports on each side.
    pub fn connections(self) -> u32 {
        match self {
            Self::Haproxy4 => 4,
            _ => 1,
        }
    }
}

impl fmt::Display for ProxyRoute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
