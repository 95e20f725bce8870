//! The routes of a testbed in addition to the direct ones, which always exist.

use crate::{Error, ProxyRoute, Result};
use std::{collections::BTreeSet, fmt, str::FromStr};

/// The name of the managed service's route.
pub(crate) const MANAGED: &str = "mss";
/// The managed service's route without the balancer, to show what each adds.
pub(crate) const INGRESS: &str = "ingress";
/// The HAProxy route without the producers' proxy, to show what each adds.
pub(crate) const ONE_PROXY: &str = "one-proxy";

/// The route through a network load balancer.
pub(crate) const DTS_NLB: &str = "dts-nlb";
/// The managed service behind one gateway in place of balancer and ingress.
pub(crate) const GATEWAY_ROUTE: &str = "mss-gateway";
/// The same with several replicas.
pub(crate) const GATEWAYS_ROUTE: &str = "mss-gateway-3";
/// The route through a load balancer of EJFAT.
pub(crate) const EJFAT: &str = "ejfat";
/// EJFAT's packets without it, for which nothing is built.
pub(crate) const EJFAT_DIRECT: &str = "ejfat-direct";
/// What follows the name of a route that is left out where it cannot be built.
pub const IF_POSSIBLE: &str = ":if-possible";

/// Whether a route that not every machine can have is built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// It is not.
    #[default]
    No,
    /// It is left out, with the reason, where it cannot be built.
    IfPossible,
    /// Without it there is no testbed.
    Yes,
}

impl Wanted {
    /// By the name of its route, if it is wanted at all.
    fn name(self, route: &str) -> Option<String> {
        match self {
            Self::No => None,
            Self::IfPossible => Some(format!("{route}{IF_POSSIBLE}")),
            Self::Yes => Some(route.to_owned()),
        }
    }
}

/// Most gateways, and those of the route with several.
pub(crate) const REPLICAS: usize = 3;

/// Gateways that have to be built.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gateways {
    /// Whether there are any.
    pub wanted: Wanted,
    /// How many.
    pub replicas: usize,
}

impl Gateways {
    /// Those of the route with so many replicas in addition.
    pub fn and(self, replicas: usize, wanted: Wanted) -> Self {
        Self { wanted: self.wanted.max(wanted), replicas: self.replicas.max(replicas) }
    }
}

/// Routes that have to be built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    /// Those through SciStream proxies, each once.
    pub proxies: Vec<ProxyRoute>,
    /// The one of the managed service, and how its ingress chooses a node.
    pub managed: Option<Balance>,
    /// The one through a network load balancer.
    pub nlb: Wanted,
    /// The ones through gateways of the managed service, whose ingress is there, too.
    pub gateways: Gateways,
    /// Whether there is the one through a load balancer of EJFAT, which is no broker's.
    pub ejfat: bool,
}

/// How the ingress chooses a node for a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Balance {
    /// By the client's address, OpenShift's default. Behind a balancer all clients have the same address, so all
    /// connect to one node.
    #[default]
    Source,
    /// In turn.
    RoundRobin,
    /// The node with the fewest connections.
    LeastConn,
}

impl Routes {
    /// All routes.
    pub fn all() -> Self {
        Self {
            proxies: ProxyRoute::ALL.to_vec(),
            managed: Some(Balance::default()),
            nlb: Wanted::IfPossible,
            gateways: Gateways { wanted: Wanted::IfPossible, replicas: REPLICAS },
            ejfat: true,
        }
    }

