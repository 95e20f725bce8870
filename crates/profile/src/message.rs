//! What a message is: its format, its events, its rate, and how many bytes that makes.

use crate::{
    error::{ProfileError, impossible},
    profile::{FramesProfile, MessageProfile},
    values::{Size, counted, unknown, written_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr};

/// RabbitMQ takes no larger message unless it is told to (3.x; 4.x takes 16 MiB by default).
const BODY_BYTES_MAX: u64 = 128 << 20;
const MEMORY_DEFAULT: u64 = 64 << 20;
const RING_DEFAULT: u64 = 16 << 20;
/// More bodies than these only take longer to build.
const RING_BODIES_MAX: u64 = 1 << 16;
/// A template is built and kept for each number of events: a few MiB in all.
const HDF5_EVENTS_MAX: u32 = 256;
/// What libhdf5 adds to a file of frames: at most this, and so much for each group on the way to a dataset, for each
/// extent of a frame and for each event. A test holds files against it, and so does what builds them.
const HDF5_FILE_BYTES: u64 = 24 << 10;
const HDF5_GROUP_BYTES: u64 = 2 << 10;
const HDF5_EXTENT_BYTES: u64 = 1 << 10;
const HDF5_EVENT_BYTES: u64 = 256;
const HDF5_EVENT_EXTENT_BYTES: u64 = 16;
/// Bodies that wait for an inspection by their format's library, by bytes and by number.
const INSPECTED_BYTES: u64 = 16 << 20;
const INSPECTED_MAX: u64 = 64;

/// The layout of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// GRETINA raw channels ("mode 3"): per event one GEB header of type 2 and its channels.
    GebRaw,
    /// GRETINA decomposed crystals ("mode 2"): per event one GEB header of type 1 and its interaction points.
    GebDecomposed,
    /// An HDF5 file of detector frames, as LCLStream's serializer lays it out.
    Hdf5,
    /// A header and 64-bit floats.
    Variables,
    /// One ADARA banked-event packet: the neutrons of one accelerator pulse.
    Adara,
}

/// How many events a message carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Events {
    /// Always this many.
    Fixed(NonZeroU32),
    /// Each number from the first to the second equally often.
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
    /// Before the clock starts; each is stamped anew when it is sent again.
    Ring,
    /// All of it for every message.
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

/// What detector frames show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Pedestal and noise, and Bragg-like peaks in half of the frames.
    Crystal,
    /// A bright centre that falls off, as in ptychography, and photon noise.
    Diffraction,
}

written_as_text!(Content, Dtype, Fill, Format, Rate, Storage);

/// What a message is, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Layout of the body.
    pub format: Format,
    /// Size of one event in bytes.
    pub event_bytes: u64,
    /// Events in one message.
    pub events: Events,
    /// Size of the largest body in bytes; of an HDF5 file a bound, since its library decides on the rest.
    pub body_bytes: u64,
    /// Nominal rate of all producers together.
    pub rate: Option<Rate>,
    /// When bodies are built.
    pub fill: Fill,
    /// Bodies each producer builds before the clock starts.
    pub ring_bodies: u32,
    /// Share of a body that carries no noise.
    pub compressible: f64,
    /// Detector frames, where the format has them.
    pub frames: Option<Frames>,
}

/// Detector frames in an HDF5 file, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// Extents of one frame, slowest first.
    pub shape: Vec<u32>,
    /// Type of a pixel.
    pub dtype: Dtype,
    /// How datasets lie in the file.
    pub storage: Storage,
    /// What frames show.
    pub content: Content,
    /// Path of the frames.
    pub data: String,
    /// Path of the times of events.
    pub timestamp: String,
    /// Path of the wavelengths.
    pub wavelength: Option<String>,
    /// Path of the peaks.
    pub peaks: Option<String>,
}

