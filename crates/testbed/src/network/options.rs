//! Options of the network, and their text.

use crate::{Error, Result, network::Allocation};
use std::{fmt, net::Ipv4Addr, str::FromStr, time::Duration};

/// Where the parts of a testbed listen.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
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
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Facility {
    /// Rate of each link except the clients', in bit/s; `None`: unlimited.
    pub rate_bits_per_second: Option<u64>,
    /// Added one way, in both directions, between the clients and all others.
    pub delay: Duration,
}

impl Facility {
    /// Parses `1gbit`, `1ms`, and a factor for the rate.
    ///
    /// # Errors
    ///
    /// [`Error`] if one of them is not valid.
    pub fn parse(link: &str, delay: &str, scale: f64) -> Result<Self> {
        let wrong = || Error::Link(link.to_owned());
        if !(scale > 0.0 && scale <= 1.0) {
            return Err(Error::Scale(scale));
        }
        let rate_bits_per_second = match link {
            "unlimited" => None,
            _ => {
                let (number, unit) = split(link).ok_or_else(wrong)?;
                let factor = match unit.to_ascii_lowercase().trim_end_matches("/s") {
                    "gbit" => 1e9,
                    "mbit" => 1e6,
                    _ => return Err(wrong()),
                };
                let rate = (number * factor * scale).round();
                // Below, a single frame takes longer than the queue's limit; above, the queue exceeds 32 bits.
                if !(1e6..=1e11).contains(&rate) {
                    return Err(wrong());
                }
                Some(rate as u64)
            }
        };
        Ok(Self { rate_bits_per_second, delay: parse_delay(delay)? })
    }
}

fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn parse_delay(text: &str) -> Result<Duration> {
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
                write!(f, "facility,{rate},{}", facility.delay.as_nanos())
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
        let (rate, delay) = text.strip_prefix("facility,").and_then(|rest| rest.split_once(',')).ok_or(())?;
        let rate: u64 = rate.parse().map_err(|_| ())?;
        let delay = Duration::from_nanos(delay.parse().map_err(|_| ())?);
        Ok(Self::Facility(Facility { rate_bits_per_second: (rate > 0).then_some(rate), delay }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_delays_are_read_as_tc_writes_them_and_the_scale_divides_rates_only() {
        let parse = |link, delay, scale| Facility::parse(link, delay, scale).unwrap();
        assert_eq!(parse("1gbit", "0ms", 0.2).rate_bits_per_second, Some(200_000_000));
        assert_eq!(parse("2.5Gbit/s", "0ms", 1.0).rate_bits_per_second, Some(2_500_000_000));
        assert_eq!(parse("unlimited", "1.5ms", 0.2).rate_bits_per_second, None);
        assert_eq!(parse("1gbit", "1.5ms", 0.2).delay, Duration::from_micros(1500));
    }

    #[test]
    fn an_invalid_link_is_rejected_with_a_valid_example() {
        for (link, delay, scale, example) in [
            ("fast", "0ms", 1.0, "1gbit"),
            ("1gb", "0ms", 1.0, "1gbit"),
            ("1mbit", "0ms", 0.1, "1gbit"),
            ("1gbit", "soon", 1.0, "1ms"),
            ("1gbit", "60s", 1.0, "1ms"),
            ("1gbit", "0ms", 0.0, "0.2"),
            ("1gbit", "0ms", f64::NAN, "0.2"),
        ] {
            let error = Facility::parse(link, delay, scale).unwrap_err().to_string();
            assert!(error.contains(example), "{link} {delay} {scale}: {error}");
        }
    }

    #[test]
    fn the_supervisor_reads_the_options_that_are_passed_to_it() {
        let facility = Facility::parse("1gbit", "1ms", 0.2).unwrap();
        for choice in
            [NetworkChoice::Loopback, NetworkChoice::Reachable([10, 1, 2, 3].into()), NetworkChoice::Facility(facility)]
        {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("facility".parse::<NetworkChoice>().is_err());
    }
}
