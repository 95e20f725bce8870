//! A replay of files as written in a profile, and what the files were found to hold.

use crate::values::{Size, counted, unknown, written_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr};

/// Messages that are taken from files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FilesProfile {
    /// Files, or patterns such as `run42/*.h5`; those of a pattern are sorted by name.
    pub paths: Option<Vec<String>>,
    /// What of a file is one message: `whole`, `size:1MiB`, `prefix:u32le`, `geb`, `geb:8` or `frames:8`.
    pub records: Option<Cut>,
    /// The order of messages: `listed`, or `shuffled` by the run's seed.
    pub order: Option<Order>,
    /// Whether messages start again after the last one [default: true].
    #[serde(rename = "loop")]
    pub repeat: Option<bool>,
    /// With `frames`, the dataset whose first extent is cut [default: the largest of two or more extents].
    pub dataset: Option<String>,
    /// With `frames`, datasets to send with it [default: those of at most one extent that are named after a timestamp, a wavelength
    /// or an energy].
    pub with: Option<Vec<String>>,
    /// Whether files are read before the clock starts (`ahead`) or while they are sent (`streamed`) [default: ahead, if they fit
    /// into `message.memory`].
    pub read: Option<Reading>,
    /// What the files hold. Found by rank 0, which sends it to the others; nobody writes it.
    pub found: Option<Found>,
}

/// What of a file is one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// All of it.
    Whole,
    /// This many bytes; the last message of a file has the rest.
    Size(Size),
    /// As many bytes as a number in front of them states. The number itself is not sent.
    Prefix(Prefix),
    /// This many events, each behind a GEB header; the last message of a file has the rest.
    Geb(NonZeroU32),
    /// This many frames of an HDF5 dataset, as a file; the last message of a file has the rest.
    Frames(NonZeroU32),
}

/// A number in front of a record: its length in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// 16 bits, the lowest first.
    U16Le,
    /// 16 bits, the highest first.
    U16Be,
    /// 32 bits, the lowest first.
    U32Le,
    /// 32 bits, the highest first.
    U32Be,
    /// 64 bits, the lowest first.
    U64Le,
    /// 64 bits, the highest first.
    U64Be,
}

/// The order of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// By file as listed, then by place in the file.
    Listed,
    /// At random, by the run's seed; each turn is in the same order.
    Shuffled,
}

/// When files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Before the clock starts.
    Ahead,
    /// While they are sent.
    Streamed,
}

written_as_text!(Cut, Order, Prefix, Reading);

/// The files of a replay, and the messages in them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Each file once, in order.
    pub files: Vec<FoundFile>,
    /// Each message once, by file and place.
    pub records: Vec<Record>,
    /// With `frames`, the dataset that is cut.
    pub dataset: Option<String>,
    /// With `frames`, the datasets that go with it.
    pub with: Vec<String>,
    /// SHA-256 over names, sizes and, if `hashed`, all messages.
    pub sha256: String,
    /// Whether all messages were read: each has its checksum.
    pub hashed: bool,
}

/// A file of a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FoundFile {
    /// Its path.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// One message of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The number of its file.
    pub file: u32,
    /// Where it begins: a byte, or with `frames` a frame.
    pub from: u64,
    /// Its size; an upper bound for `frames` that were not read.
    pub bytes: u32,
    /// Its events.
    pub events: u32,
    /// Its CRC-32C, if it was read.
    pub checksum: u32,
}

impl Cut {
    /// Events in one message, unless it is the last one of a file.
    pub fn events(self) -> NonZeroU32 {
        match self {
            Self::Geb(n) | Self::Frames(n) => n,
            Self::Whole | Self::Size(_) | Self::Prefix(_) => NonZeroU32::MIN,
        }
    }

    /// Whether a message has the format of its file.
    pub(crate) fn keeps_the_format(self) -> bool {
        matches!(self, Self::Whole | Self::Frames(_))
    }
}

const CUTS: [&str; 6] = ["whole", "size:1MiB", "prefix:u32le", "geb", "geb:8", "frames:8"];

impl FromStr for Cut {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "whole" => Ok(Self::Whole),
            None if text == "geb" => Ok(Self::Geb(NonZeroU32::MIN)),
            Some(("size", size)) => match size.parse()? {
                Size(0) => Err(format!("`{text}` cuts nothing off: write size:1MiB")),
                size => Ok(Self::Size(size)),
            },
            Some(("prefix", prefix)) => prefix.parse().map(Self::Prefix),
            Some(("geb", number)) => counted(text, number).map(Self::Geb),
            Some(("frames", number)) => counted(text, number).map(Self::Frames),
            _ => unknown("a rule for records", text, &CUTS),
        }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::Size(size) => write!(f, "size:{size}"),
            Self::Prefix(prefix) => write!(f, "prefix:{prefix}"),
            Self::Geb(n) => write!(f, "geb:{n}"),
            Self::Frames(n) => write!(f, "frames:{n}"),
        }
    }
}

/// Declares an enum of words with their spellings.
macro_rules! words {
    ($($name:ident, $what:literal: $($variant:ident $spelling:literal),+;)+) => {$(
        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($spelling => Ok(Self::$variant),)+
                    _ => unknown($what, text, &[$($spelling),+]),
                }
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $spelling),+ })
            }
        }
    )+};
}
pub(crate) use words;
words! {
    Prefix, "a number in front of records":
        U16Le "u16le", U16Be "u16be", U32Le "u32le", U32Be "u32be", U64Le "u64le", U64Be "u64be";
    Order, "an order": Listed "listed", Shuffled "shuffled";
    Reading, "a way to read": Ahead "ahead", Streamed "streamed";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::check_round_trip;

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<Cut>(&["whole", "prefix:u64be", "geb:8", "frames:8"]);
        check_round_trip::<Order>(&["listed", "shuffled"]);
        check_round_trip::<Reading>(&["ahead", "streamed"]);
        assert_eq!("size:1KiB".parse::<Cut>().unwrap().to_string().parse(), Ok(Cut::Size(Size(1024))));
        assert_eq!("geb".parse(), Ok(Cut::Geb(NonZeroU32::MIN)));
    }

    #[test]
    fn what_cuts_nothing_is_refused_with_what_to_write() {
        for (text, expected) in [
            ("size:0B", "size:1MiB"),
            ("frame:8", "did you mean `frames`?"),
            ("prefix:u24", "u32le"),
            ("geb:0", "at least 1"),
            ("frames", "frames:8"),
        ] {
            let error = text.parse::<Cut>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