impl Message {
    /// Resolves what was written. `in_flight` bodies (a function of the size) are lent out at a time by each of the
    /// `producers` of a rank.
    pub(crate) fn resolve(
        written: &MessageProfile,
        producers: u32,
        in_flight: impl Fn(u64) -> u32,
    ) -> Result<Self, ProfileError> {
        let Some((format, events)) = written.format.zip(written.events) else {
            return impossible("the workload must say what a message is: `format` and `events` under [message]");
        };
        events.check()?;
        let frames = frames(format, &written.frames)?;
        let event_bytes = event_bytes(format, written.event_bytes, frames.as_ref())?;
        let body_bytes = body_bytes(format, event_bytes, events, frames.as_ref())?;
        let compressible = written.compressible.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&compressible) {
            return impossible(format!("compressible = {compressible} is no share: give a number from 0 to 1"));
        }
        let fill = written.fill.unwrap_or(Fill::Ring);
        let memory = written.memory.map_or(MEMORY_DEFAULT, |size| size.0) / u64::from(producers.max(1));
        // One body more than can be in flight, so that the next one can be filled meanwhile.
        let least = u64::from(in_flight(body_bytes)) + 1;
        let asked = written.ring_bodies.map_or(least, |bodies| u64::from(bodies.get()).max(least));
        if asked.saturating_mul(body_bytes) > memory {
            return impossible(format!(
                "{producers} producer(s) on a rank need {asked} bodies of {body_bytes} B each, more than the memory for \
                 bodies: start more ranks, lower service.in_flight, or --set message.memory={}MiB",
                asked.saturating_mul(body_bytes).saturating_mul(u64::from(producers)).div_ceil(1 << 20)
            ));
        }
        let ring = written.ring.map_or(RING_DEFAULT, |size| size.0).min(memory);
        let ring_bodies = match written.ring_bodies {
            Some(bodies) => bodies.get(),
            None => (ring / body_bytes).clamp(least, RING_BODIES_MAX.max(least)) as u32,
        };
        Ok(Self {
            format,
            event_bytes,
            events,
            body_bytes,
            rate: written.rate,
            fill,
            ring_bodies,
            compressible,
            frames,
        })
    }

    /// Size of a body on average; of an HDF5 file a bound.
    pub fn mean_body_bytes(&self) -> f64 {
        let (fixed, each) = overhead(self.format, self.frames.as_ref());
        fixed as f64 + (self.event_bytes + each) as f64 * self.events.mean()
    }

    /// Bodies of a consumer that may wait for their inspection; none where the format has no library to inspect them.
    pub fn inspected_bodies(&self) -> u32 {
        match self.format {
            Format::Hdf5 => (INSPECTED_BYTES / self.body_bytes).clamp(1, INSPECTED_MAX) as u32,
            Format::GebRaw | Format::GebDecomposed | Format::Variables | Format::Adara => 0,
        }
    }

    /// Nominal messages per second of all producers together.
    pub fn nominal_messages_per_second(&self) -> Option<f64> {
        self.rate.map(|rate| self.messages_per_second(rate))
    }

    /// A rate in messages per second.
    pub fn messages_per_second(&self, rate: Rate) -> f64 {
        match rate {
            Rate::Messages(messages) => messages,
            Rate::Bits(bits) => bits / (8.0 * self.mean_body_bytes()),
        }
    }
}

