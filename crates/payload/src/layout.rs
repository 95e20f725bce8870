//! The layouts of bodies: one variant for each format, all with the same methods.

use crate::{
    adara::Adara,
    frames::Frames,
    geb::{decomposed::Decomposed, raw::Raw},
    noise::Noise,
    variables::Variables,
};
use engine::ports::{Corruption, PayloadError};
use profile::{Format, Plan};

/// A format with its settings. Filling and stamping are two steps because with a ring only the second is on the path of
/// a message (D7).
#[derive(Debug, Clone)]
pub enum Layout {
    Raw(Box<Raw>),
    Decomposed(Decomposed),
    Frames(Box<Frames>),
    Variables(Variables),
    Adara(Adara),
}

impl Layout {
    /// The layout of a plan.
    pub fn new(plan: &Plan) -> Result<Self, PayloadError> {
        let (seed, message) = (plan.seed, &plan.message);
        let (most, compressible) = (message.events.max(), message.compressible);
        let noise = || Noise::new(seed, compressible);
        Ok(match message.format {
            Format::GebRaw => Self::Raw(Box::new(Raw::new(seed, message.event_bytes, most, noise())?)),
            Format::GebDecomposed => Self::Decomposed(Decomposed::new(seed, most, compressible)),
            Format::Variables => Self::Variables(Variables::new(seed, message.event_bytes, compressible)?),
            Format::Adara => Self::Adara(Adara::new(seed, compressible)),
            Format::Files => return Err(PayloadError("the messages of files are not made".to_owned())),
            Format::Hdf5 => {
                let Some(frames) = &message.frames else {
                    return Err(PayloadError("an HDF5 message needs [message.frames]".to_owned()));
                };
                let rate = message.nominal_messages_per_second().map(|messages| messages * message.events.mean());
                let frames = Frames::new(seed, frames, message.events, rate, noise(), compressible)?;
                Self::Frames(Box::new(frames))
            }
        })
    }

    /// Size of a body with this many events.
    pub fn body_bytes(&self, events: u32) -> usize {
        match self {
            Self::Raw(raw) => raw.body_bytes(events),
            Self::Decomposed(decomposed) => decomposed.body_bytes(events),
            Self::Frames(frames) => frames.body_bytes(events),
            Self::Variables(variables) => variables.body_bytes(events),
            Self::Adara(adara) => adara.body_bytes(events),
        }
    }

    /// Writes all of a body of the right size but its stamp. The same key makes the same contents.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64, events: u32) {
        match self {
            Self::Raw(raw) => raw.fill(body, producer, key),
            Self::Decomposed(decomposed) => decomposed.fill(body, producer, key),
            Self::Frames(frames) => frames.fill(body, producer, key, events),
            Self::Variables(variables) => variables.fill(body, producer, key),
            Self::Adara(adara) => adara.fill(body, producer, key),
        }
    }

    /// Makes a filled body the body of message `sequence`. Which bytes it writes does not depend on the sequence.
    pub fn stamp(&self, body: &mut [u8], producer: u32, sequence: u64, events: u32) {
        match self {
            Self::Raw(raw) => raw.stamp(body, producer, sequence),
            Self::Decomposed(decomposed) => decomposed.stamp(body, producer, sequence),
            Self::Frames(frames) => frames.stamp(body, producer, sequence, events),
            Self::Variables(variables) => variables.stamp(body, sequence),
            Self::Adara(adara) => adara.stamp(body, sequence),
        }
    }

    /// Whether each bit of the sequence flips always the same bits of the body: the checksum's shortcut rests on this.
    /// ADARA splits its time into seconds and nanoseconds, which is a division.
    pub fn stamp_is_linear(&self) -> bool {
        !matches!(self, Self::Adara(_))
    }

    /// Whether a body of the right length has the structure and the stamp of this message, or what is wrong.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64, events: u32) -> Result<(), String> {
        match self {
            Self::Raw(raw) => raw.check(body, producer, sequence),
            Self::Decomposed(decomposed) => decomposed.check(body, producer, sequence),
            Self::Frames(frames) => frames.check(body, producer, sequence, events),
            Self::Variables(variables) => variables.check(body, producer, sequence),
            Self::Adara(adara) => adara.check(body, producer, sequence),
        }
    }

    /// Whether a library of the format reads more than [`Layout::check`] does.
    pub fn inspects(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// Reads a body of any length with the format's library, where it has one.
    pub fn inspect(&self, body: &[u8], producer: u32, sequence: u64, events: u32) -> Result<(), Corruption> {
        match self {
            Self::Frames(frames) => frames.inspect(body, producer, sequence, events),
            Self::Raw(_) | Self::Decomposed(_) | Self::Variables(_) | Self::Adara(_) => Ok(()),
        }
    }

    /// The parts of a body, one per line.
    pub fn describe(&self) -> Vec<String> {
        match self {
            Self::Raw(raw) => raw.describe(),
            Self::Decomposed(decomposed) => decomposed.describe(),
            Self::Frames(frames) => frames.describe(),
            Self::Variables(variables) => variables.describe(),
            Self::Adara(adara) => adara.describe(),
        }
    }
}
