//! Inspections of bodies by the format's own library, on threads that serve no network.

use crate::ports::{Corruption, CorruptionKind, Payloads};
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

/// The inspections of one consumer. Their number is limited, so that a consumer that is faster than its inspections
/// waits for them instead of filling its memory.
#[derive(Debug)]
pub(crate) struct Inspections<P> {
    payloads: Arc<P>,
    limit: usize,
    pending: VecDeque<(Arrival, JoinHandle<Option<CorruptSample>>)>,
    done: VecDeque<CorruptSample>,
}

impl<P: Payloads> Inspections<P> {
    /// At most `limit` bodies at a time.
    pub fn new(payloads: Arc<P>, limit: usize) -> Self {
        Self { payloads, limit: limit.max(1), pending: VecDeque::new(), done: VecDeque::new() }
    }

    /// Starts the inspection of a body; waits while too many are pending.
    pub async fn add(&mut self, arrival: Arrival, body: impl AsRef<[u8]> + Send + 'static) {
        while self.pending.len() >= self.limit || self.pending.front().is_some_and(|(_, first)| first.is_finished()) {
            self.finish_first().await;
        }
        let payloads = self.payloads.clone();
        let inspection = tokio::task::spawn_blocking(move || {
            let body = body.as_ref();
            let corruption = payloads.inspect(arrival.producer, arrival.sequence, body).err()?;
            Some(CorruptSample { arrival, corruption, body: body.to_vec() })
        });
        self.pending.push_back((arrival, inspection));
    }

    /// The next corrupt body found so far.
    pub fn next_done(&mut self) -> Option<CorruptSample> {
        self.done.pop_front()
    }

    /// Waits for all inspections; returns the corrupt bodies that were not returned yet.
    pub async fn all_done(mut self) -> VecDeque<CorruptSample> {
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
        self.done.extend(first.await.unwrap_or_else(|error| Some(stumbled(error))));
    }
}
