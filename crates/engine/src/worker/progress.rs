//! A worker's running counts, for the thread that reports to rank 0.

use crate::{ports::Fault, run::control::Status, time::delay::mixed};
use measure::{Count, LiveBands, LiveCounters};
use std::sync::{
    Arc, Mutex, MutexGuard,
    atomic::{
        AtomicBool, AtomicU32, AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// The published state of one running worker. Only this worker writes it, and the main thread reads it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Its counts.
    pub counts: LiveCounters,
    /// Its latencies.
    pub bands: LiveBands,
    accepted_set: Count,
    distinct_set: Count,
    distinct_replies_set: Count,
    done: AtomicBool,
    /// Its connections that are lost.
    pub down: Arc<Down>,
    fault: Mutex<Option<Fault>>,
    /// Pieces of its ledger that it has handed over, encoded.
    handed: Mutex<Vec<Vec<u8>>>,
    /// Memory that its ledger takes.
    ledger_bytes: AtomicU64,
}

/// The connections of a worker that are lost and not made again yet.
#[derive(Debug, Default)]
pub struct Down {
    now: AtomicU32,
    made_again: AtomicU32,
}

impl Down {
    /// One was lost.
    pub fn lose(&self) {
        self.now.fetch_add(1, AcqRel);
    }

    /// One was made again, or its worker ended.
    pub fn end(&self, made_again: bool) {
        self.made_again.fetch_add(u32::from(made_again), AcqRel);
        self.now.fetch_sub(1, AcqRel);
    }
}

/// The contribution of one message to the sum of a set: sets with equal sums have, almost surely, the same messages.
fn trace(producer: u32, sequence: u64) -> u64 {
    mixed(mixed(u64::from(producer)) ^ sequence)
}

impl Progress {
    /// Counts a message that must arrive.
    pub fn accept(&self, producer: u32, sequence: u64) {
        self.counts.accepted.add(1);
        self.accepted_set.add(trace(producer, sequence));
    }

    /// Counts the first delivery of a message.
    pub fn deliver(&self, producer: u32, sequence: u64) {
        self.counts.distinct.add(1);
        self.distinct_set.add(trace(producer, sequence));
    }

    /// Counts the first reply of a consumer to a message.
    pub fn reply(&self, producer: u32, sequence: u64) {
        self.counts.distinct_replies.add(1);
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

    /// Hands over a piece of its ledger.
    pub fn hand_over(&self, piece: Vec<u8>) {
        self.handed().push(piece);
    }

    /// Takes the pieces that it has handed over.
    pub fn take_handed(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.handed())
    }

    fn handed(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.handed.lock().expect("nobody panics with this lock")
    }

    /// The memory that its ledger takes now.
    pub fn keeps(&self, bytes: usize) {
        self.ledger_bytes.store(bytes as u64, Relaxed);
    }

    /// Its sums.
    pub fn status(&self) -> Status {
        Status {
            // Read first: the counts read after it are then the last ones.
            producers_done: u32::from(self.done.load(Acquire)),
            counters: self.counts.read(),
            bands: self.bands.read(),
            accepted_set: self.accepted_set.get(),
            distinct_set: self.distinct_set.get(),
            distinct_replies_set: self.distinct_replies_set.get(),
            // Before the counts, because a worker that is back may not have done anything yet.
            without_connection: self.down.now.load(Acquire),
            made_again: self.down.made_again.load(Acquire),
            ledger_bytes: self.ledger_bytes.load(Relaxed),
            fault: self.fault.lock().expect("nobody panics with this lock").clone(),
            ..Status::default()
        }
    }
}
