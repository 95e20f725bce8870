//! Counts of a worker, which add up over workers and ranks.

use serde::{Deserialize, Serialize};

/// Declares the counters once: the fields, their order in a vector, and their sum.
macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// Counts of one worker, or of many after [`Counters::merge`].
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Counters {
            $($(#[$doc])+ pub $name: u64,)+
        }

        impl Counters {
            /// The names of the counters, in the order of the vector.
            pub const NAMES: [&str; Self::VECTOR_LEN] = [$(stringify!($name)),+];

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
    };
}

counters! {
    /// Messages published for the first time. A re-publish is in `republished`.
    sent,
    /// Messages that the broker accepted.
    confirmed,
    /// Negative confirms, each one counted, so a message can be rejected more than once.
    rejected,
    /// Messages that came back as unroutable, each return counted.
    returned,
    /// Messages published again after a rejection, a return or a reconnection, each time counted.
    republished,
    /// Messages abandoned after the limit on re-publishing.
    abandoned,
    /// Every delivery with a valid envelope of this run, duplicates included.
    received,
    /// Deliveries that the broker flagged as redelivered.
    redelivered,
    /// Deliveries whose body was checked.
    verified,
    /// Checked bodies that differ from the sent ones.
    corrupt,
    /// Of `corrupt`: of the wrong length.
    corrupt_length,
    /// Of `corrupt`: of the right length with the wrong checksum.
    corrupt_checksum,
    /// Of `corrupt`: with the right checksum, and events or datasets that are not in their places.
    corrupt_structure,
    /// Of `corrupt`: well formed, and not the contents of the message in the envelope.
    corrupt_content,
    /// Deliveries without a valid envelope of this run. They are in no other counter.
    foreign,
    /// First deliveries that arrived after a later message of the same producer.
    reordered,
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
    /// Replies with a valid envelope of this run, duplicates included.
    replies,
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
    /// Time for which senders spun until a message was due: CPU time that is not a cost of messages.
    spun_ns,
    /// Connections that were lost and made again.
    reconnects,
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
        assert_eq!(counters.reconnects, Counters::VECTOR_LEN as u64);
        assert_eq!(Counters::NAMES[0], "sent");
    }

    #[test]
    fn merging_is_adding_vectors() {
        let a = Counters::from_vector(&std::array::from_fn(|index| index as u64));
        let mut merged = a;
        merged.merge(&a);
        assert_eq!(merged.to_vector(), a.to_vector().map(|count| count * 2));
    }
}
