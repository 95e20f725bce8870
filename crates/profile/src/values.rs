//! The small values of a profile, each with one spelling: `batch:64`, `every:100`, `30s`, `4MiB`.

use crate::names::hint;
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr, time::Duration};

/// Serialises a value as the text that a person writes, in TOML, bincode and JSON alike.
macro_rules! written_as_text {
    ($($name:ident),+) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+};
}
pub(crate) use written_as_text;
written_as_text!(Acks, Confirms, Overflow, Pattern, Size, Span, Verify);

/// How messages go from producers to consumers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// Each message goes to one consumer, over shared queues.
    WorkSharing,
    /// The same, and that consumer replies to the producer.
    WorkSharingFeedback,
    /// Each message goes to every consumer.
    Broadcast,
    /// The same, and every consumer replies to the producer.
    BroadcastGather,
}

impl Pattern {
    const ALL: [(&'static str, Self); 4] = [
        ("work-sharing", Self::WorkSharing),
        ("work-sharing-feedback", Self::WorkSharingFeedback),
        ("broadcast", Self::Broadcast),
        ("broadcast-gather", Self::BroadcastGather),
    ];

    /// Whether every consumer gets each message.
    pub(crate) fn is_broadcast(self) -> bool {
        matches!(self, Self::Broadcast | Self::BroadcastGather)
    }

    /// Whether consumers reply to messages.
    pub(crate) fn has_replies(self) -> bool {
        matches!(self, Self::WorkSharingFeedback | Self::BroadcastGather)
    }
}

/// The confirm mode of a producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirms {
    /// No confirms: fire and forget.
    None,
    /// It waits for each message's confirm before the next (stop and wait).
    Each,
    /// It publishes `n`, waits until all are confirmed, publishes the next `n` (as in the paper).
    Batch(NonZeroU32),
    /// At most `n` messages are unconfirmed at any time.
    Window(NonZeroU32),
}

/// How a consumer acknowledges deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acks {
    /// The broker considers a message done once it has sent it.
    Auto,
    /// Each delivery on its own.
    Each,
    /// Every `n`-th delivery, for all before it; the remainder when the run ends.
    Multiple(NonZeroU32),
}

/// The bodies that a consumer checks: length, checksum and structure of each and, if the format has a library, by an
/// inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verify {
    /// None.
    Off,
    /// One sequence number in `n`.
    Every(NonZeroU32),
    /// All, but inspections only of as many as a share of one core allows.
    Sampled,
    /// All.
    All,
}

/// Behaviour of a full queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overflow {
    /// Rejects new messages; the producer gets a nack.
    RejectPublish,
    /// Drops the oldest message.
    DropHead,
}

/// A length of time, as `30s`, `500ms`, `2m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

/// A number of bytes, as `16000B`, `4MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Confirms {
    /// Whether the channel is put into confirm mode.
    pub fn wanted(self) -> bool {
        self != Self::None
    }
}

impl Verify {
    /// Whether the body of this sequence number is checked.
    pub fn covers(self, sequence: u64) -> bool {
        match self {
            Self::Off => false,
            Self::Sampled | Self::All => true,
            Self::Every(n) => sequence.is_multiple_of(u64::from(n.get())),
        }
    }
}

pub(crate) fn counted(text: &str, number: &str) -> Result<NonZeroU32, String> {
    number
        .parse()
        .map_err(|_| format!("`{text}`: `{number}` is not a whole number of at least 1 and at most {}", u32::MAX))
}

pub(crate) fn unknown<T>(what: &str, text: &str, spellings: &[&str]) -> Result<T, String> {
    let stems = spellings.iter().map(|s| s.split(':').next().expect("split yields at least one part"));
    let word = text.split(':').next().expect("split yields at least one part");
    Err(format!("`{text}` is not a valid value for {what}{}: write {}", hint(word, stems), spellings.join(", ")))
}

/// Reads one of a closed set of names.
pub(crate) fn named<T: Copy>(names: &[(&'static str, T)], what: &str, text: &str) -> Result<T, String> {
    match names.iter().find(|(name, _)| *name == text) {
        Some((_, value)) => Ok(*value),
        None => unknown(what, text, &names.iter().map(|(name, _)| *name).collect::<Vec<_>>()),
    }
}

/// The name of one of a closed set.
pub(crate) fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> &'static str {
    names.iter().find(|(_, named)| named == value).expect("every value has its name").0
}

impl FromStr for Pattern {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        named(&Self::ALL, "a pattern", text)
    }
}

