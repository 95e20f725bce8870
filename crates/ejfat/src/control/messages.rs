//! The messages of a control plane, with their field numbers and types.
//!
//! Written by hand from the numbers, as a compiler for .proto files would need a build step. The gaps are the protocol's.

mod reservation;
mod tables;
mod worker;

pub use reservation::{OfReservation, OverviewEntry, OverviewReply, Reservation, Reserve, Senders, Status};
pub use tables::{Count, EpochTable, MemberTable, Tables, TablesRequest};
pub use worker::{Deregister, Register, Registered, SlotRange, State, WorkerStatus};

/// A time: seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Timestamp {
    /// Seconds.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds, below 10^9.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl Timestamp {
    /// The time of that many microseconds since 1970.
    pub fn of_us(us: u64) -> Self {
        let nanos = i32::try_from(us % 1_000_000 * 1000).expect("it is below 10^9");
        Self { seconds: i64::try_from(us / 1_000_000).unwrap_or(i64::MAX), nanos }
    }

    /// Microseconds since 1970; 0 for earlier times.
    pub fn us(self) -> u64 {
        let seconds = u64::try_from(self.seconds).unwrap_or_default();
        seconds.saturating_mul(1_000_000).saturating_add(u64::try_from(self.nanos / 1000).unwrap_or_default())
    }
}

/// No fields: the request of `Version` and `Overview`, and many replies.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Nothing {}

/// The reply to `Version`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct VersionReply {
    /// The source's commit.
    #[prost(string, tag = "1")]
    pub commit: String,
    /// The build.
    #[prost(string, tag = "2")]
    pub build: String,
    /// The version.
    #[prost(string, tag = "3")]
    pub compat_tag: String,
}

#[cfg(test)]
mod tests;
