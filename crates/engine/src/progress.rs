//! What a worker shows of itself while it runs, for the thread that reports to rank 0.

use crate::{
    control::{Alarms, Status},
    ports::Fault,
};
use std::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

/// Counts of one worker. It alone writes them; the main thread reads them ten times a second, so
/// relaxed order is enough.
#[derive(Debug, Default)]
pub struct Progress {
    /// Messages published, each once.
    pub sent: Count,
    /// Messages that must arrive.
    pub accepted: Count,
    /// Nacks.
    pub rejected: Count,
    /// Messages given up.
    pub abandoned: Count,
    /// Deliveries.
    pub received: Count,
    /// First deliveries.
    pub distinct: Count,
    /// Deliveries flagged as redelivered.
    pub redelivered: Count,
    /// Bodies that were not what was sent.
    pub corrupt: Count,
    /// Body bytes delivered.
    pub bytes: Count,
    /// Answers.
    pub replies: Count,
    /// First answers.
    pub answered: Count,
    /// Deliveries of somebody else's.
    pub foreign: Count,
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
        self.0.store(self.0.load(Relaxed) + n, Relaxed);
    }

    /// Reads it.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Progress {
    /// Says that this producer has settled everything it sent.
    pub fn finish(&self) {
        self.done.store(true, Relaxed);
    }

    /// Says what broke.
    pub fn fail(&self, fault: Fault) {
        self.fault.lock().expect("nobody panics with this lock").get_or_insert(fault);
    }

    /// Its sums.
    pub fn status(&self) -> Status {
        Status {
            producers_done: u32::from(self.done.load(Relaxed)),
            sent: self.sent.get(),
            accepted: self.accepted.get(),
            rejected: self.rejected.get(),
            abandoned: self.abandoned.get(),
            received: self.received.get(),
            distinct: self.distinct.get(),
            redelivered: self.redelivered.get(),
            corrupt: self.corrupt.get(),
            bytes: self.bytes.get(),
            replies: self.replies.get(),
            answered: self.answered.get(),
            foreign: self.foreign.get(),
            alarms: Alarms::default(),
            fault: self.fault.lock().expect("nobody panics with this lock").clone(),
        }
    }
}
