//! The contents of messages as written in a profile: formats, events, rates, fills.

use crate::{
    error::{ProfileError, impossible},
    files::words,
    sizes,
    values::{counted, unknown, written_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr};

/// The layout of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// GRETINA raw channels ("mode 3"): per event one GEB header of type 2 and its channels.
    GebRaw,
    /// GRETINA decomposed crystals ("mode 2"): per event one GEB header of type 1 and its interaction points.
    GebDecomposed,
    /// An HDF5 file of detector frames, in the layout of LCLStream's serializer.
    Hdf5,
    /// A header and 64-bit floats.
    Variables,
    /// One ADARA banked-event packet: the neutrons of one accelerator pulse.
    Adara,
    /// Files as they are, or parts of them.
    Files,
}

/// How many events a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Always this many.
    Fixed(NonZeroU32),
    /// Uniformly distributed, from the first number to the second.
    Uniform(NonZeroU32, NonZeroU32),
    /// Poisson with this mean, given that there is at least one and at most [`Events::max`].
    Poisson(NonZeroU32),
}

/// How fast an instrument sends, all producers together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// Messages per second.
    Messages(f64),
    /// Bits of message bodies per second.
    Bits(f64),
}

/// When bodies are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// Before the clock starts; each body is stamped again when it is reused.
    Ring,
    /// Completely for every message.
    Fresh,
}

/// The type of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dtype {
    /// Unsigned 16-bit integer, as detectors read out.
    U16,
    /// Unsigned 32-bit integer.
    U32,
    /// 32-bit float.
    F32,
    /// 64-bit float, LCLStream's default.
    F64,
}

/// How datasets lie in an HDF5 file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// One chunk for each event, as LCLStream writes them.
    Chunked,
    /// In one piece.
    Contiguous,
}

/// What the time of an event is a number of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum EventClock {
    /// Seconds since 1970.
    #[default]
    Unix,
    /// As LCLStreamer writes psana2's: seconds since 1990 times 2^32, plus nanoseconds.
    Psana2,
}

/// The content of detector frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Pedestal and noise, and Bragg-like peaks in half of the frames.
    Crystal,
    /// A bright centre that falls off, as in ptychography, and photon noise.
    Diffraction,
}

written_as_text!(Content, Dtype, EventClock, Fill, Format, Rate, Storage);

/// MIME type of an HDF5 file.
pub(crate) const HDF5: &str = "application/x-hdf5";

impl EventClock {
    /// Whether it is the usual one, which older records do not name.
    pub(crate) fn is_unix(&self) -> bool {
        *self == Self::Unix
    }
}

impl Format {
    /// MIME type of a body that is made.
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Hdf5 => HDF5,
            Self::GebRaw | Self::GebDecomposed | Self::Variables | Self::Adara | Self::Files => {
                "application/octet-stream"
            }
        }
    }

    /// Extension of a file with one body that is made.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::GebRaw | Self::GebDecomposed => "geb",
            Self::Hdf5 => "h5",
            Self::Variables | Self::Files => "bin",
            Self::Adara => "adara",
        }
    }

    /// The size in bytes of an event of this format, if the format has only one size.
    pub(crate) fn only_event_bytes(self) -> Option<u64> {
        match self {
            Self::GebDecomposed => Some((sizes::GEB_HEADER_BYTES + sizes::GEB_CRYSTAL_BYTES) as u64),
            Self::Adara => Some(sizes::ADARA_EVENT_BYTES as u64),
            Self::GebRaw | Self::Hdf5 | Self::Variables | Self::Files => None,
        }
    }
}

impl Events {
    /// The smallest number of events in a message.
    pub fn min(self) -> u32 {
        match self {
            Self::Fixed(n) | Self::Uniform(n, _) => n.get(),
            Self::Poisson(_) => 1,
        }
    }

    /// The largest number of events in a message. Poisson is cut eight standard deviations above its mean.
    pub fn max(self) -> u32 {
        match self {
            Self::Fixed(n) | Self::Uniform(_, n) => n.get(),
            Self::Poisson(n) => n.get().saturating_add(8 * (1 + n.get().isqrt())),
        }
    }

    /// The mean number of events in a message. For Poisson it is the mean before truncation, which changes it by less
    /// than 0.6 for a mean of 1, and negligibly from 8 on.
    pub fn mean(self) -> f64 {
        match self {
            Self::Fixed(n) | Self::Poisson(n) => f64::from(n.get()),
            Self::Uniform(least, most) => f64::midpoint(f64::from(least.get()), f64::from(most.get())),
        }
    }

