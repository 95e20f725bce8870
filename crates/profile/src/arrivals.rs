//! The load as written in a profile: rates, kinds of arrivals, phases.

use crate::{
    contents::Rate,
    values::{Span, unknown, written_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

written_as_text!(Arrivals, LoadRate, Phases);

/// How fast messages are offered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LoadRate {
    /// As fast as confirms, credit and sockets let them through: no schedule.
    Max,
    /// At the instrument's rate, from the workload.
    Nominal,
    /// At this rate.
    At(Rate),
}

/// The distribution of the times between messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrivals {
    /// Constant times.
    Constant,
    /// Exponentially distributed times: independent sources.
    Poisson,
    /// Constant times for the first duration, then no messages for the second.
    OnOff(Duration, Duration),
    /// As recorded, in a file or in `load.trace`.
    Trace(Option<String>),
}

/// The change of the rate over a run: a sequence of phases; the level of the last one stays to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Phases(pub Vec<Phase>);

/// A period in which the rate changes linearly from one level to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phase {
    /// The rate at its beginning.
    pub from: Level,
    /// The rate at its end.
    pub to: Level,
    /// How long it takes.
    pub time: Duration,
}

/// A rate in a phase.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level {
    /// Per cent of the run's rate.
    Percent(f64),
    /// A rate of its own.
    At(Rate),
}

impl FromStr for LoadRate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "max" => Ok(Self::Max),
            "nominal" => Ok(Self::Nominal),
            _ if text.ends_with("/s") => text.parse().map(Self::At),
            _ => unknown("a rate", text, &["max", "nominal", "20000/s (messages)", "8Gbit/s"]),
        }
    }
}

impl FromStr for Arrivals {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| text.parse::<Span>().map(|span| span.0).ok().filter(|time| !time.is_zero());
        match text.split_once(':') {
            None if text == "constant" => Ok(Self::Constant),
            None if text == "poisson" => Ok(Self::Poisson),
            None if text == "trace" => Ok(Self::Trace(None)),
            Some(("trace", file)) if !file.is_empty() => Ok(Self::Trace(Some(file.to_owned()))),
            Some(("on-off", times)) => match times.split_once('-').map(|(on, off)| (time(on), time(off))) {
                Some((Some(on), Some(off))) => Ok(Self::OnOff(on, off)),
                _ => Err(format!("`{text}`: write on-off:1s-4s, for one second of messages and four of silence")),
            },
            _ => unknown("arrivals", text, &["constant", "poisson", "on-off:1s-4s", "trace:FILE"]),
        }
    }
}

impl FromStr for Phases {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(|phase| phase.trim().parse()).collect::<Result<_, String>>().map(Self)
    }
}

impl FromStr for Phase {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (from, to, time) = match words[..] {
            ["ramp", levels, "over", time] => match levels.split_once("..") {
                Some((from, to)) => (from, to, time),
                None => return Err(format!("`{text}`: a ramp has two levels, as in `ramp 0..max over 30s`")),
            },
            ["hold", level, "for", time] => (level, level, time),
            _ => {
                return Err(format!(
                    "`{text}` is not a valid phase: write `ramp 0..max over 30s` or `hold 50% for 10s`, with commas between phases"
                ));
            }
        };
        let time = time.parse::<Span>()?.0;
        if time.is_zero() {
            return Err(format!("`{text}`: a phase takes some time, such as 30s"));
        }
        Ok(Self { from: from.parse()?, to: to.parse()?, time })
    }
}

impl FromStr for Level {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |number: &str| number.parse().ok().filter(|percent| (0.0..=1e6).contains(percent));
        match text {
            "0" => Ok(Self::Percent(0.0)),
            "max" => Ok(Self::Percent(100.0)),
            _ => match text.strip_suffix('%') {
                Some(number) => percent(number).map(Self::Percent),
                None => text.parse().ok().map(Self::At),
            }
            .ok_or_else(|| format!("`{text}` is not a valid level of a phase: write 0, max, 50%, 20000/s or 8Gbit/s")),
        }
    }
}

impl fmt::Display for LoadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => f.write_str("max"),
            Self::Nominal => f.write_str("nominal"),
            Self::At(rate) => rate.fmt(f),
        }
    }
}

impl fmt::Display for Arrivals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant => f.write_str("constant"),
            Self::Poisson => f.write_str("poisson"),
            Self::OnOff(on, off) => write!(f, "on-off:{}-{}", Span(*on), Span(*off)),
            Self::Trace(None) => f.write_str("trace"),
            Self::Trace(Some(file)) => write!(f, "trace:{file}"),
        }
    }
}

impl fmt::Display for Phases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, phase) in self.0.iter().enumerate() {
            write!(f, "{}{phase}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Span(self.time);
        if self.from == self.to {
            write!(f, "hold {} for {time}", self.to)
        } else {
            write!(f, "ramp {}..{} over {time}", self.from, self.to)
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(0.0) => f.write_str("0"),
            Self::Percent(100.0) => f.write_str("max"),
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::At(rate) => rate.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::check_round_trip;

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<LoadRate>(&["max", "nominal", "20000/s", "8Gbit/s"]);
        check_round_trip::<Arrivals>(&["constant", "poisson", "on-off:1s-4s", "trace", "trace:gaps.csv"]);
        check_round_trip::<Phases>(&[
            "ramp 0..max over 30s",
            "ramp 5/s..50% over 1s, hold 8Gbit/s for 2m, hold 0 for 1s",
        ]);
    }

    #[test]
    fn a_wrong_value_is_rejected_with_the_right_form() {
        for (error, expected) in [
            ("fast".parse::<LoadRate>().unwrap_err(), "20000/s"),
            ("maxx".parse::<LoadRate>().unwrap_err(), "did you mean `max`?"),
            ("0/s".parse::<LoadRate>().unwrap_err(), "not a number above 0"),
            ("poison".parse::<Arrivals>().unwrap_err(), "did you mean `poisson`?"),
            ("on-off:1s".parse::<Arrivals>().unwrap_err(), "on-off:1s-4s"),
            ("ramp up".parse::<Phases>().unwrap_err(), "ramp 0..max over 30s"),
            ("ramp 5/s over 1s".parse::<Phases>().unwrap_err(), "two levels"),
            ("hold fast for 1s".parse::<Phases>().unwrap_err(), "not a valid level"),
            ("hold max for 0s".parse::<Phases>().unwrap_err(), "takes some time"),
        ] {
            assert!(error.contains(expected), "{error}");
        }
    }
}
