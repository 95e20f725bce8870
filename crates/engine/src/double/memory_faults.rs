//! Faults of the memory broker, and how often each was injected.

use crate::time::delay::mixed;
use std::time::Duration;

/// Faults on demand, each by the number of the copy of a message that reaches a queue, from 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Loses every n-th copy after accepting it.
    pub lose_every: Option<u64>,
    /// Delivers every n-th copy twice.
    pub duplicate_every: Option<u64>,
    /// Delivers every n-th copy twice, the second time flagged as redelivered.
    pub redeliver_every: Option<u64>,
    /// Delivers every n-th copy after the next one of the same producer.
    pub swap_every: Option<u64>,
    /// Flips a bit in every n-th copy.
    pub corrupt_every: Option<u64>,
    /// Puts a foreign message after every n-th copy.
    pub foreign_every: Option<u64>,
    /// Puts a message with the producer's envelope and an invented seal after every n-th copy.
    pub forge_every: Option<u64>,
    /// Rejects every n-th publish.
    pub reject_every: Option<u64>,
    /// Breaks every connection at the n-th publish.
    pub break_at: Option<u64>,
    /// Ends every connection at every n-th publish; clients may connect again. What was not acknowledged comes again.
    pub drop_every: Option<u64>,
    /// How many tries to connect fail after each of these ends.
    pub unreachable: u32,
    /// How many of the publishing connections that are made after such an end reject all that is published over them.
    pub rejecting: u32,
    /// Stands still from the n-th publish on, for this long: nothing is read, confirmed or delivered.
    pub stall: Option<(u64, Duration)>,
    /// The consumer of queues with this suffix starts this late.
    pub late_reader: Option<(&'static str, Duration)>,
    /// Refuses every login.
    pub refuse_login: bool,
    /// Refuses to delete anything.
    pub refuse_deletes: bool,
    /// Never replies to requests to delete something.
    pub silent_deletes: bool,
    /// Hits one in n by chance, drawn from this seed, instead of every n-th.
    pub seed: Option<u64>,
    /// Hits replies, and leaves the messages alone.
    pub replies: bool,
}

/// How often each fault was injected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Injected {
    /// Copies lost.
    pub lost: u64,
    /// Copies delivered a second time without the redelivered flag.
    pub duplicated: u64,
    /// Copies delivered a second time, flagged as redelivered.
    pub redelivered: u64,
    /// Neighbours of one producer that changed places.
    pub swapped: u64,
    /// Copies damaged.
    pub corrupted: u64,
    /// Foreign messages.
    pub foreign: u64,
    /// Messages with the envelope of a producer that did not send them.
    pub forged: u64,
    /// Publishes rejected.
    pub rejected: u64,
    /// Times that all connections were ended.
    pub dropped: u64,
}

/// One kind of fault, so that two do not hit the same messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Lose,
    Duplicate,
    Redeliver,
    Swap,
    Corrupt,
    Foreign,
    Forge,
    Reject,
}

impl Faults {
    /// Whether a fault hits the `number`-th.
    pub(super) fn hit(&self, kind: Kind, number: u64) -> bool {
        let every = match kind {
            Kind::Lose => self.lose_every,
            Kind::Duplicate => self.duplicate_every,
            Kind::Redeliver => self.redeliver_every,
            Kind::Swap => self.swap_every,
            Kind::Corrupt => self.corrupt_every,
            Kind::Foreign => self.foreign_every,
            Kind::Forge => self.forge_every,
            Kind::Reject => self.reject_every,
        };
        every.is_some_and(|n| match self.seed {
            None => number.is_multiple_of(n),
            Some(seed) => mixed(mixed(seed ^ (kind as u64) << 32) ^ number).is_multiple_of(n),
        })
    }
}