impl FromStr for Confirms {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "none" => Ok(Self::None),
            None if text == "each" => Ok(Self::Each),
            Some(("batch", n)) => counted(text, n).map(Self::Batch),
            Some(("window", n)) => counted(text, n).map(Self::Window),
            _ => unknown("confirms", text, &["none", "each", "batch:N", "window:N"]),
        }
    }
}

impl FromStr for Acks {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "each" => Ok(Self::Each),
            Some(("multiple", n)) => counted(text, n).map(Self::Multiple),
            _ => unknown("acks", text, &["auto", "each", "multiple:N"]),
        }
    }
}

impl FromStr for Verify {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "off" => Ok(Self::Off),
            None if text == "sampled" => Ok(Self::Sampled),
            None if text == "all" => Ok(Self::All),
            Some(("every", n)) => counted(text, n).map(Self::Every),
            _ => unknown("verify", text, &["off", "every:N", "sampled", "all"]),
        }
    }
}

impl FromStr for Overflow {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "reject-publish" => Ok(Self::RejectPublish),
            "drop-head" => Ok(Self::DropHead),
            _ => unknown("overflow", text, &["reject-publish", "drop-head"]),
        }
    }
}

impl FromStr for Span {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text)
            .map(Self)
            .map_err(|error| format!("`{text}` is not a valid duration ({error}): write it as 30s, 500ms or 2m"))
    }
}

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<bytesize::ByteSize>()
            .map(|size| Self(size.as_u64()))
            .map_err(|_| format!("`{text}` is not a valid size: write it as 16000B, 64KiB or 4MiB"))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&Self::ALL, self))
    }
}

impl fmt::Display for Confirms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Each => f.write_str("each"),
            Self::Batch(n) => write!(f, "batch:{n}"),
            Self::Window(n) => write!(f, "window:{n}"),
        }
    }
}

impl fmt::Display for Acks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Each => f.write_str("each"),
            Self::Multiple(n) => write!(f, "multiple:{n}"),
        }
    }
}

impl fmt::Display for Verify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Every(n) => write!(f, "every:{n}"),
            Self::Sampled => f.write_str("sampled"),
            Self::All => f.write_str("all"),
        }
    }
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RejectPublish => "reject-publish",
            Self::DropHead => "drop-head",
        })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[track_caller]
    pub(crate) fn check_round_trip<T: FromStr<Err = String> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            assert_eq!(text.parse::<T>().map(|value| value.to_string()).as_deref(), Ok(*text));
        }
    }

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<Confirms>(&["none", "each", "batch:64", "window:1000"]);
        check_round_trip::<Acks>(&["auto", "each", "multiple:64"]);
        check_round_trip::<Verify>(&["off", "every:100", "sampled", "all"]);
        check_round_trip::<Overflow>(&["reject-publish", "drop-head"]);
        check_round_trip::<Pattern>(&["work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"]);
        check_round_trip::<Span>(&["30s", "500ms", "2m"]);
        check_round_trip::<Size>(&["16000B"]);
        assert_eq!("4MiB".parse(), Ok(Size(4 << 20)));
    }

    #[test]
    fn a_wrong_value_is_rejected_with_the_right_values() {
        for (error, expected) in [
            ("batc:64".parse::<Confirms>().unwrap_err(), "did you mean `batch`?"),
            ("batch:0".parse::<Confirms>().unwrap_err(), "at least 1"),
            ("multiple:x".parse::<Acks>().unwrap_err(), "at least 1"),
            ("work-shraing".parse::<Pattern>().unwrap_err(), "did you mean `work-sharing`?"),
            ("30".parse::<Span>().unwrap_err(), "write it as 30s"),
            ("many".parse::<Size>().unwrap_err(), "4MiB"),
        ] {
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn each_level_of_verify_covers_its_checks() {
        let every = "every:3".parse::<Verify>().unwrap();
        assert_eq!((0..7).filter(|&s| every.covers(s)).collect::<Vec<_>>(), [0, 3, 6]);
        assert!(Verify::All.covers(1) && Verify::Sampled.covers(1) && !Verify::Off.covers(0));
    }
}
