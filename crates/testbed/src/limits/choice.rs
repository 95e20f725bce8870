//! CPU limits of parts as written: `s2cs=0.3`, `node 2=1`.

use crate::{
    Error, Result, Routes,
    ejfat::{EJFAT_BALANCER, EJFAT_CONTROL, EJFAT_REPLIES},
    gateway::gateway_part,
    managed::{BALANCER, INGRESS},
    network::NetworkChoice,
    rabbitmq::cluster::node_part,
    s3m::S3M,
    tunnels::{ControlServers, End, s2cs_part},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// An amount of CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cpus {
    thousandths: u32,
}

impl Cpus {
    /// The kernel accepts no less than 1 ms of 100 ms.
    const THOUSANDTHS_MIN: u32 = 10;
    const THOUSANDTHS_MAX: u32 = 1_000_000;

    /// As a number of cores.
    pub fn cores(self) -> f64 {
        f64::from(self.thousandths) / 1000.0
    }

    /// Its time in each period, in microseconds.
    pub fn of_period_us(self, period_us: u64) -> u64 {
        u64::from(self.thousandths) * period_us / 1000
    }
}

impl FromStr for Cpus {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let thousandths = (text.trim().parse::<f64>().map_err(|_| ())? * 1000.0).round();
        let range = f64::from(Self::THOUSANDTHS_MIN)..=f64::from(Self::THOUSANDTHS_MAX);
        if range.contains(&thousandths) { Ok(Self { thousandths: thousandths as u32 }) } else { Err(()) }
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPU", self.cores())
    }
}

/// The limit of each part that has one, by the part's name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuLimits(BTreeMap<String, Cpus>);

impl CpuLimits {
    /// Reads `PART=CPUS` for a testbed of these nodes and routes. PART is a part's name, or the first words of several
    /// names; if several limits cover a part, the last one counts.
    ///
    /// # Errors
    ///
    /// [`Error`] if a text is not a valid limit, or names a part that this testbed does not have.
    pub fn read<'a>(
        requested: impl IntoIterator<Item = &'a str>,
        nodes: usize,
        routes: &Routes,
        network: &NetworkChoice,
    ) -> Result<Self> {
        let parts = parts(nodes, routes, network);
        let mut limits = BTreeMap::new();
        for text in requested {
            let wrong = || Error::CpuLimit(text.to_owned());
            let (selector, cpus) = text.split_once('=').ok_or_else(wrong)?;
            let (selector, cpus) = (selector.trim(), cpus.parse::<Cpus>().map_err(|()| wrong())?);
            let covered = |part: &&String| {
                part.strip_prefix(selector).is_some_and(|rest| matches!(rest.chars().next(), None | Some(' ')))
            };
            let covered: Vec<&String> = parts.iter().filter(covered).collect();
            if covered.is_empty() {
                return Err(Error::CpuLimitPart { requested: selector.to_owned(), parts: parts.join(", ") });
            }
            limits.extend(covered.into_iter().map(|part| (part.clone(), cpus)));
        }
        Ok(Self(limits))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The limit of a part.
    pub fn of(&self, part: &str) -> Option<Cpus> {
        self.0.get(part).copied()
    }

    /// Each part that has one, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Cpus)> {
        self.0.iter().map(|(part, cpus)| (part.as_str(), *cpus))
    }

    /// The texts that [`CpuLimits::read`] reads.
    pub fn words(&self) -> Vec<String> {
        self.iter().map(|(part, cpus)| format!("{part}={}", cpus.cores())).collect()
    }
}

/// The parts that can be limited, in the order of their start. A data server has the limit of the control server that
/// starts it, as in a pod.
fn parts(nodes: usize, routes: &Routes, network: &NetworkChoice) -> Vec<String> {
    let epmds = match network {
        NetworkChoice::Loopback | NetworkChoice::Reachable(_) => vec!["epmd".to_owned()],
        NetworkChoice::Facility(_) | NetworkChoice::Allocation(..) => {
            (1..=nodes).map(|node| format!("epmd {node}")).collect()
        }
    };
    let servers = ControlServers::kinds(&routes.proxies).into_iter();
    let servers = servers.flat_map(|kind| End::BOTH.map(|end| s2cs_part(kind, end)));
    let managed = routes.managed.map(|_| [INGRESS, BALANCER, S3M].map(str::to_owned));
    let gateways = (1..=routes.gateways.replicas).map(gateway_part);
    let managed = managed.into_iter().flatten().chain(gateways);
    let ejfat = routes.ejfat.then(|| [EJFAT_CONTROL, EJFAT_BALANCER, EJFAT_REPLIES].map(str::to_owned));
    let ejfat = ejfat.into_iter().flatten();
    epmds.into_iter().chain((1..=nodes).map(node_part)).chain(servers).chain(managed).chain(ejfat).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(texts: &[&str]) -> Result<CpuLimits> {
        let routes = Routes::named(["prs-stunnel", "mss"]).unwrap();
        CpuLimits::read(texts.iter().copied(), 12, &routes, &NetworkChoice::Loopback)
    }

    #[test]
    fn the_first_word_covers_all_parts_of_a_kind_and_the_last_limit_counts() {
        let limits = read(&["s2cs=0.3", "node=2", "node 1=0.5"]).unwrap();
        let limit = |part: &str| limits.of(part).map(|cpus| cpus.to_string());
        assert_eq!(limit("s2cs stunnel producer").as_deref(), Some("0.3 CPU"));
        assert_eq!(limit("s2cs stunnel consumer").as_deref(), Some("0.3 CPU"));
        assert_eq!((limit("node 1").as_deref(), limit("node 12").as_deref()), (Some("0.5 CPU"), Some("2 CPU")));
        assert_eq!((limit("ingress"), limit("epmd")), (None, None));
        let words = limits.words();
        let again = read(&words.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        assert_eq!(again, limits);
        assert_eq!(limits.of("node 1").unwrap().of_period_us(100_000), 50_000);
    }

    #[test]
    fn an_unknown_part_is_rejected_with_the_known_parts() {
        for unknown in ["proxy=1", "nod=1", "s2ds prs-stunnel=1", "s2cs haproxy=1", "=1"] {
            let sentence = read(&[unknown]).unwrap_err().to_string();
            assert!(
                sentence.contains("epmd, node 1, ") && sentence.contains("s2cs stunnel consumer, ingress, balancer"),
                "{sentence}"
            );
        }
    }

    #[test]
    fn an_amount_is_between_a_hundredth_and_a_thousand_cpus() {
        for wrong in
            ["s2cs", "s2cs=", "s2cs=-1", "s2cs=0", "s2cs=0.001", "s2cs=1001", "s2cs=NaN", "s2cs=inf", "s2cs=300m"]
        {
            let sentence = read(&[wrong]).unwrap_err().to_string();
            assert!(sentence.contains(&format!("`{wrong}`")) && sentence.contains("s2cs=0.3"), "{sentence}");
        }
        assert!(read(&["s2cs=0.01", "node=1000"]).is_ok());
    }
}
