//! The architectures that the firewall of the service's site lets through, by name.

use crate::routes::IF_POSSIBLE;
use std::{fmt, str::FromStr};

/// All that a testbed has a route for.
const NAMES: [&str; 14] = [
    "dts",
    "dts-plain",
    "dts-nlb",
    "prs-haproxy",
    "prs-haproxy-4",
    "prs-stunnel",
    "prs-stunnel-null",
    "one-proxy",
    "mss",
    "ingress",
    "mss-gateway",
    "mss-gateway-3",
    "ejfat",
    "ejfat-direct",
];
const SEPARATOR: char = '+';

/// A set of architectures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened(u32);

impl Opened {
    /// Those of a testbed that is started for these routes; `all` is every one.
    pub fn of<'a>(routes: impl IntoIterator<Item = &'a str>) -> Self {
        let bit = |route: &str| match route.trim_end_matches(IF_POSSIBLE) {
            "all" => (1 << NAMES.len()) - 1,
            route => NAMES.iter().position(|name| *name == route).map_or(0, |index| 1 << index),
        };
        Self(routes.into_iter().map(bit).fold(0, |all, one| all | one))
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().enumerate().filter(move |(index, _)| self.0 & (1 << index) != 0).map(|(_, name)| name)
    }
}

/// The text for the supervisor.
impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(&SEPARATOR.to_string()))
    }
}

impl FromStr for Opened {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(Self::of(text.split(SEPARATOR)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_opens_what_is_named_and_all_only_if_that_is_asked_for() {
        let names = |routes: &[&str]| Opened::of(routes.iter().copied()).names().collect::<Vec<_>>();
        assert_eq!(names(&["mss", "mss", "dts-plain"]), ["dts-plain", "mss"]);
        assert_eq!(names(&["all"]), NAMES);
        let some = Opened::of(["mss", "one-proxy"]);
        assert_eq!(some.to_string().parse(), Ok(some));
    }
}
