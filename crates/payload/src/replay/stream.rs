//! The messages of one producer, read by a thread while they are sent, never more than fit into a given memory.

use super::Replayed;
use engine::ports::{Body, PayloadError};
use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
    thread::{Builder, JoinHandle},
};

/// Bytes that are handed over at once, if the memory allows it: enough that a lock costs nothing.
const BATCH_BYTES: u64 = 256 << 10;
/// Buffers that wait to be used again.
const SPARE_MAX: usize = 4096;

/// Messages read by a thread of their own, in order.
#[derive(Debug)]
pub struct Streamed {
    replayed: Replayed,
    producer: u32,
    /// Read messages, from `next` on.
    here: VecDeque<Body>,
    next: u64,
    spare: Vec<Vec<u8>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What the reading thread and the producer share.
#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    room: Condvar,
}

#[derive(Debug, Default)]
struct State {
    read: VecDeque<Body>,
    bytes: u64,
    spare: Vec<Vec<u8>>,
    waker: Option<Waker>,
    failed: Option<PayloadError>,
    ended: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Streamed {
    /// Starts to read; the first message must be readable.
    pub fn new(replayed: Replayed, producer: u32) -> Result<Self, PayloadError> {
        let shared = Arc::<Shared>::default();
        replayed.read(producer, 0)?;
        let mut streamed =
            Self { replayed, producer, here: VecDeque::new(), next: 0, spare: Vec::new(), shared, thread: None };
        streamed.start()?;
        Ok(streamed)
    }

    fn start(&mut self) -> Result<(), PayloadError> {
        self.shared = Arc::default();
        let (replayed, producer, shared) = (self.replayed.clone(), self.producer, self.shared.clone());
        let thread = Builder::new().name(format!("read-{producer}")).spawn(move || read(&replayed, producer, &shared));
        let thread = thread.map_err(|error| PayloadError(format!("no thread to read files with: {error}")))?;
        self.thread = Some(thread);
        Ok(())
    }

    fn stop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.room.notify_all();
        if let Some(thread) = self.thread.take() {
            // Its panic would have been reported by itself.
            let _ = thread.join();
        }
    }

    /// Starts anew from the first message.
    pub fn rewind(&mut self) -> Result<(), PayloadError> {
        if self.next == 0 {
            return Ok(());
        }
        self.stop();
        self.here.clear();
        self.next = 0;
        self.start()
    }

    /// Whether the next message has been read.
    pub fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PayloadError>> {
        if !self.here.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.shared.lock();
        if state.read.is_empty() {
            return match &state.failed {
                Some(error) => Poll::Ready(Err(error.clone())),
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            };
        }
        mem::swap(&mut self.here, &mut state.read);
        state.bytes = 0;
        state.spare.append(&mut self.spare);
        state.spare.truncate(SPARE_MAX);
        drop(state);
        self.shared.room.notify_one();
        Poll::Ready(Ok(()))
    }

    /// The body of a message. New ones come in order, each after [`Self::poll_ready`]; one that is sent again is read again.
    pub fn take(&mut self, sequence: u64) -> Body {
        if sequence == self.next
            && let Some(body) = self.here.pop_front()
        {
            self.next += 1;
            return body;
        }
        self.replayed.body(self.producer, sequence)
    }

    /// Takes a buffer back.
    pub fn give_back(&mut self, bytes: Vec<u8>) {
        if bytes.capacity() > 0 && self.spare.len() < SPARE_MAX {
            self.spare.push(bytes);
        }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Memory for what is handed over at once, and for what waits to be sent. As much as waits is being sent, and as much as can be on loan
/// has not come back.
fn limits(replayed: &Replayed) -> (u64, u64) {
    let memory = replayed.plan.memory_bytes;
    let batch = BATCH_BYTES.min(memory / 16);
    let lent = (u64::from(replayed.in_flight) + 3) * replayed.plan.most_bytes();
    (batch, memory.saturating_sub(batch + lent) / 2)
}

/// Reads messages in order, again from the first one after the last one, until it is stopped or fails.
fn read(replayed: &Replayed, producer: u32, shared: &Shared) {
    let mut reader = replayed.reader();
    let (batch_bytes, limit) = limits(replayed);
    let (mut spare, mut batch, mut held) = (Vec::new(), VecDeque::new(), 0u64);
    let mut sequence = 0;
    loop {
        let record = replayed.record(producer, sequence);
        let mut bytes: Vec<u8> = spare.pop().unwrap_or_default();
        let done = reader.read(record, &mut bytes);
        let failed = match done {
            Ok(checksum) => {
                held += bytes.len() as u64;
                batch.push_back(Body { bytes, checksum, events: record.events });
                None
            }
            Err(error) => Some(error),
        };
        sequence += 1;
        if held < batch_bytes && failed.is_none() {
            continue;
        }
        let mut state = shared.lock();
        while !state.ended && !state.read.is_empty() && state.bytes + held > limit {
            state = shared.room.wait(state).unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        if state.ended {
            return;
        }
        state.bytes += held;
        state.read.append(&mut batch);
        held = 0;
        spare.append(&mut state.spare);
        let over = failed.is_some();
        state.failed = failed;
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
        if over {
            return;
        }
    }
}
