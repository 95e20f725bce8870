//! The routes through SciStream proxies that a testbed can offer beside the direct ones.

use std::collections::BTreeSet;
use std::fmt;

use scistream::Kind;

use crate::{Error, Result};

/// One way through two proxies.
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

    /// The one of that name; none for a direct route.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == name)
    }

    /// What a testbed for these routes (`dts`, `dts-plain`, the names above, `all`) has to build besides the cluster.
    pub fn needed_for<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>> {
        let mut needed = BTreeSet::new();
        for name in names {
            match (name, Self::named(name)) {
                (_, Some(route)) => {
                    needed.insert(route);
                }
                ("all", _) => needed.extend(Self::ALL),
                ("dts" | "dts-plain", _) => {}
                _ => return Err(Error::Route(name.to_owned())),
            }
        }
        Ok(needed.into_iter().collect())
    }

    /// What its data servers are.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_asked_for_by_name_and_each_is_built_once() {
        use ProxyRoute::{Haproxy, Stunnel};
        let needed = |names: &[&str]| ProxyRoute::needed_for(names.iter().copied()).unwrap();
        assert_eq!(needed(&["dts", "dts-plain"]), []);
        assert_eq!(needed(&["prs-stunnel", "prs-haproxy", "prs-stunnel"]), [Haproxy, Stunnel]);
        assert_eq!(needed(&["all", "dts"]), ProxyRoute::ALL);
        let error = ProxyRoute::needed_for(["mss"]).unwrap_err().to_string();
        assert!(error.contains("`mss`") && error.contains("prs-stunnel"), "{error}");
    }
}