impl Format {
    /// MIME type of a body.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Hdf5 => "application/x-hdf5",
            Self::GebRaw | Self::GebDecomposed | Self::Variables | Self::Adara => "application/octet-stream",
        }
    }

    /// Ending of a file that holds one body.
    pub fn extension(self) -> &'static str {
        match self {
            Self::GebRaw | Self::GebDecomposed => "geb",
            Self::Hdf5 => "h5",
            Self::Variables => "bin",
            Self::Adara => "adara",
        }
    }

    /// The size that an event of this format must have, where there is but one.
    fn only_event_bytes(self) -> Option<u64> {
        match self {
            // GEB header 16 and crystal 464.
            Self::GebDecomposed => Some(480),
            // Time of flight and pixel.
            Self::Adara => Some(8),
            Self::GebRaw | Self::Hdf5 | Self::Variables => None,
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

    /// The number of events in a message on average; for Poisson before it is cut, which changes it by less than 0.6
    /// for a mean of 1 and by nothing to speak of from 8 on.
    pub fn mean(self) -> f64 {
        match self {
            Self::Fixed(n) | Self::Poisson(n) => f64::from(n.get()),
            Self::Uniform(least, most) => f64::midpoint(f64::from(least.get()), f64::from(most.get())),
        }
    }

    fn check(self) -> Result<(), ProfileError> {
        match self {
            Self::Uniform(least, most) if least > most => {
                impossible(format!("events `{self}` has its ends the wrong way round: write uniform:{most}-{least}"))
            }
            _ => Ok(()),
        }
    }
}

fn frames(format: Format, written: &FramesProfile) -> Result<Option<Frames>, ProfileError> {
    if format != Format::Hdf5 {
        return if *written == FramesProfile::default() {
            Ok(None)
        } else {
            impossible(format!(
                "[message.frames] describes an HDF5 file, but the format is {format}: use format = \"hdf5\""
            ))
        };
    }
    let Some(shape) = written.shape.clone().filter(|shape| !shape.is_empty() && !shape.contains(&0)) else {
        return impossible("an HDF5 message needs the extents of a frame: [message.frames] shape = [256, 256]");
    };
    let path = |written: &Option<String>, default: &str| {
        let path = written.as_deref().unwrap_or(default);
        (!path.is_empty()).then(|| path.to_owned())
    };
    let (data, timestamp) = (path(&written.data, "/data/data"), path(&written.timestamp, "/data/timestamp"));
    let Some((data, timestamp)) = data.zip(timestamp) else {
        return impossible(
            "frames and their times must have a path: set message.frames.data and message.frames.timestamp",
        );
    };
    let (wavelength, peaks) = (path(&written.wavelength, "/data/wavelength"), path(&written.peaks, "/data/peaks"));
    let mut paths: Vec<&String> = [&data, &timestamp].into_iter().chain(&wavelength).chain(&peaks).collect();
    if let Some(path) = paths.iter().find(|path| !is_path(path)) {
        return impossible(format!("`{path}` is no path of a dataset: write it as /group/name"));
    }
    paths.sort();
    if let Some(twice) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
        return impossible(format!("two datasets of a message have the path `{}`: give each its own", twice[0]));
    }
    let holds = |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    let mut pairs = paths.iter().flat_map(|outer| paths.iter().map(move |inner| (outer, inner)));
    if let Some((outer, inner)) = pairs.find(|(outer, inner)| holds(outer, inner)) {
        return impossible(format!("`{outer}` is a dataset and cannot hold `{inner}`: give one of them another path"));
    }
    Ok(Some(Frames {
        dtype: written.dtype.unwrap_or(Dtype::U16),
        storage: written.storage.unwrap_or(Storage::Chunked),
        content: written.content.unwrap_or(Content::Crystal),
        shape,
        data,
        timestamp,
        wavelength,
        peaks,
    }))
}

/// `/a/b`, without empty parts and without the characters that HDF5 gives a meaning to.
fn is_path(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    path.strip_prefix('/').is_some_and(|parts| parts.split('/').all(part))
}

fn event_bytes(format: Format, written: Option<Size>, frames: Option<&Frames>) -> Result<u64, ProfileError> {
    let only = match frames.map(Frames::event_bytes) {
        Some(None) => return impossible("a frame of that shape has more bytes than a number can hold"),
        Some(bytes) => bytes,
        None => format.only_event_bytes(),
    };
    match (only, written) {
        (None, None) => impossible(format!("a message of format {format} needs `event_bytes` under [message]")),
        (Some(only), Some(Size(written))) if only != written => {
            impossible(format!("an event of format {format} is {only} B here, not {written} B: leave event_bytes out"))
        }
        (Some(only), _) => Ok(only),
        (None, Some(Size(written))) => Ok(written),
    }
}

