//! The resolved message: format, events, rate, and size in bytes.

use crate::{
    contents::{Content, Dtype, EventClock, Events, Fill, Format, HDF5, Rate, Storage},
    defaults,
    error::{ProfileError, impossible},
    files::FilesProfile,
    profile::{FramesProfile, MessageProfile},
    replay::Replay,
    sizes::{self, BODY_BYTES_MAX},
    values::Size,
};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// More bodies would only take longer to build.
const RING_BODIES_MAX: u64 = 1 << 16;
/// A template is built and kept for each number of events: a few MiB in all.
const HDF5_EVENTS_MAX: u32 = 256;
/// Upper bounds of what libhdf5 adds to a file of frames: per file, per group on the path of a dataset, per extent of a
/// frame, and per event. A test and the code that builds files check them.
const HDF5_FILE_BYTES: u64 = 24 << 10;
const HDF5_GROUP_BYTES: u64 = 2 << 10;
const HDF5_EXTENT_BYTES: u64 = 1 << 10;
const HDF5_EVENT_BYTES: u64 = 256;
const HDF5_EVENT_EXTENT_BYTES: u64 = 16;
/// Limits on the bodies that wait for an inspection, in bytes and in number.
const INSPECTED_BYTES: u64 = 16 << 20;
const INSPECTED_MAX: u64 = 64;

/// A resolved message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Layout of the body.
    pub format: Format,
    /// Size of one event in bytes.
    pub event_bytes: u64,
    /// Events in one message.
    pub events: Events,
    /// Size of the largest body in bytes; for an HDF5 file an upper bound, since the library decides the exact size.
    pub body_bytes: u64,
    /// Nominal rate of all producers together.
    pub rate: Option<Rate>,
    /// When bodies are built.
    pub fill: Fill,
    /// Bodies each producer builds before the clock starts.
    pub ring_bodies: u32,
    /// Fraction of a body without noise, from 0 to 1.
    pub compressible: f64,
    /// Detector frames, if the format has them.
    pub frames: Option<Frames>,
    /// Files to replay, if the format is files.
    #[serde(default)]
    pub replay: Option<Replay>,
}

/// Detector frames in an HDF5 file, resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frames {
    /// Extents of one frame, slowest first.
    pub shape: Vec<u32>,
    /// Type of a pixel.
    pub dtype: Dtype,
    /// Storage of the datasets.
    pub storage: Storage,
    /// Contents of the frames.
    pub content: Content,
    /// Path of the frames.
    pub data: String,
    /// Path of the times of events.
    pub timestamp: String,
    /// What those times are.
    #[serde(default, skip_serializing_if = "EventClock::is_unix")]
    pub clock: EventClock,
    /// Path of the wavelengths.
    pub wavelength: Option<String>,
    /// Path of the peaks.
    pub peaks: Option<String>,
}

