//! The port for bodies: producers fill them, consumers check them.

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    task::{Context, Poll},
};

/// The workload's bodies, the same for the same (plan, producer, sequence) wherever they are made.
pub trait Payloads: Send + Sync + 'static {
    /// Bodies of one producer.
    type Source: Source;

    /// Builds the bodies of producer `producer`. This is slow (it fills memory): call it before the clock starts.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the bodies cannot be built, such as for lack of memory.
    fn source(&self, producer: u32) -> Result<Self::Source, PayloadError>;

    /// The body that the source of `producer` lends for message `sequence`, computed without the source.
    fn body(&self, producer: u32, sequence: u64) -> Body;

    /// Events in message `sequence` of `producer`.
    fn events(&self, producer: u32, sequence: u64) -> u32;

    /// Checks a body that arrived as message `sequence` of `producer`; `checksum` is the CRC-32C in its envelope. Fast
    /// enough for every message, on the thread that serves the network.
    ///
    /// # Errors
    ///
    /// [`Corruption`] with the first check that fails.
    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption>;

    /// Whether [`Payloads::inspect`] checks more than [`Payloads::verify`] does.
    fn inspects(&self) -> bool;

    /// Checks a body as a reader of its format would, with that format's library. This is slow and takes the library's
    /// locks, so it is never called on the thread that serves the network.
    ///
    /// # Errors
    ///
    /// [`Corruption`] with the first check that fails.
    fn inspect(&self, producer: u32, sequence: u64, body: &[u8]) -> Result<(), Corruption>;

    /// Writes the body of a message (producer and sequence) that arrived at consumer `consumer`, or waits until there is room to. Only
    /// one that is `sound` has passed [`Payloads::verify`].
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if it cannot be written.
    fn keep(&self, _consumer: u32, _message: (u32, u64), _body: &[u8], _sound: bool) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// Bodies of one producer, each filled for its message.
pub trait Source: Send + 'static {
    /// The body of message `sequence`. If its buffer is still on loan a new one is built.
    fn take(&mut self, sequence: u64) -> Body;

    /// Takes a buffer back that [`Source::take`] lent for `sequence`.
    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>);

    /// Whether the body of the next new message is at hand. Only bodies that are read while they are sent can be late.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if it can no longer be read.
    #[inline]
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), PayloadError>> {
        Poll::Ready(Ok(()))
    }

    /// The next new message is message 0 again.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if its body cannot be read.
    fn rewind(&mut self) -> Result<(), PayloadError> {
        Ok(())
    }
}

/// One message body.
#[derive(Debug)]
pub struct Body {
    /// The bytes to send.
    pub bytes: Vec<u8>,
    /// CRC-32C of `bytes`.
    pub checksum: u32,
    /// Events inside.
    pub events: u32,
}

/// Why bodies cannot be built, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(pub String);

/// Why an arrived body is corrupt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corruption {
    /// The kind, for counting.
    pub kind: CorruptionKind,
    /// Details, for people.
    pub detail: String,
}

/// Kinds of [`Corruption`], in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CorruptionKind {
    /// The length differs from the sent one.
    Length,
    /// The bytes differ from the sent ones.
    Checksum,
    /// The checksum is right, but events or datasets are not in their places.
    Structure,
    /// The structure is right, but the contents are not those of this message.
    Content,
}

impl Corruption {
    /// A corruption with its detail.
    pub fn new(kind: CorruptionKind, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}

impl CorruptionKind {
    /// Its name in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Checksum => "checksum",
            Self::Structure => "structure",
            Self::Content => "content",
        }
    }
}