    /// The routes to build for these names: `dts`, `dts-plain`, `prs-haproxy` ..., `mss` or `mss:leastconn`, `dts-nlb`,
    /// `ejfat`, `all`.
    ///
    /// # Errors
    ///
    /// [`Error::Route`] or [`Error::Balance`] for an unknown name.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut proxies = BTreeSet::new();
        let (mut managed, mut nlb, mut gateways, mut ejfat) = (None, Wanted::No, Gateways::default(), false);
        for name in names {
            let (bare, wanted) =
                name.strip_suffix(IF_POSSIBLE).map_or((name, Wanted::Yes), |bare| (bare, Wanted::IfPossible));
            match (name, ProxyRoute::named(name), name.strip_prefix("mss:")) {
                (_, Some(route), _) => {
                    proxies.insert(route);
                }
                (_, _, Some(balance)) => managed = Some(balance.parse()?),
                (ONE_PROXY, ..) => {
                    proxies.insert(ProxyRoute::Haproxy);
                }
                (MANAGED | INGRESS, ..) => managed = managed.or(Some(Balance::default())),
                ("all", ..) => {
                    proxies.extend(ProxyRoute::ALL);
                    managed = managed.or(Some(Balance::default()));
                    nlb = nlb.max(Wanted::IfPossible);
                    gateways = gateways.and(REPLICAS, Wanted::IfPossible);
                    ejfat = true;
                }
                (EJFAT, ..) => ejfat = true,
                _ if bare == DTS_NLB => nlb = nlb.max(wanted),
                _ if replicas_of(bare).is_some() => {
                    gateways = gateways.and(replicas_of(bare).unwrap_or(1), wanted);
                    managed = managed.or(Some(Balance::default()));
                }
                ("dts" | "dts-plain" | EJFAT_DIRECT, ..) => {}
                _ => return Err(Error::Route(name.to_owned())),
            }
        }
        Ok(Self { proxies: proxies.into_iter().collect(), managed, nlb, gateways, ejfat })
    }

    /// The names that [`Routes::named`] reads.
    pub fn names(&self) -> Vec<String> {
        let gateway = if self.gateways.replicas > 1 { GATEWAYS_ROUTE } else { GATEWAY_ROUTE };
        let proxies = self.proxies.iter().map(|route| route.name().to_owned());
        proxies
            .chain(self.managed.map(|balance| format!("{MANAGED}:{balance}")))
            .chain(self.nlb.name(DTS_NLB))
            .chain(self.gateways.wanted.name(gateway))
            .chain(self.ejfat.then(|| EJFAT.to_owned()))
            .collect()
    }
}

/// The gateways of a route, if it is one through gateways.
pub(crate) fn replicas_of(route: &str) -> Option<usize> {
    match route {
        GATEWAY_ROUTE => Some(1),
        GATEWAYS_ROUTE => Some(REPLICAS),
        _ => None,
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::RoundRobin => "roundrobin",
            Self::LeastConn => "leastconn",
        })
    }
}

impl FromStr for Balance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        [Self::Source, Self::RoundRobin, Self::LeastConn]
            .into_iter()
            .find(|balance| balance.to_string() == text)
            .ok_or_else(|| Error::Balance(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_selected_by_name_and_each_is_built_once() {
        use ProxyRoute::{Haproxy, Stunnel};
        let named = |names: &[&str]| Routes::named(names.iter().copied()).unwrap();
        assert_eq!(named(&["dts", "dts-plain", "ejfat-direct"]), Routes::default());
        assert!(named(&["ejfat"]).ejfat && named(&["ejfat"]).proxies.is_empty());
        assert_eq!(named(&["prs-stunnel", "prs-haproxy", "prs-stunnel"]).proxies, [Haproxy, Stunnel]);
        assert_eq!(named(&["all", "dts"]), Routes::all());
        assert_eq!((named(&["one-proxy"]), named(&["ingress"])), (named(&["prs-haproxy"]), named(&["mss"])));
        assert_eq!(named(&["mss:leastconn", "all"]).managed, Some(Balance::LeastConn));
        let one = named(&["mss-gateway", "dts"]);
        assert_eq!((one.gateways.replicas, one.managed), (1, Some(Balance::Source)));
        assert_eq!((named(&["all", "dts-nlb"]).nlb, named(&["all"]).nlb), (Wanted::Yes, Wanted::IfPossible));
        let names = Routes::all().names();
        assert_eq!(Routes::named(names.iter().map(String::as_str)).unwrap(), Routes::all());
    }

    #[test]
    fn an_unknown_route_is_rejected_with_the_known_names() {
        let rejected = |name: &str| Routes::named([name]).unwrap_err().to_string();
        assert!(
            rejected("kafka").contains("`kafka`") && rejected("kafka").contains("prs-stunnel"),
            "{}",
            rejected("kafka")
        );
        assert!(rejected("mss:random").contains("source, roundrobin or leastconn"), "{}", rejected("mss:random"));
    }
}
