//! A worker's running counts, for the thread that reports to rank 0.

use crate::{
    ports::Fault,
    run::control::{Alarms, Status},
    time::delay::mixed,
};
use std::{
    sync::{
        Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    time::Duration,
};

/// Counts of one worker. Only this worker writes them, and the main thread reads them ten times a second, so relaxed
/// ordering is enough.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages published, each once.
    pub sent: Count,
    /// Messages that must arrive.
    pub accepted: Count,
    accepted_set: Count,
    /// Nacks.
    pub rejected: Count,
    /// Messages abandoned after too many rejections.
    pub abandoned: Count,
    /// Deliveries.
    pub received: Count,
    /// First deliveries.
    pub distinct: Count,
    distinct_set: Count,
    /// Deliveries flagged as redelivered.
    pub redelivered: Count,
    /// Corrupt bodies.
    pub corrupt: Count,
    /// Body bytes delivered.
    pub bytes: Count,
    /// Replies.
    pub replies: Count,
    /// First replies.
    pub distinct_replies: Count,
    distinct_replies_set: Count,
    /// Deliveries of foreign messages.
    pub foreign: Count,
    /// Deliveries in the run's name that none of its producers sent.
    pub unexpected: Count,
    done: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds to it.
    #[inline]
    pub fn add(&self, n: u64) {
        // One writer: a load and a store cost a tenth of a locked addition.
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The contribution of one message to the sum of a set: sets with equal sums have, almost surely, the same messages.
fn trace(producer: u32, sequence: u64) -> u64 {
    mixed(mixed(u64::from(producer)) ^ sequence)
}

impl Progress {
    /// Counts a message that must arrive.
    pub fn accept(&self, producer: u32, sequence: u64) {
        self.accepted.add(1);
        self.accepted_set.add(trace(producer, sequence));
    }

    /// Counts the first delivery of a message.
    pub fn deliver(&self, producer: u32, sequence: u64) {
        self.distinct.add(1);
        self.distinct_set.add(trace(producer, sequence));
    }

    /// Counts the first reply of a consumer to a message.
    pub fn reply(&self, producer: u32, sequence: u64) {
        self.distinct_replies.add(1);
        self.distinct_replies_set.add(trace(producer, sequence));
    }

    /// Marks this producer as done: it has settled everything that it sent.
    pub fn finish(&self) {
        // A thread that sees that it is done sees its last counts.
        self.done.store(true, Release);
    }

    /// Reports a fault.
    pub fn fail(&self, fault: Fault) {
        self.fault.lock().expect("nobody panics with this lock").get_or_insert(fault);
    }

    /// Its sums.
    pub fn status(&self) -> Status {
        Status {
            // Read first: the counts read after it are then the last ones.
            producers_done: u32::from(self.done.load(Acquire)),
            sent: self.sent.get(),
            accepted: self.accepted.get(),
            accepted_set: self.accepted_set.get(),
            rejected: self.rejected.get(),
            abandoned: self.abandoned.get(),
            received: self.received.get(),
            distinct: self.distinct.get(),
            distinct_set: self.distinct_set.get(),
            redelivered: self.redelivered.get(),
            corrupt: self.corrupt.get(),
            bytes: self.bytes.get(),
            replies: self.replies.get(),
            distinct_replies: self.distinct_replies.get(),
            distinct_replies_set: self.distinct_replies_set.get(),
            foreign: self.foreign.get(),
            unexpected: self.unexpected.get(),
            alarms: Alarms::default(),
            suspended: Duration::ZERO,
            fault: self.fault.lock().expect("nobody panics with this lock").clone(),
        }
    }
}