    pub(crate) fn check(self) -> Result<(), ProfileError> {
        match self {
            Self::Uniform(least, most) if least > most => {
                impossible(format!("events `{self}` has its ends the wrong way round: write uniform:{most}-{least}"))
            }
            _ => Ok(()),
        }
    }
}

impl Dtype {
    /// Bytes of a pixel.
    pub fn bytes(self) -> u64 {
        match self {
            Self::U16 => 2,
            Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

/// Reads a number or a text, because people write `events = 8`.
impl<'de> Deserialize<'de> for Events {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Events;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of events, `uniform:4-12` or `poisson:8`")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Events, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Events, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Events, E> {
                text.parse().map_err(E::custom)
            }
        }
        // Messages between ranks do not describe themselves, so they always contain the text.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            deserializer.deserialize_str(Visitor)
        }
    }
}

/// Writes a number if possible, so that a record is easy to read.
impl Serialize for Events {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Fixed(n) if serializer.is_human_readable() => serializer.serialize_u32(n.get()),
            _ => serializer.collect_str(self),
        }
    }
}

impl FromStr for Events {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) => {
                counted(text, text).map(Self::Fixed)
            }
            Some(("poisson", mean)) => counted(text, mean).map(Self::Poisson),
            Some(("uniform", ends)) => match ends.split_once('-') {
                Some((least, most)) => Ok(Self::Uniform(counted(text, least)?, counted(text, most)?)),
                None => Err(format!("`{text}` has one end: write uniform:4-12")),
            },
            _ => unknown("a number of events", text, &["8", "uniform:4-12", "poisson:8"]),
        }
    }
}

impl fmt::Display for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Uniform(least, most) => write!(f, "uniform:{least}-{most}"),
            Self::Poisson(mean) => write!(f, "poisson:{mean}"),
        }
    }
}

/// Rates from one message in thirty years to more than any network carries.
const RATES: std::ops::RangeInclusive<f64> = 1e-9..=1e18;

const BITS: [(&str, f64); 4] = [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)];

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |number: &str, unit: f64| {
            let parsed = number.trim().parse::<f64>().ok().map(|number| number * unit);
            let possible = parsed.filter(|rate| RATES.contains(rate));
            possible.ok_or_else(|| format!("`{text}`: `{}` is not a number above 0 that makes a rate", number.trim()))
        };
        if let Some((digits, unit)) = BITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit))) {
            return Ok(Self::Bits(number(digits, *unit)?));
        }
        match text.strip_suffix("/s") {
            Some(digits) if !digits.ends_with("bit") => Ok(Self::Messages(number(digits, 1.0)?)),
            _ => Err(format!("`{text}` is not a valid rate: write it as 20000/s (messages) or 8Gbit/s")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Messages(messages) => write!(f, "{messages}/s"),
            Self::Bits(bits) => {
                let (name, unit) = BITS.iter().find(|(_, unit)| bits >= unit).unwrap_or(&BITS[3]);
                write!(f, "{}{name}", bits / unit)
            }
        }
    }
}

words! {
    Format, "a format": GebRaw "geb-raw", GebDecomposed "geb-decomposed", Hdf5 "hdf5", Variables "variables", Adara "adara", Files "files";
    Fill, "a fill": Ring "ring", Fresh "fresh";
    Dtype, "a type of pixels": U16 "u16", U32 "u32", F32 "f32", F64 "f64";
    EventClock, "a clock of events": Unix "unix", Psana2 "psana2";
    Storage, "a storage": Chunked "chunked", Contiguous "contiguous";
    Content, "contents": Crystal "crystal", Diffraction "diffraction";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::tests::check_round_trip;

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<Events>(&["8", "uniform:4-12", "poisson:8"]);
        check_round_trip::<Rate>(&["32Gbit/s", "2.5Mbit/s", "60/s", "9bit/s"]);
        check_round_trip::<Format>(&["geb-raw", "geb-decomposed", "hdf5", "variables", "adara", "files"]);
        check_round_trip::<Fill>(&["ring", "fresh"]);
        check_round_trip::<Dtype>(&["u16", "u32", "f32", "f64"]);
        check_round_trip::<EventClock>(&["unix", "psana2"]);
        check_round_trip::<Storage>(&["chunked", "contiguous"]);
        check_round_trip::<Content>(&["crystal", "diffraction"]);
    }
}