impl Message {
    /// Resolves the message for `all` producers. `producers` of them share the rank, and each lends at most `in_flight(size)`
    /// bodies at a time.
    pub(crate) fn resolve(
        written: &MessageProfile,
        (all, producers): (u32, u32),
        in_flight: impl Fn(u64) -> u32,
        seed: u64,
    ) -> Result<Self, ProfileError> {
        if written.format == Some(Format::Files) {
            return Self::replayed(written, (all, producers), in_flight, seed);
        }
        if written.files != FilesProfile::default() {
            return impossible(
                "[message.files] names files to replay, but the format is another one: use format = \"files\"",
            );
        }
        let Some((format, events)) = written.format.zip(written.events) else {
            return impossible("the workload lacks the message: set `format` and `events` under [message]");
        };
        events.check()?;
        let frames = frames(format, &written.frames)?;
        let event_bytes = event_bytes(format, written.event_bytes, frames.as_ref())?;
        let body_bytes = body_bytes(format, event_bytes, events, frames.as_ref())?;
        let compressible = written.compressible.unwrap_or(defaults::COMPRESSIBLE);
        if !(0.0..=1.0).contains(&compressible) {
            return impossible(format!(
                "compressible = {compressible} is not a valid fraction: use a number from 0 to 1"
            ));
        }
        let fill = written.fill.unwrap_or(defaults::FILL);
        let memory = written.memory.map_or(defaults::MEMORY_BYTES, |size| size.0) / u64::from(producers.max(1));
        // One more body than can be in flight, so that the next one can be filled meanwhile.
        let least = u64::from(in_flight(body_bytes)) + 1;
        let needed = written.ring_bodies.map_or(least, |bodies| u64::from(bodies.get()).max(least));
        if needed.saturating_mul(body_bytes) > memory {
            return impossible(format!(
                "{producers} producer(s) on a rank need {needed} bodies of {body_bytes} B each, more than the memory for \
                 bodies: start more ranks, lower service.in_flight, or --set message.memory={}MiB",
                needed.saturating_mul(body_bytes).saturating_mul(u64::from(producers)).div_ceil(1 << 20)
            ));
        }
        let ring = written.ring.map_or(defaults::RING_BYTES, |size| size.0).min(memory);
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
            replay: None,
        })
    }

    fn replayed(
        written: &MessageProfile,
        producers: (u32, u32),
        in_flight: impl Fn(u64) -> u32,
        seed: u64,
    ) -> Result<Self, ProfileError> {
        frames(Format::Files, &written.frames)?;
        let replay = Replay::resolve(written, producers, &in_flight, seed)?;
        let body_bytes = replay.most_bytes();
        Ok(Self {
            format: Format::Files,
            event_bytes: replay.bytes / replay.events.max(1),
            events: Events::Fixed(replay.records.events()),
            body_bytes,
            rate: written.rate,
            fill: Fill::Ring,
            ring_bodies: replay.kept(0, u64::from(in_flight(body_bytes)) + 1) as u32,
            compressible: 0.0,
            frames: None,
            replay: Some(replay),
        })
    }

    /// MIME type of a body.
    pub fn content_type(&self) -> &'static str {
        if self.extension() == "h5" { HDF5 } else { self.format.content_type() }
    }

    /// Extension of a file with one body: that of the first replayed file if a body has its format.
    pub fn extension(&self) -> &str {
        let Some(replay) = self.replay.as_ref().filter(|replay| replay.records.keeps_the_format()) else {
            return self.format.extension();
        };
        let extension = replay.files.first().and_then(|(name, _)| Path::new(name).extension()?.to_str());
        match extension.unwrap_or("bin") {
            "h5" | "hdf5" | "hdf" | "he5" | "cxi" | "nxs" | "nx" => "h5",
            other => other,
        }
    }

    /// Mean size of a body in bytes; for an HDF5 file an upper bound.
    pub fn mean_body_bytes(&self) -> f64 {
        if let Some(replay) = &self.replay {
            return replay.bytes as f64 / replay.messages as f64;
        }
        let (fixed, each) = overhead(self.format, self.frames.as_ref());
        fixed as f64 + (self.event_bytes + each) as f64 * self.events.mean()
    }

    /// Bodies of a consumer that may wait for their inspection; 0 if the format has no library to inspect them.
    pub fn inspected_bodies(&self) -> u32 {
        match self.format {
            Format::Hdf5 => (INSPECTED_BYTES / self.body_bytes).clamp(1, INSPECTED_MAX) as u32,
            Format::GebRaw | Format::GebDecomposed | Format::Variables | Format::Adara | Format::Files => 0,
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
    let (data, timestamp) =
        (path(&written.data, defaults::DATA_PATH), path(&written.timestamp, defaults::TIMESTAMP_PATH));
    let Some((data, timestamp)) = data.zip(timestamp) else {
        return impossible(
            "frames and their times must have a path: set message.frames.data and message.frames.timestamp",
        );
    };
    let (wavelength, peaks) =
        (path(&written.wavelength, defaults::WAVELENGTH_PATH), path(&written.peaks, defaults::PEAKS_PATH));
    let mut paths: Vec<&String> = [&data, &timestamp].into_iter().chain(&wavelength).chain(&peaks).collect();
    if let Some(path) = paths.iter().find(|path| !is_path(path)) {
        return impossible(format!("`{path}` is not a valid path of a dataset: write it as /group/name"));
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
        dtype: written.dtype.unwrap_or(defaults::DTYPE),
        storage: written.storage.unwrap_or(defaults::STORAGE),
        content: written.content.unwrap_or(defaults::CONTENT),
        shape,
        data,
        timestamp,
        clock: written.clock.unwrap_or_default(),
        wavelength,
        peaks,
    }))
}

/// Whether it is `/a/b`, without empty parts and without characters that HDF5 interprets.
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

    /// Bytes that one event adds to the file; `None` on overflow.
    fn event_bytes(&self) -> Option<u64> {
        let pixels = self.shape.iter().try_fold(1u64, |pixels, extent| pixels.checked_mul(u64::from(*extent)))?;
        let peaks = self.peaks.as_ref().map_or(0, |_| sizes::FRAME_PEAKS * sizes::PEAK_BYTES);
        let floats = size_of::<f64>() * (1 + usize::from(self.wavelength.is_some()));
        pixels.checked_mul(self.dtype.bytes())?.checked_add((floats + peaks) as u64)
    }
}

/// Bytes of a body outside of events, and overhead bytes per event.
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
        (Format::Adara, _) => ((sizes::ADARA_HEAD_BYTES + sizes::ADARA_BANKS * sizes::ADARA_BANK_BYTES) as u64, 0),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn resolve(text: &str) -> Result<Message, ProfileError> {
        Ok(sample::plan(text, 4)?.message)
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
