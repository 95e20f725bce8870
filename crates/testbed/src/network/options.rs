//! Options of the network, and their text.

use super::{Allocation, Host, Hosts, Opened};
use crate::{Error, Result};
use distance::Conditions;
use std::{collections::BTreeMap, fmt, net::Ipv4Addr, str::FromStr, time::Duration};

/// Where the parts of a testbed listen.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum NetworkChoice {
    /// On the loopback ports of this host.
    #[default]
    Loopback,
    /// On this host, and what clients connect to at this address, which other hosts reach.
    Reachable(Ipv4Addr),
    /// In network namespaces, laid out like a facility.
    Facility(Facility),
    /// On several hosts, each with a supervisor of its own, with ports from the same base on all of them.
    Allocation(Allocation, u16),
}

/// The links of a facility.
#[derive(Debug, Clone, PartialEq)]
pub struct Facility {
    /// Rate of each link except the clients', in bit/s; `None`: unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// Rates of the links that have one of their own, by host, in bit/s; `None`: unlimited.
    pub own_rates: BTreeMap<String, Option<u64>>,
    /// Of the way between the clients and all others, in both directions.
    pub way: Conditions,
    /// Whether producers are at a site of their own, and the way is between it and the rest.
    pub sites: bool,
    /// TCP's congestion control on every host; `None`: the kernel's default.
    pub congestion: Option<Congestion>,
    /// What the firewall between the sites lets through; `None`: no firewall.
    pub firewall: Option<Opened>,
    /// The largest packet of every link, in bytes.
    pub mtu: u16,
}

/// Ethernet's without jumbo frames.
const MTU: u16 = 1500;

/// TCP's choice of how fast it sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Congestion {
    /// Slows down at a loss; the default of most kernels.
    Cubic,
    /// Follows the measured rate and round trip.
    Bbr,
    /// Halves its window at a loss.
    Reno,
}

impl Congestion {
    const ALL: [Self; 3] = [Self::Cubic, Self::Bbr, Self::Reno];
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cubic => "cubic",
            Self::Bbr => "bbr",
            Self::Reno => "reno",
        })
    }
}

impl FromStr for Congestion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        Self::ALL.into_iter().find(|one| one.to_string() == text).ok_or(())
    }
}

/// The conditions of a way as they are written; `None`: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WayText<'a> {
    /// `30ms`.
    pub delay: Option<&'a str>,
    /// `1ms`.
    pub jitter: Option<&'a str>,
    /// `0.01%`.
    pub loss: Option<&'a str>,
    /// `0.1%`.
    pub reorder: Option<&'a str>,
}

impl Facility {
    /// Parses rates of links, a factor for them, and the conditions of the way. A rate is that of every link (`1gbit`, unless
    /// another is given) or of one host (`ingress=10gbit`).
    ///
    /// # Errors
    ///
    /// [`Error`] if one of them is not valid.
    pub fn parse<'a>(links: impl IntoIterator<Item = &'a str>, scale: f64, way: WayText<'_>) -> Result<Self> {
        if !(scale > 0.0 && scale <= 1.0) {
            return Err(Error::Scale(scale));
        }
        let (mut of_all, mut own_rates) = ("1gbit", BTreeMap::new());
        for link in links {
            match link.split_once('=') {
                Some((host, rate)) => {
                    own_rates.insert(host.trim().to_owned(), parse_rate(rate.trim(), scale)?);
                }
                None => of_all = link,
            }
        }
        let rate_bits_per_second = parse_rate(of_all, scale)?;
        let way = parse_way(way)?;
        Ok(Self { rate_bits_per_second, own_rates, way, congestion: None, sites: false, firewall: None, mtu: MTU })
    }

    /// Checks that each link with a rate of its own is there with so many nodes.
    ///
    /// # Errors
    ///
    /// [`Error`] with all hosts, if one is not.
    pub fn check_hosts(&self, nodes: usize) -> Result<()> {
        let there = Hosts::Facility { nodes, sites: self.sites }.on_a_switch();
        let there: Vec<String> = there.iter().map(Host::to_string).collect();
        match self.own_rates.keys().find(|host| !there.contains(host)) {
            Some(host) => Err(Error::LinkHost { requested: host.clone(), hosts: there.join(", ") }),
            None => Ok(()),
        }
    }
}

/// In bit/s; `None`: unlimited.
fn parse_rate(link: &str, scale: f64) -> Result<Option<u64>> {
    let wrong = || Error::Link(link.to_owned());
    if link == "unlimited" {
        return Ok(None);
    }
    let (number, unit) = split(link).ok_or_else(wrong)?;
    let factor = match unit.to_ascii_lowercase().trim_end_matches("/s") {
        "gbit" => 1e9,
        "mbit" => 1e6,
        _ => return Err(wrong()),
    };
    let rate = (number * factor * scale).round();
    // Below, a single frame takes longer than the queue's limit; above, the queue exceeds 32 bits.
    if (1e6..=1e11).contains(&rate) { Ok(Some(rate as u64)) } else { Err(wrong()) }
}

fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn parse_way(text: WayText<'_>) -> Result<Conditions> {
    let span = |text: Option<&str>| text.map_or(Ok(Duration::ZERO), parse_delay);
    let share = |text: Option<&str>| text.map_or(Ok(0.0), parse_share);
    let way = Conditions {
        delay: span(text.delay)?,
        jitter: span(text.jitter)?,
        loss: share(text.loss)?,
        reorder: share(text.reorder)?,
    };
    if way.jitter > way.delay { Err(Error::Jitter) } else { Ok(way) }
}

fn parse_share(text: &str) -> Result<f64> {
    let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.parse().ok());
    let share = percent.map(|percent| percent / 100.0).filter(|share| (0.0..1.0).contains(share));
    share.ok_or_else(|| Error::Share(text.to_owned()))
}

pub(super) fn parse_delay(text: &str) -> Result<Duration> {
    let wrong = || Error::Delay(text.to_owned());
    let (number, unit) = split(text).ok_or_else(wrong)?;
    let seconds = match unit {
        "us" => number / 1e6,
        "ms" => number / 1e3,
        "s" => number,
        _ => return Err(wrong()),
    };
    if seconds > 10.0 { Err(wrong()) } else { Ok(Duration::from_secs_f64(seconds)) }
}

/// The text for the supervisor.
impl fmt::Display for NetworkChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("loopback"),
            Self::Reachable(address) => write!(f, "reachable,{address}"),
            Self::Facility(facility) => {
                let rate = facility.rate_bits_per_second.unwrap_or(0);
                let own = facility.own_rates.iter().map(|(host, rate)| format!("{host}={}", rate.unwrap_or(0)));
                let own = own.collect::<Vec<_>>().join("+");
                let congestion = facility.congestion.map_or("default".to_owned(), |one| one.to_string());
                let firewall = facility.firewall.map_or("open".to_owned(), |opened| format!("only-{opened}"));
                let Facility { sites, mtu, way, .. } = facility;
                write!(f, "facility,{rate},{own},{congestion},{sites},{firewall},{mtu},{way}")
            }
            Self::Allocation(allocation, base) => write!(f, "allocation,{allocation},{base}"),
        }
    }
}