impl Frames {
    /// Paths of all datasets.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        [&self.data, &self.timestamp].into_iter().chain(&self.wavelength).chain(&self.peaks)
    }

    /// Bytes that one event adds to the file; none where a number cannot hold them.
    fn event_bytes(&self) -> Option<u64> {
        let pixels = self.shape.iter().try_fold(1u64, |pixels, extent| pixels.checked_mul(u64::from(*extent)))?;
        let peaks = self.peaks.as_ref().map_or(0, |_| 16 * 3 * 2);
        let wavelength = self.wavelength.as_ref().map_or(0, |_| 8);
        pixels.checked_mul(self.dtype.bytes())?.checked_add(8 + wavelength + peaks)
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

/// Bytes of a body that are in no event, and those that each event adds to its own.
fn overhead(format: Format, frames: Option<&Frames>) -> (u64, u64) {
    match (format, frames) {
        (Format::Hdf5, Some(frames)) => {
            let groups: u64 = frames.paths().map(|path| path.matches('/').count() as u64 - 1).sum();
            let extents = frames.shape.len() as u64;
            (
                HDF5_FILE_BYTES + groups * HDF5_GROUP_BYTES + extents * HDF5_EXTENT_BYTES,
                HDF5_EVENT_BYTES + extents * HDF5_EVENT_EXTENT_BYTES,
            )
        }
        // Packet header 16, pulse 16, one source 16, four banks of 8.
        (Format::Adara, _) => (80, 0),
        _ => (0, 0),
    }
}

fn body_bytes(format: Format, event_bytes: u64, events: Events, frames: Option<&Frames>) -> Result<u64, ProfileError> {
    let most = events.max();
    if format == Format::Hdf5 && most > HDF5_EVENTS_MAX {
        return impossible(format!(
            "an HDF5 message holds at most {HDF5_EVENTS_MAX} events, not {most}: lower `events`"
        ));
    }
    let (fixed, each) = overhead(format, frames);
    let body_bytes = (event_bytes.checked_add(each))
        .and_then(|each| each.checked_mul(u64::from(most)))
        .and_then(|all| all.checked_add(fixed));
    match body_bytes {
        Some(bytes @ 1..=BODY_BYTES_MAX) if event_bytes > 0 => Ok(bytes),
        _ => impossible(format!(
            "{most} events of {event_bytes} B make no message that a broker takes: it must have 1 B to {} MiB in all, so \
             change `event_bytes` or `events`",
            BODY_BYTES_MAX >> 20
        )),
    }
}

/// Reads a number or a text, since `events = 8` is what a person writes.
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
        // What ranks send each other does not say what it holds; it is always the text.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            deserializer.deserialize_str(Visitor)
        }
    }
}

/// A number where a number will do, so that a record is easily read.
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

/// From one in thirty years to more than any network.
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
            _ => Err(format!("`{text}` is no rate: write it as 20000/s (messages) or 8Gbit/s")),
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

