//! Sleeps between two checks, short at first and longer while nothing happens.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_micros(50);
/// A hundred checks per second cost a waiting rank well under 1 % of a core.
const LONGEST: Duration = Duration::from_millis(10);
/// A nap is this fraction (1/16) of the wait so far. A barrier is a chain of messages that needs several checks of
/// several ranks, and each may be a nap late.
const PART: u32 = 16;

/// A sequence of naps.
#[derive(Debug)]
pub(crate) struct Nap {
    since: Instant,
}

impl Default for Nap {
    fn default() -> Self {
        Self { since: Instant::now() }
    }
}

impl Nap {
    /// Sleeps, longer the longer it has been waiting.
    pub fn take(&self) {
        std::thread::sleep((self.since.elapsed() / PART).clamp(SHORTEST, LONGEST));
    }
}
