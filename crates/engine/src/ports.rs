//! What a run needs of the world: a way to stream, something to stream, and a way for ranks to talk.

mod comm;
mod payloads;
mod transport;

pub use comm::{Comm, CommError, agree};
pub use payloads::{Body, Corruption, CorruptionKind, PayloadError, Payloads, Source};
pub use transport::{
    ConnectionFacts, Delivery, Fault, FaultKind, Outcome, Outgoing, Publisher, Service, Subscriber, Transport,
};
