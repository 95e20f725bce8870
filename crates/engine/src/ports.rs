//! The ports of a run: [`Transport`] to stream, [`Payloads`] to send, and [`Comm`] between ranks.

mod alarm;
mod comm;
mod loss;
mod payloads;
mod transport;

pub use alarm::Alarm;
pub use comm::{BYTES_MAX, Comm, CommError, POST_BYTES_MAX, agree};
pub use loss::Loss;
pub use payloads::{Body, Corruption, CorruptionKind, PayloadError, Payloads, Source};
pub use transport::{
    ConnectionFacts, Counts, Delivery, Fault, FaultKind, Look, Number, Outcome, Outgoing, Publisher, ReplyTo, Service,
    Subscriber, Transport, Undeleted, Until, Worker,
};
// Of these, the transport writes what the record has.
pub use measure::record::Tls;
// The kind of a worker.
pub use profile::Role;
