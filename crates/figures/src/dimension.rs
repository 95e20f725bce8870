//! Dimensions of runs: each has a name in a figure's file, and a value for each run.

use crate::{Key, Run, experiment};
use measure::{
    foreign,
    record::{Distance, Link},
};
use serde_json::Value;
use std::{cmp::Ordering, fmt};

/// A property of runs by which they are chosen, put into panels and series, or laid along an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dimension {
    /// Such as `prs-haproxy`.
    Architecture,
    /// Such as `dstream`.
    Workload,
    /// Such as `work-sharing`; with replies of a given size, the size follows a `+`.
    Pattern,
    /// How many consumers.
    Consumers,
    /// How many producers.
    Producers,
    /// The experiment that a run belongs to.
    Experiment,
    /// The delay of the way between clients and service, one way, in microseconds.
    Delay,
    /// The packets that it loses, in millionths.
    Loss,
    /// Messages per second that all producers offer together.
    Rate,
    /// What was done to the run on purpose: `kill node 1 for 5s`.
    Fault,
    /// The rate of the service's links, in bits per second.
    Link,
    /// Any other field of the plan, by its path: `service.prefetch`.
    Plan(String),
}

impl Dimension {
    /// By its name in a figure's file. A name with a dot is a path in the plan.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "architecture" => Self::Architecture,
            "workload" => Self::Workload,
            "pattern" => Self::Pattern,
            "consumers" => Self::Consumers,
            "producers" => Self::Producers,
            "experiment" => Self::Experiment,
            "delay" => Self::Delay,
            "loss" => Self::Loss,
            "rate" => Self::Rate,
            "fault" => Self::Fault,
            "link" => Self::Link,
            path if path.contains('.') => Self::Plan(path.to_owned()),
            _ => return None,
        })
    }

    /// The value of a run.
    pub fn of(&self, run: &Run) -> Level {
        let key = Key::of(run);
        let plan = |pointer: &str| run.record.plan.pointer(pointer).map_or(Level::Text(String::new()), Level::of);
        match self {
            Self::Architecture => Level::Text(key.architecture),
            Self::Workload => Level::Text(key.workload),
            Self::Pattern => Level::Text(key.pattern),
            Self::Consumers => Level::Number(u64::from(key.consumers)),
            Self::Producers => plan("/placement/producers"),
            Self::Experiment => Level::Text(experiment::name(run).to_owned()),
            Self::Delay => millionths(run, |link, _| link.delay_s),
            Self::Loss => millionths(run, |_, distance| distance.loss),
            Self::Rate => match run.record.plan.pointer("/load/mean_messages_per_second").and_then(Value::as_f64) {
                Some(rate) => Level::Number(rate.round() as u64),
                None => Level::Text("max".to_owned()),
            },
            Self::Fault => {
                let all = run.record.faults.iter().map(|fault| done(&fault.fault));
                Level::Text(all.collect::<Vec<_>>().join(" and "))
            }
            Self::Link => {
                let mut service = run.record.links.iter().filter(|link| link.host.starts_with("dsn"));
                let rate = service.find_map(|link| link.rate_bits_per_second);
                rate.map_or_else(|| Level::Text("unlimited".to_owned()), Level::Number)
            }
            Self::Plan(path) => plan(&format!("/{}", path.replace('.', "/"))),
        }
    }

    /// The label of an axis, with the unit of its ticks.
    pub fn label(&self) -> String {
        match self {
            Self::Delay => "delay one way, ms".to_owned(),
            Self::Loss => "lost packets, %".to_owned(),
            Self::Rate => "offered messages/s".to_owned(),
            Self::Link => "rate of each node's link, Gbit/s".to_owned(),
            other => other.to_string(),
        }
    }

    /// A value as a tick of that axis.
    pub fn tick(&self, level: &Level) -> String {
        match (self, level.number()) {
            (Self::Delay, Some(us)) => (us / 1e3).to_string(),
            (Self::Loss, Some(ppm)) => (ppm / 1e4).to_string(),
            (Self::Link, Some(bits)) => (bits / 1e9).to_string(),
            _ => level.to_string(),
        }
    }
}

/// A fault without when it was due: `kill node 1 for 5s`.
pub(crate) fn done(fault: &str) -> String {
    foreign::line(fault.split_once(": ").map_or(fault, |(_, done)| done)).into_owned()
}

