//! Sleeps between two looks, short at first and longer while nothing happens.

use std::time::{Duration, Instant};

const SHORTEST: Duration = Duration::from_micros(50);
/// A hundred looks a second cost a waiting rank well under 1 % of a core.
const LONGEST: Duration = Duration::from_millis(10);
/// A nap is this part of the wait so far. What is waited for takes several looks of several ranks (a barrier is a chain of
/// messages), and each may come a nap late.
const PART: u32 = 16;

/// A row of naps.
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
    /// Sleeps, the longer the longer it has been waiting.
    pub fn take(&self) {
        std::thread::sleep((self.since.elapsed() / PART).clamp(SHORTEST, LONGEST));
    }
}
