//! Something to stream: bodies for producers, and checks for consumers.

use std::fmt;

/// The workload's bodies, the same for the same (seed, producer, sequence) wherever they are made.
pub trait Payloads: Send + Sync + 'static {
    /// Bodies of one producer.
    type Source: Source;

    /// Builds the bodies of a producer. Slow (it fills memory): call it before the clock starts.
    fn source(&self, producer: u32) -> Result<Self::Source, PayloadError>;

    /// Checks a body that arrived as message `sequence` of `producer`: `checksum` is what its
    /// envelope says. Fast enough for every message.
    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption>;
}

/// Bodies of one producer, built ahead and stamped for each message.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Corruption {
    /// It is longer or shorter than the workload's bodies.
    Length,
    /// Its bytes are not those that were sent.
    Checksum,
    /// Its checksum is right but its events are not where they should be, or not those of this
    /// message.
    Structure,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "wrong length",
            Self::Checksum => "wrong checksum",
            Self::Structure => "wrong event structure",
        })
    }
}