/// A closed set of words, each with its spelling.
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
words! {
    Format, "a format": GebRaw "geb-raw", GebDecomposed "geb-decomposed", Hdf5 "hdf5", Variables "variables", Adara "adara";
    Fill, "a fill": Ring "ring", Fresh "fresh";
    Dtype, "a type of pixels": U16 "u16", U32 "u32", F32 "f32", F64 "f64";
    Storage, "a storage": Chunked "chunked", Contiguous "contiguous";
    Content, "contents": Crystal "crystal", Diffraction "diffraction";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Origin, Plan, combine, values::tests::check_round_trip};

    fn resolve(text: &str) -> Result<Message, ProfileError> {
        let layer = Layer::parse(Origin::CommandLine, text)?;
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into()))?;
        Ok(Plan::resolve(&profile, 4, 7)?.message)
    }

    #[test]
    fn each_value_is_read_as_it_is_written() {
        check_round_trip::<Events>(&["8", "uniform:4-12", "poisson:8"]);
        check_round_trip::<Rate>(&["32Gbit/s", "2.5Mbit/s", "60/s", "9bit/s"]);
        check_round_trip::<Format>(&["geb-raw", "geb-decomposed", "hdf5", "variables", "adara"]);
        check_round_trip::<Fill>(&["ring", "fresh"]);
        check_round_trip::<Dtype>(&["u16", "u32", "f32", "f64"]);
        check_round_trip::<Storage>(&["chunked", "contiguous"]);
        check_round_trip::<Content>(&["crystal", "diffraction"]);
    }

    #[test]
    fn events_survive_toml_json_and_what_ranks_send_each_other() {
        for (toml, json) in [("8", "8"), ("'uniform:4-12'", "\"uniform:4-12\""), ("'poisson:8'", "\"poisson:8\"")] {
            let message = resolve(&format!("[message]\nevents = {toml}")).unwrap();
            assert!(serde_json::to_string(&message).unwrap().contains(&format!("\"events\":{json},")), "{toml}");
            let bytes = bincode::serde::encode_to_vec(&message, bincode::config::standard()).unwrap();
            let (back, _): (Message, _) =
                bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
            assert_eq!(back, message);
        }
    }

    #[test]
    fn a_message_has_room_for_its_largest_number_of_events() {
        for (events, most) in [("3", 3), ("'uniform:4-12'", 12), ("'poisson:8'", 8 + 8 * 3)] {
            let message = resolve(&format!("[message]\nevents = {events}")).unwrap();
            assert_eq!(message.body_bytes, 2000 * most, "{events}");
        }
    }

    #[test]
    fn the_ring_stays_inside_the_memory_of_a_rank() {
        let lstream = |producers: u32| {
            resolve(&format!("workload = 'lstream'\nproducers = {producers}\nconsumers = 1\n[message]\nring = '1GiB'"))
        };
        let one = lstream(1).unwrap();
        assert!(u64::from(one.ring_bodies) * one.body_bytes <= 64 << 20 && one.ring_bodies > 50);
        let many = lstream(32).unwrap();
        assert!(8 * u64::from(many.ring_bodies) * many.body_bytes <= 64 << 20);
        let error = lstream(200).unwrap_err().to_string();
        assert!(error.contains("--set message.memory="), "{error}");
    }

    #[test]
    fn a_nominal_rate_counts_whole_messages() {
        let rate = |text: &str| resolve(text).unwrap().nominal_messages_per_second().unwrap();
        assert_eq!(rate(""), 250_000.0);
        assert_eq!(rate("workload = 'sns-adara'"), 60.0);
        assert_eq!(rate("[message]\nevents = 'uniform:1-15'"), 250_000.0);
    }

    #[test]
    fn what_makes_no_message_is_refused_with_what_to_change() {
        for (text, expected) in [
            ("[message]\nevents = 0", "at least 1"),
            ("[message]\nevents = -3", "at least 1"),
            ("[message]\nevents = 'uniform:9-4'", "uniform:4-9"),
            ("[message]\nevents = 'uniform:9'", "uniform:4-12"),
            ("[message]\nevents = 'poison:9'", "did you mean `poisson`?"),
            ("[message]\nevent_bytes = '1GiB'", "128 MiB"),
            ("[message]\nevent_bytes = '0B'", "1 B to 128 MiB"),
            ("[message]\nevents = 4294967295\nevent_bytes = '8EiB'", "1 B to 128 MiB"),
            ("[message]\ncompressible = 1.5", "from 0 to 1"),
            ("[message]\nrate = '8Gb'", "8Gbit/s"),
            ("[message]\nrate = '-8/s'", "above 0"),
            ("[message]\nrate = '1e300Gbit/s'", "makes a rate"),
            ("[message]\nevents = 9999999999", "at most 4294967295"),
            ("[message]\nring_bodies = 70000000", "--set message.memory="),
            ("workload = 'lstream'\n[message.frames]\ndata='/a'\ntimestamp='/a/b'\nwavelength='/a-b'", "another path"),
            ("[message]\n[message.frames]\nshape = [4, 4]", "format = \"hdf5\""),
            ("workload = 'lstream'\n[message.frames]\nshape = []", "shape = [256, 256]"),
            ("workload = 'lstream'\n[message.frames]\nshape = [0, 4]", "shape = [256, 256]"),
            ("workload = 'lstream'\n[message.frames]\nshape = [65536, 65536]", "128 MiB"),
            ("workload = 'lstream'\n[message.frames]\nshape = [4294967295, 4294967295, 4294967295]", "more bytes"),
            ("workload = 'lstream'\n[message.frames]\ndata = 'data'", "/group/name"),
            ("workload = 'lstream'\n[message.frames]\ndata = ''", "message.frames.data"),
            ("workload = 'lstream'\n[message.frames]\ndata = '/data/peaks'", "each its own"),
            ("workload = 'lstream'\n[message.frames]\ndata = '/a'\ntimestamp = '/a/b'", "another path"),
            ("workload = 'lstream'\n[message]\nevents = 2000", "at most 256"),
            ("workload = 'lstream'\n[message]\nevent_bytes = '5B'", "leave event_bytes out"),
            ("workload = 'sns-adara'\n[message]\nevent_bytes = '5B'", "an event of format adara is 8 B"),
            ("[message]\nformat = 'hdf'", "did you mean `hdf5`?"),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
