//! Counts of a worker, which add up over workers and ranks.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with one writer, which others may read meanwhile. They look ten times a second, so relaxed order is enough.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it; a sum over sets may wrap.
    #[inline]
    pub fn add(&self, n: u64) {
        // One writer: a load and a store cost a tenth of a locked addition.
        self.0.store(self.get().wrapping_add(n), Relaxed);
    }

    /// Reads it.
    #[inline]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Declares the counters once: the fields, their order in a vector, their sum, and the form in which a worker counts.
macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Counts of one worker, or of many after [`Counters::merge`].
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// The names of the counters, in the order of the vector.
            pub const NAMES: [&str; Self::VECTOR_LEN] = [$(stringify!($name)),+];

            /// What each of them counts.
            pub const ABOUT: [&str; Self::VECTOR_LEN] = [$(concat!($($doc),+)),+];

            /// How many counters there are.
            pub const VECTOR_LEN: usize = [$(stringify!($name)),+].len();

            /// All counters, to be summed over ranks.
            pub fn to_vector(&self) -> [u64; Self::VECTOR_LEN] {
                [$(self.$name),+]
            }

            /// The counters of a summed vector.
            pub fn from_vector(vector: &[u64; Self::VECTOR_LEN]) -> Self {
                let [$($name),+] = *vector;
                Self { $($name),+ }
            }

            /// Adds the counts of another worker or rank.
            pub fn merge(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }

        /// The same counts while a worker is at work.
        #[derive(Debug, Default)]
        pub struct LiveCounters {
            $($(#[doc = $doc])+ pub $name: Count,)+
        }

        impl LiveCounters {
            /// The counts so far.
            pub fn read(&self) -> Counters {
                Counters { $($name: self.$name.get()),+ }
            }
        }
    };
}

counters! {
    /// Messages published for the first time.
    sent,
    /// Messages that must arrive: confirmed or, without confirms, written.
    accepted,
    /// Negative confirms, each one counted, so a message can be rejected more than once.
    rejected,
    /// Messages abandoned after the limit on re-publishing.
    abandoned,
    /// Every delivery with a valid envelope of this run, duplicates included; every delivery at all if producers are programs of others.
    received,
    /// Of `received`: messages that their consumer had not had before.
    distinct,
    /// Deliveries that the broker flagged as redelivered.
    redelivered,
    /// Checked bodies, of messages and of replies, that differ from the sent ones.
    corrupt,
    /// Messages of the wrong length.
    corrupt_length,
    /// Messages of the right length with the wrong checksum.
    corrupt_checksum,
    /// Messages with the right checksum, and events or datasets that are not in their places.
    corrupt_structure,
    /// Well-formed messages with the contents of another one than the envelope names.
    corrupt_content,
    /// Bodies of messages that the format's library inspected.
    inspected,
    /// CPU time of these inspections.
    inspection_ns,
    /// Deliveries without an envelope of this run. They are in no other counter, unless producers are programs of others.
    foreign,
    /// Messages of external producers without the time at which they were sent, where the run wants to know it.
    without_timestamp,
    /// Deliveries in the run's name that none of its producers sent. They are in no other counter.
    unexpected,
    /// Replies with a valid envelope of this run, duplicates included.
    replies,
    /// Of `replies`: those that their producer had not had before.
    distinct_replies,
    /// Body bytes of `sent`.
    bytes_sent,
    /// Body bytes of `received`.
    bytes_received,
    /// Events inside `sent`.
    events_sent,
    /// Events inside `received`.
    events_received,
    /// Deliveries inside the measured window.
    in_window_messages,
    /// Body bytes of `in_window_messages`.
    in_window_bytes,
    /// Events inside `in_window_messages`.
    in_window_events,
    /// How often the service blocked a connection (`connection.blocked`: a memory or disk alarm).
    blocked_times,
    /// Blocked time, summed over all connections.
    blocked_ns,
    /// Messages that were overdue by more than a millisecond when they were sent, because of an earlier stall.
    catchup_messages,
    /// Time in which the service held a sender with a message to send back: for a confirm, a credit, the socket, or
    /// after a rejection.
    backpressure_ns,
    /// Time in which a sender had an overdue message, whatever the reason. With a schedule, `backpressure_ns` is part
    /// of it.
    late_ns,
    /// Messages that were due inside the measured window, sent or not.
    in_window_due,
    /// Of `in_window_due`: sent before the window ended.
    in_window_in_time,
    /// Messages that were due before their sender stopped, and were never sent.
    unsent,
    /// Time in which a sender had a message to send whose body had not been read from its file.
    reading_ns,
    /// Arrived bodies that were written, to be looked at.
    kept,
    /// Time that consumers spent on it.
    keeping_ns,
    /// Time for which senders spun until a message was due: CPU time that is not a cost of messages.
    spun_ns,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_carries_every_counter_to_its_own_place() {
        let vector = std::array::from_fn(|index| index as u64 + 1);
        let counters = Counters::from_vector(&vector);
        assert_eq!(counters.to_vector(), vector);
        assert_eq!(counters.sent, 1);
        assert_eq!(counters.spun_ns, Counters::VECTOR_LEN as u64);
        assert_eq!(Counters::NAMES[0], "sent");
    }

    #[test]
    fn merging_is_adding_vectors() {
        let a = Counters::from_vector(&std::array::from_fn(|index| index as u64));
        let mut merged = a;
        merged.merge(&a);
        assert_eq!(merged.to_vector(), a.to_vector().map(|count| count * 2));
    }

    #[test]
    fn what_a_worker_counts_is_read_under_the_same_names() {
        let live = LiveCounters::default();
        live.sent.add(2);
        live.sent.add(3);
        live.spun_ns.add(7);
        assert_eq!(live.read(), Counters { sent: 5, spun_ns: 7, ..Counters::default() });
    }
}
