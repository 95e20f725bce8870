//! Inspections of bodies by the format's own library, on threads that serve no network.

use crate::{
    host::usage::thread_cpu_ns,
    ports::{Corruption, CorruptionKind, Payloads},
    worker::budget::Budget,
};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use tokio::task::JoinHandle;

/// One delivery, as described by its envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrival {
    /// The consumer that received it.
    pub consumer: u32,
    /// The producer in its envelope.
    pub producer: u32,
    /// The sequence in its envelope.
    pub sequence: u64,
    /// When it arrived, in common time.
    pub at_ns: u64,
}

/// A corrupt body, kept for people to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorruptSample {
    /// Its delivery.
    pub arrival: Arrival,
    /// Why it is corrupt.
    pub corruption: Corruption,
    /// The body.
    pub body: Vec<u8>,
}

/// One inspection that has ended.
#[derive(Debug)]
pub(crate) struct Inspected {
    /// CPU time that it took.
    pub cpu_ns: u64,
    /// The body, if it is corrupt.
    pub found: Option<CorruptSample>,
}

/// The inspections of one consumer. Their number is limited, so that a consumer that is faster than its inspections
/// waits for them instead of filling its memory.
#[derive(Debug)]
pub(crate) struct Inspections<P> {
    payloads: Arc<P>,
    budget: Option<Arc<Budget>>,
    limit: usize,
    pending: VecDeque<(Arrival, JoinHandle<Inspected>)>,
    done: VecDeque<Inspected>,
}

impl<P: Payloads> Inspections<P> {
    /// At most `limit` bodies at a time; all that the format's library can inspect or, with a budget, as many as it
    /// allows.
    pub fn new(payloads: Arc<P>, limit: usize, budget: Option<Arc<Budget>>) -> Self {
        Self { payloads, budget, limit: limit.max(1), pending: VecDeque::new(), done: VecDeque::new() }
    }

    /// Whether a body is to be inspected; then [`Self::add`] takes it.
    pub fn wants(&self, arrival: &Arrival) -> bool {
        self.payloads.inspects()
            && self.budget.as_ref().is_none_or(|budget| budget.admits(arrival.producer, arrival.at_ns))
    }

    /// Starts the inspection of a body; waits while too many are pending.
    pub async fn add(&mut self, arrival: Arrival, body: impl AsRef<[u8]> + Send + 'static) {
        while self.pending.len() >= self.limit || self.pending.front().is_some_and(|(_, first)| first.is_finished()) {
            self.finish_first().await;
        }
        let payloads = self.payloads.clone();
        let budget = self.budget.clone();
        let inspection = tokio::task::spawn_blocking(move || {
            let spending = Spending { budget, at_ns: arrival.at_ns, from_ns: thread_cpu_ns() };
            let body = body.as_ref();
            let found = payloads.inspect(arrival.producer, arrival.sequence, body).err();
            let found = found.map(|corruption| CorruptSample { arrival, corruption, body: body.to_vec() });
            Inspected { cpu_ns: spending.so_far_ns(), found }
        });
        self.pending.push_back((arrival, inspection));
    }

    /// The next inspection that has ended.
    pub fn next_done(&mut self) -> Option<Inspected> {
        self.done.pop_front()
    }

    /// Waits for all inspections; returns those that were not returned yet.
    pub async fn all_done(mut self) -> VecDeque<Inspected> {
        while !self.pending.is_empty() {
            self.finish_first().await;
        }
        self.done
    }

    async fn finish_first(&mut self) {
        let Some((arrival, first)) = self.pending.pop_front() else { return };
        // A body that makes the library panic is corrupt; the other inspections continue.
        let stumbled = |error| CorruptSample {
            arrival,
            corruption: Corruption::new(CorruptionKind::Content, format!("its inspection broke off: {error}")),
            body: Vec::new(),
        };
        self.done.push_back(first.await.unwrap_or_else(|error| Inspected { cpu_ns: 0, found: Some(stumbled(error)) }));
    }
}

/// Charges an inspection to its budget when it ends, even by a panic.
struct Spending {
    budget: Option<Arc<Budget>>,
    at_ns: u64,
    /// CPU time of the thread when it began.
    from_ns: u64,
}

impl Spending {
    fn so_far_ns(&self) -> u64 {
        thread_cpu_ns() - self.from_ns
    }
}

impl Drop for Spending {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.spend(self.at_ns, self.so_far_ns());
        }
    }
}