/// A number of the link with the distance; 0 without one.
fn millionths(run: &Run, of: impl Fn(&Link, &Distance) -> f64) -> Level {
    let far = run.record.links.iter().find_map(|link| Some(of(link, link.distance.as_ref()?)));
    Level::Number((far.unwrap_or(0.0) * 1e6).round() as u64)
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Architecture => "architecture",
            Self::Workload => "workload",
            Self::Pattern => "pattern",
            Self::Consumers => "consumers",
            Self::Producers => "producers",
            Self::Experiment => "experiment",
            Self::Delay => "delay",
            Self::Loss => "loss",
            Self::Rate => "rate",
            Self::Fault => "fault",
            Self::Link => "link",
            Self::Plan(path) => path,
        })
    }
}

/// The value of a run along a dimension. Numbers sort numerically, before any text; texts with a number (`batch:8`)
/// sort after those without, by the number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Level {
    /// A count.
    Number(u64),
    /// A name, or any other value as text.
    Text(String),
}

impl Level {
    fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::Text(foreign::line(text).into_owned()),
            Value::Null => Self::Text(String::new()),
            // Lists, such as queues, are distinguished by their length.
            Value::Array(items) => Self::Number(items.len() as u64),
            other => other.as_u64().map_or_else(|| Self::Text(other.to_string()), Self::Number),
        }
    }

    /// The number, if it is one.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number as f64),
            Self::Text(_) => None,
        }
    }
}

impl Ord for Level {
    fn cmp(&self, other: &Self) -> Ordering {
        let parts = |text: &str| {
            let (head, number) = text.split_once(':').unwrap_or((text, ""));
            number.parse::<u64>().ok().map(|number| (head.to_owned(), number))
        };
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Number(_), Self::Text(_)) => Ordering::Less,
            (Self::Text(_), Self::Number(_)) => Ordering::Greater,
            (Self::Text(one), Self::Text(other)) => parts(one).cmp(&parts(other)).then_with(|| one.cmp(other)),
        }
    }
}

impl PartialOrd for Level {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn runs_are_distinguished_by_route_placement_and_any_field_of_the_plan() {
        let mut record = sample::record("prs-haproxy", 4, 10.0);
        let point = measure::record::Point { experiment: "dstream-work-sharing".to_owned(), name: String::new() };
        record.point = Some(point);
        let run = Run { dir: "a".into(), record };
        for (name, level) in [
            ("architecture", Level::Text("prs-haproxy".to_owned())),
            ("consumers", Level::Number(4)),
            ("producers", Level::Number(4)),
            ("experiment", Level::Text("dstream-work-sharing".to_owned())),
            ("service.prefetch", Level::Number(64)),
            ("service.acks", Level::Text(String::new())),
            ("service.queues", Level::Number(1)),
        ] {
            assert_eq!(Dimension::named(name).unwrap().of(&run), level, "{name}");
        }
        assert_eq!(Dimension::named("consumer"), None);
        let fault = |text: &str| measure::record::Fault { fault: text.to_owned(), ..Default::default() };
        let mut run = run;
        run.record.faults = vec![fault("at 7s: kill node 1 for 5s"), fault("at 9s: move leader")];
        assert_eq!(Dimension::Fault.of(&run).to_string(), "kill node 1 for 5s and move leader");
    }

    #[test]
    fn a_distance_is_a_number_on_its_axis_and_zero_without_one() {
        let mut run = Run { dir: "a".into(), record: sample::record("dts", 1, 1.0) };
        let of = |run: &Run| [Dimension::Delay, Dimension::Loss].map(|dimension| dimension.tick(&dimension.of(run)));
        assert_eq!(of(&run), ["0", "0"]);
        let distance = Some(Distance { loss: 0.0001, ..Distance::default() });
        run.record.links = vec![Link::default(), Link { delay_s: 0.01647, distance, ..Link::default() }];
        assert_eq!(of(&run), ["16.47", "0.01"]);
    }

    #[test]
    fn counts_are_ordered_as_numbers() {
        let text = |text: &str| Level::Text(text.to_owned());
        let mut levels =
            [text("batch:16"), Level::Number(16), text("none"), text("batch:2"), Level::Number(2), text("each")];
        levels.sort();
        assert_eq!(levels.map(|level| level.to_string()), ["2", "16", "each", "none", "batch:2", "batch:16"]);
    }
}
