//! The light client: frames on the way of a message are written and read here, on the worker's own thread.
//!
//! lapin keeps what is rare on the same connection: the login, channels, queues, heartbeats, alarms and closing. It sees
//! a stream from which deliveries, confirms and returns were taken, and into which messages and acknowledgements were
//! put between its own frames (docs/decisions/native-client.md).

mod frames;
pub(crate) mod fuzzing;
mod incoming;
mod lane;
mod outgoing;
mod pool;
mod wire;

pub(crate) use frames::{Template, short_name};
pub use pool::Body;
pub(crate) use wire::{Parcel, Receipt, Sent, Wire};
