//! Bodies on their way through the format's own library, on threads that serve no network.

use crate::ports::{Corruption, Payloads};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, sync::Arc};
use tokio::task::JoinHandle;

/// Which delivery is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// Who received it.
    pub consumer: u32,
    /// Who sent it.
    pub producer: u32,
    /// Its number.
    pub sequence: u64,
    /// When it arrived, in common time.
    pub at_ns: u64,
}

/// A body that is not what was sent, kept to be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exhibit {
    /// Who received it.
    pub consumer: u32,
    /// Who is said to have sent it.
    pub producer: u32,
    /// The number it is said to have.
    pub sequence: u64,
    /// When it arrived, in common time.
    pub at_ns: u64,
    /// What is wrong with it.
    pub corruption: Corruption,
    /// The body.
    pub body: Vec<u8>,
}

impl Inspected {
    /// This delivery with what was found.
    pub fn exhibit(self, corruption: Corruption, body: &[u8]) -> Exhibit {
        let Self { consumer, producer, sequence, at_ns } = self;
        Exhibit { consumer, producer, sequence, at_ns, corruption, body: body.to_vec() }
    }
}

/// The inspections of one consumer. They are few at a time, so that a consumer that is faster than
/// its inspections waits for them and does not fill its memory.
#[derive(Debug)]
pub(crate) struct Inspections<P> {
    payloads: Arc<P>,
    limit: usize,
    pending: VecDeque<JoinHandle<Option<Exhibit>>>,
    done: VecDeque<Exhibit>,
}

impl<P: Payloads> Inspections<P> {
    /// At most `limit` bodies at a time.
    pub fn new(payloads: Arc<P>, limit: usize) -> Self {
        Self { payloads, limit: limit.max(1), pending: VecDeque::new(), done: VecDeque::new() }
    }

    /// Has a body inspected; waits while there are too many before it.
    pub async fn add(&mut self, inspected: Inspected, body: impl AsRef<[u8]> + Send + 'static) {
        while self.pending.len() >= self.limit || self.pending.front().is_some_and(JoinHandle::is_finished) {
            self.finish_first().await;
        }
        let payloads = self.payloads.clone();
        self.pending.push_back(tokio::task::spawn_blocking(move || {
            let body = body.as_ref();
            let found = payloads.inspect(inspected.producer, inspected.sequence, body).err()?;
            Some(inspected.exhibit(found, body))
        }));
    }

    /// The next one that was found to be wrong so far.
    pub fn next_done(&mut self) -> Option<Exhibit> {
        self.done.pop_front()
    }

    /// Waits for all; those found to be wrong that were not told yet.
    pub async fn all_done(mut self) -> VecDeque<Exhibit> {
        while !self.pending.is_empty() {
            self.finish_first().await;
        }
        self.done
    }

    async fn finish_first(&mut self) {
        if let Some(first) = self.pending.pop_front() {
            self.done.extend(first.await.expect("an inspection finds, it does not panic"));
        }
    }
}
