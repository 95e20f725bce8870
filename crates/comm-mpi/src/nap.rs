//! Sleeps between two looks, short at first and longer while nothing happens.

use std::time::Duration;

const SHORTEST: Duration = Duration::from_micros(50);
/// A hundred looks a second cost a waiting rank well under 1 % of a core.
const LONGEST: Duration = Duration::from_millis(10);

/// A row of naps.
#[derive(Debug)]
pub(crate) struct Nap {
    next: Duration,
}

impl Default for Nap {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Nap {
    /// Sleeps, and makes the next nap longer.
    pub fn take(&mut self) {
        std::thread::sleep(self.next);
        self.next = (self.next * 2).min(LONGEST);
    }
}
