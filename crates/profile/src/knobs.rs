//! Values of the settings of service and workers, each with one spelling.

use crate::values::{Size, Span, name_of, named, unknown, written_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

written_as_text!(Client, Delay, Layout, LeaderLocator, Mapping, QueueType, Reply, Role);

/// The client that carries messages between a worker and the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// lapin does everything.
    Lapin,
    /// The harness writes and reads messages and confirms; lapin does what is rare.
    Native,
}

/// The type of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueType {
    /// On one node.
    Classic,
    /// Replicated over the nodes by consensus.
    Quorum,
    /// A replicated log: reading a message does not remove it.
    Stream,
}

/// The mapping of workers to shared objects: queues, addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// The first workers share the first object, and so on (as in the paper).
    Block,
    /// Worker `i` uses number `i mod n`.
    RoundRobin,
}

/// The node of a cluster that gets the leader of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaderLocator {
    /// By the service's own settings.
    Server,
    /// The node that declares it: all leaders on one node.
    ClientLocal,
    /// The node with the fewest leaders.
    Balanced,
    /// Queue `i` on the node of address `i`, through which it is declared.
    Spread,
}

/// The placement of workers on ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Producers first, then consumers, in blocks.
    Block,
    /// Producers and consumers alternate, so that neighbours play different roles.
    Cyclic,
    /// No host has both producers and consumers.
    ByHost,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Sends messages, and consumes the replies to them.
    Producer,
    /// Consumes messages, and replies to them.
    Consumer,
}

/// The body of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The body of the message.
    Echo,
    /// This many zero bytes.
    Sized(Size),
    /// A vector of numbers of this size; the producer adds up those of all consumers.
    Sum(Size),
    /// A vector of numbers of this size; the producer takes the mean over all consumers.
    Mean(Size),
}

impl Reply {
    /// Bytes of a number in a vector.
    const NUMBER_BYTES: u64 = 4;

    /// Size of the reply to a body of `body_bytes`, in bytes.
    pub fn bytes(self, body_bytes: u64) -> u64 {
        match self {
            Self::Echo => body_bytes,
            Self::Sized(size) | Self::Sum(size) | Self::Mean(size) => size.0,
        }
    }

    /// Whether the producer reduces the replies to a message, and by a mean.
    pub fn reduces(self) -> Option<bool> {
        match self {
            Self::Echo | Self::Sized(_) => None,
            Self::Sum(_) => Some(false),
            Self::Mean(_) => Some(true),
        }
    }
}

/// A duration that is drawn for each message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// Constant.
    Constant(Duration),
    /// Exponentially distributed with this mean.
    Exponential(Duration),
    /// Uniformly distributed between the two.
    Uniform(Duration, Duration),
}

