//! Something to stream: bodies for producers, and checks for consumers.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The workload's bodies, the same for the same (plan, producer, sequence) wherever they are made.
pub trait Payloads: Send + Sync + 'static {
    /// Bodies of one producer.
    type Source: Source;

    /// Builds the bodies of a producer. Slow (it fills memory): call it before the clock starts.
    fn source(&self, producer: u32) -> Result<Self::Source, PayloadError>;

    /// The body that a producer's source lends for message `sequence`, by itself.
    fn body(&self, producer: u32, sequence: u64) -> Body;

    /// Events in message `sequence` of `producer`.
    fn events(&self, producer: u32, sequence: u64) -> u32;

    /// Checks a body that arrived as message `sequence` of `producer`: `checksum` is what its
    /// envelope says. Fast enough for every message, on the thread that serves the network.
    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption>;

    /// Whether there is more to check than [`Payloads::verify`] does.
    fn inspects(&self) -> bool;

    /// Checks a body as a reader of its format would, with that format's library: slow, and under
    /// locks of its own, so never called on the thread that serves the network.
    fn inspect(&self, producer: u32, sequence: u64, body: &[u8]) -> Result<(), Corruption>;
}

/// Bodies of one producer, each filled for its message.
pub trait Source: Send + 'static {
    /// The body of message `sequence`. If its buffer is still on loan a new one is built.
    fn take(&mut self, sequence: u64) -> Body;

    /// Takes a buffer back that [`Source::take`] lent for `sequence`.
    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>);
}

/// One message body.
#[derive(Debug)]
pub struct Body {
    /// What is sent.
    pub bytes: Vec<u8>,
    /// CRC-32C of `bytes`.
    pub checksum: u32,
    /// Events inside.
    pub events: u32,
}

/// Bodies that cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(pub String);

/// What is wrong with a body that arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corruption {
    /// To count by.
    pub kind: CorruptionKind,
    /// To look for.
    pub detail: String,
}

/// Kinds of [`Corruption`], in the order in which they are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CorruptionKind {
    /// It is longer or shorter than what was sent.
    Length,
    /// Its bytes are not those that were sent.
    Checksum,
    /// Its checksum is right but its events or datasets are not where they should be.
    Structure,
    /// It is well formed, but what it holds is not this message.
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
