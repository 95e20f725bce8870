//! The value of a foreign message that tells when it was sent: `property:s`, `header:sent:ns`.

use crate::values::{unknown, written_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

written_as_text!(Stamp);

/// Where a message has the time at which it was sent, since 1970, and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The header; `None`: the property `timestamp` of AMQP.
    pub header: Option<String>,
    /// Nanoseconds in one of its units.
    unit: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    S,
    Ms,
    Us,
    Ns,
}

impl Unit {
    const ALL: [(&'static str, Self, i64); 4] =
        [("s", Self::S, 1_000_000_000), ("ms", Self::Ms, 1_000_000), ("us", Self::Us, 1_000), ("ns", Self::Ns, 1)];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, unit, _)| *unit)
    }
}

impl Stamp {
    fn row(&self) -> &'static (&'static str, Unit, i64) {
        Unit::ALL.iter().find(|(_, unit, _)| *unit == self.unit).expect("every unit has its row")
    }

    /// A whole number of its units in nanoseconds; `None` if no clock shows that.
    pub fn whole_ns(&self, number: i64) -> Option<i64> {
        number.checked_mul(self.row().2)
    }

    /// A number of its units in nanoseconds; `None` if no clock shows that.
    pub fn part_ns(&self, number: f64) -> Option<i64> {
        let ns = number * self.row().2 as f64;
        (ns.abs() < i64::MAX as f64).then_some(ns as i64)
    }
}

impl FromStr for Stamp {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || unknown("a timestamp", text, &["property", "property:ms", "header:NAME", "header:NAME:ns"]);
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        match kind {
            // Seconds, by the specification of AMQP.
            "property" if rest.is_empty() => Ok(Self { header: None, unit: Unit::S }),
            "property" => Unit::named(rest).map_or_else(wrong, |unit| Ok(Self { header: None, unit })),
            "header" => {
                // A name may have colons, and no unit behind the last one.
                let named = rest.rsplit_once(':').and_then(|(name, unit)| Some((name, Unit::named(unit)?)));
                let (name, unit) = named.unwrap_or((rest, Unit::Ns));
                if name.is_empty() || name.len() > 255 {
                    return wrong();
                }
                Ok(Self { header: Some(name.to_owned()), unit })
            }
            _ => wrong(),
        }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.row().0;
        match &self.header {
            None => write!(f, "property:{unit}"),
            Some(name) => write!(f, "header:{name}:{unit}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::check_round_trip;

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<Stamp>(&["property:s", "property:ms", "header:sent:ns", "header:a:b:us"]);
        assert_eq!("property".parse(), "property:s".parse::<Stamp>());
        assert_eq!("header:x-sent".parse(), "header:x-sent:ns".parse::<Stamp>());
        for wrong in ["", "body", "property:days", "header:", "header::ns"] {
            assert!(wrong.parse::<Stamp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_become_nanoseconds_unless_no_clock_shows_them() {
        let of = |text: &str| text.parse::<Stamp>().unwrap();
        assert_eq!(of("property").whole_ns(1_790_000_000), Some(1_790_000_000_000_000_000));
        assert_eq!(of("property").whole_ns(i64::MAX), None);
        assert_eq!(of("header:t:s").part_ns(1.5), Some(1_500_000_000));
        assert_eq!(of("header:t:s").part_ns(f64::INFINITY), None);
        assert_eq!(of("header:t:ms").whole_ns(-3), Some(-3_000_000));
    }
}
