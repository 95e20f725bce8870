//! Buffers for bodies that arrive, used again once a body was handled.

use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that wait to be used again. More are alive only while deliveries wait.
const KEPT_MAX: usize = 8;
/// A buffer that is larger than its last body by more than this factor is not kept: one body may be far larger than all
/// others.
const KEPT_FACTOR: usize = 4;
const KEPT_BYTES_MIN: usize = 64 << 10;
/// A body grows as it arrives: a service may announce more than it sends.
const AHEAD_BYTES: usize = 4 << 20;

/// Free buffers. Their bytes are those of earlier bodies, so that none is cleared twice.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// A body of `bytes` that is to be filled.
    pub fn body(self: &Arc<Self>, bytes: usize) -> Body {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Body { buffer: free.unwrap_or_default(), bytes, pool: Some(self.clone()) }
    }
}

/// A body that arrived.
#[derive(Debug)]
pub struct Body {
    /// At least as long as the part of the body that has arrived.
    buffer: Vec<u8>,
    bytes: usize,
    pool: Option<Arc<Pool>>,
}

impl Body {
    /// Room for at least one more byte behind the first `filled`, of at most `most`.
    pub(super) fn room(&mut self, filled: usize, most: usize) -> &mut [u8] {
        let to = self.bytes.min(filled + most);
        if self.buffer.len() < to {
            self.buffer.resize(self.bytes.min(to + AHEAD_BYTES), 0);
        }
        &mut self.buffer[filled..to]
    }

    /// Its size, as announced.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl From<Vec<u8>> for Body {
    fn from(buffer: Vec<u8>) -> Self {
        Self { bytes: buffer.len(), buffer, pool: None }
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.bytes]
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(pool) = &self.pool {
            let mut free = pool.0.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < KEPT_MAX && self.buffer.len() <= self.bytes.max(KEPT_BYTES_MIN).saturating_mul(KEPT_FACTOR)
            {
                free.push(std::mem::take(&mut self.buffer));
            }
        }
    }
}