impl Client {
    const ALL: [(&'static str, Self); 2] = [("lapin", Self::Lapin), ("native", Self::Native)];
}

impl QueueType {
    const ALL: [(&'static str, Self); 3] =
        [("classic", Self::Classic), ("quorum", Self::Quorum), ("stream", Self::Stream)];
}

impl Mapping {
    const ALL: [(&'static str, Self); 2] = [("block", Self::Block), ("round-robin", Self::RoundRobin)];

    /// The index of the object, below `shared`, that worker `index` of `workers` uses.
    pub fn of(self, index: u32, workers: u32, shared: u32) -> u32 {
        match self {
            Self::Block => (u64::from(index) * u64::from(shared) / u64::from(workers)) as u32,
            Self::RoundRobin => index % shared,
        }
    }
}

impl LeaderLocator {
    const ALL: [(&'static str, Self); 4] = [
        ("server", Self::Server),
        ("client-local", Self::ClientLocal),
        ("balanced", Self::Balanced),
        ("spread", Self::Spread),
    ];
}

impl Layout {
    const ALL: [(&'static str, Self); 3] =
        [("block", Self::Block), ("cyclic", Self::Cyclic), ("by-host", Self::ByHost)];
}

impl Role {
    const ALL: [(&'static str, Self); 2] = [("producer", Self::Producer), ("consumer", Self::Consumer)];
}

impl Delay {
    /// The mean.
    pub fn mean(self) -> Duration {
        match self {
            Self::Constant(mean) | Self::Exponential(mean) => mean,
            Self::Uniform(from, to) => (from + to) / 2,
        }
    }
}

macro_rules! read_and_shown_by_name {
    ($($name:ident $what:literal),+ $(,)?) => {$(
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                named(&Self::ALL, $what, text)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(name_of(&Self::ALL, self))
            }
        }
    )+};
}
read_and_shown_by_name!(
    Client "a client",
    QueueType "a queue type",
    Mapping "a mapping",
    LeaderLocator "a place for leaders",
    Layout "a layout",
    Role "a role",
);

impl FromStr for Reply {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let vector = |size: &str| match size.parse::<Size>() {
            Ok(size) if size.0 > 0 && size.0.is_multiple_of(Self::NUMBER_BYTES) => Ok(size),
            _ => Err(format!(
                "`{text}` is not a valid reply: a vector has numbers of 4 bytes, such as sum:4MiB or mean:64kB"
            )),
        };
        match text.split_once(':') {
            Some(("sum", size)) => vector(size).map(Self::Sum),
            Some(("mean", size)) => vector(size).map(Self::Mean),
            _ if text == "echo" => Ok(Self::Echo),
            _ => text.parse().map(Self::Sized).map_err(|_| {
                format!("`{text}` is not a valid reply: write echo, a size such as 64B or 4MiB, sum:4MiB or mean:4MiB")
            }),
        }
    }
}

impl FromStr for Delay {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let spellings = ["constant:1ms", "exponential:1ms", "uniform:1ms-3ms"];
        let time = |text: &str| text.parse::<Span>().map(|span| span.0);
        match text.split_once(':') {
            Some(("constant", mean)) => time(mean).map(Self::Constant),
            Some(("exponential", mean)) => time(mean).map(Self::Exponential),
            Some(("uniform", range)) => match range.split_once('-').map(|(from, to)| (time(from), time(to))) {
                Some((Ok(from), Ok(to))) if from <= to => Ok(Self::Uniform(from, to)),
                _ => Err(format!("`{text}`: write uniform:1ms-3ms, the shorter time first")),
            },
            _ => unknown("a delay", text, &spellings),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo => f.write_str("echo"),
            Self::Sized(size) => size.fmt(f),
            Self::Sum(size) => write!(f, "sum:{size}"),
            Self::Mean(size) => write!(f, "mean:{size}"),
        }
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Constant(mean) => write!(f, "constant:{}", Span(mean)),
            Self::Exponential(mean) => write!(f, "exponential:{}", Span(mean)),
            Self::Uniform(from, to) => write!(f, "uniform:{}-{}", Span(from), Span(to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_round_trip<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(text.parse::<T>().map(|value| value.to_string()).as_deref(), Ok(*text));
        }
    }

    #[test]
    fn each_knob_is_read_as_it_is_written() {
        check_round_trip::<QueueType>(&["classic", "quorum", "stream"]);
        check_round_trip::<Mapping>(&["block", "round-robin"]);
        check_round_trip::<LeaderLocator>(&["server", "client-local", "balanced", "spread"]);
        check_round_trip::<Layout>(&["block", "cyclic", "by-host"]);
        check_round_trip::<Role>(&["producer", "consumer"]);
        check_round_trip::<Reply>(&["echo", "64B", "0B", "sum:8B", "mean:64B"]);
        check_round_trip::<Delay>(&["constant:1ms", "exponential:2s", "uniform:1ms-3ms"]);
    }

    #[test]
    fn a_wrong_setting_is_rejected_with_the_right_values() {
        for (error, expected) in [
            ("qorum".parse::<QueueType>().unwrap_err(), "did you mean `quorum`?"),
            ("byhost".parse::<Layout>().unwrap_err(), "did you mean `by-host`?"),
            ("constnt:1ms".parse::<Delay>().unwrap_err(), "did you mean `constant`?"),
            ("uniform:3ms-1ms".parse::<Delay>().unwrap_err(), "the shorter time first"),
            ("constant:1".parse::<Delay>().unwrap_err(), "write it as 30s"),
            ("ecko".parse::<Reply>().unwrap_err(), "write echo"),
        ] {
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn workers_share_queues_by_the_mapping() {
        let of = |mapping: Mapping| (0..4).map(|index| mapping.of(index, 4, 2)).collect::<Vec<_>>();
        assert_eq!(of(Mapping::Block), [0, 0, 1, 1]);
        assert_eq!(of(Mapping::RoundRobin), [0, 1, 0, 1]);
    }
}