impl FromStr for NetworkChoice {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        if text == "loopback" {
            return Ok(Self::Loopback);
        }
        if let Some(address) = text.strip_prefix("reachable,") {
            return address.parse().map(Self::Reachable).map_err(|_| ());
        }
        if let Some((allocation, base)) = text.strip_prefix("allocation,").and_then(|rest| rest.split_once(',')) {
            return Ok(Self::Allocation(allocation.parse()?, base.parse().map_err(|_| ())?));
        }
        let (rate, way) = text.strip_prefix("facility,").and_then(|rest| rest.split_once(',')).ok_or(())?;
        let rate_of = |rate: &str| rate.parse().map(|rate: u64| (rate > 0).then_some(rate)).map_err(|_| ());
        let (own, way) = way.split_once(',').ok_or(())?;
        let of_host = |text: &str| {
            let (host, rate) = text.split_once('=').ok_or(())?;
            Ok((host.to_owned(), rate_of(rate)?))
        };
        let (congestion, way) = way.split_once(',').ok_or(())?;
        let (sites, way) = way.split_once(',').ok_or(())?;
        let sites = sites.parse().map_err(|_| ())?;
        let (firewall, way) = way.split_once(',').ok_or(())?;
        let firewall = firewall.strip_prefix("only-").map(str::parse).transpose()?;
        let (mtu, way) = way.split_once(',').ok_or(())?;
        let congestion = (congestion != "default").then(|| congestion.parse()).transpose()?;
        Ok(Self::Facility(Facility {
            rate_bits_per_second: rate_of(rate)?,
            own_rates: own
                .split('+')
                .filter(|one| !one.is_empty())
                .map(of_host)
                .collect::<std::result::Result<_, ()>>()?,
            way: way.parse()?,
            congestion,
            sites,
            firewall,
            mtu: mtu.parse().map_err(|_| ())?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_delays_are_read_as_tc_writes_them_and_the_scale_divides_rates_only() {
        let delayed = |delay| WayText { delay: Some(delay), ..WayText::default() };
        let parse = |link, delay, scale| Facility::parse([link], scale, delayed(delay)).unwrap();
        assert_eq!(parse("1gbit", "0ms", 0.2).rate_bits_per_second, Some(200_000_000));
        assert_eq!(parse("2.5Gbit/s", "0ms", 1.0).rate_bits_per_second, Some(2_500_000_000));
        assert_eq!(parse("unlimited", "1.5ms", 0.2).rate_bits_per_second, None);
        assert_eq!(parse("1gbit", "1.5ms", 0.2).way.delay, Duration::from_micros(1500));
    }

    #[test]
    fn a_host_has_the_rate_of_its_own_link_and_one_that_is_not_there_is_named_with_those_that_are() {
        let parse = |links: [&'static str; 2]| Facility::parse(links, 0.1, WayText::default()).unwrap();
        let facility = parse(["ingress=10gbit", "lb=unlimited"]);
        assert_eq!(facility.rate_bits_per_second, Some(100_000_000));
        assert_eq!(facility.own_rates, [("ingress".into(), Some(1_000_000_000)), ("lb".into(), None)].into());
        assert!(facility.check_hosts(1).is_ok());
        let facility = parse(["2gbit", "dsn3=1gbit"]);
        assert_eq!(facility.rate_bits_per_second, Some(200_000_000));
        assert!(facility.check_hosts(3).is_ok());
        let error = facility.check_hosts(2).unwrap_err().to_string();
        assert!(error.contains("`dsn3`") && error.contains("dsn1, dsn2, lb, ingress"), "{error}");
    }

    #[test]
    fn conditions_of_the_way_are_read_as_netem_writes_them() {
        let text = WayText { delay: Some("30ms"), jitter: Some("1ms"), loss: Some("0.01%"), reorder: Some("1%") };
        let way = Facility::parse(["1gbit"], 1.0, text).unwrap().way;
        assert_eq!((way.delay.as_millis(), way.jitter.as_millis(), way.loss, way.reorder), (30, 1, 0.0001, 0.01));
    }

    #[test]
    fn conditions_under_which_nothing_or_the_future_arrives_are_rejected() {
        let text = WayText { delay: Some("1ms"), ..WayText::default() };
        for (text, example) in [
            (WayText { loss: Some("100%"), ..text }, "0.01%"),
            (WayText { loss: Some("0.01"), ..text }, "0.01%"),
            (WayText { loss: Some("-1%"), ..text }, "0.01%"),
            (WayText { reorder: Some("NaN%"), ..text }, "0.01%"),
            (WayText { jitter: Some("2ms"), ..text }, "--delay"),
        ] {
            let error = Facility::parse(["1gbit"], 1.0, text).unwrap_err().to_string();
            assert!(error.contains(example), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_invalid_link_is_rejected_with_a_valid_example() {
        for (link, delay, scale, example) in [
            ("fast", "0ms", 1.0, "1gbit"),
            ("ingress=fast", "0ms", 1.0, "1gbit"),
            ("1gb", "0ms", 1.0, "1gbit"),
            ("1mbit", "0ms", 0.1, "1gbit"),
            ("1gbit", "soon", 1.0, "1ms"),
            ("1gbit", "60s", 1.0, "1ms"),
            ("1gbit", "0ms", 0.0, "0.2"),
            ("1gbit", "0ms", f64::NAN, "0.2"),
        ] {
            let way = WayText { delay: Some(delay), ..WayText::default() };
            let error = Facility::parse([link], scale, way).unwrap_err().to_string();
            assert!(error.contains(example), "{link} {delay} {scale}: {error}");
        }
    }

    #[test]
    fn the_supervisor_reads_the_options_that_are_passed_to_it() {
        let way = WayText { delay: Some("1ms"), jitter: Some("1us"), loss: Some("0.01%"), reorder: None };
        let facility = Facility::parse(["1gbit"], 0.2, way).unwrap();
        let own_rates = [("ingress".into(), Some(2_000_000_000)), ("lb".into(), None)].into();
        let with_reno = NetworkChoice::Facility(Facility { congestion: Some(Congestion::Reno), ..facility.clone() });
        for choice in [
            NetworkChoice::Loopback,
            NetworkChoice::Reachable([10, 1, 2, 3].into()),
            NetworkChoice::Facility(facility.clone()),
            NetworkChoice::Facility(Facility { mtu: 9000, ..facility.clone() }),
            NetworkChoice::Facility(Facility { own_rates, ..facility.clone() }),
            with_reno,
            NetworkChoice::Facility(Facility {
                sites: true,
                firewall: Some(Opened::of(["dts", "mss"])),
                ..facility.clone()
            }),
            NetworkChoice::Facility(Facility { sites: true, firewall: Some(Opened::default()), ..facility }),
        ] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("facility".parse::<NetworkChoice>().is_err());
    }
}
