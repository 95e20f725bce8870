//! Which failed points of a sweep are tried again at once: those whose route worked before, and failed before anything was sent. So a
//! sweep lives through a broker that is restarted between two points.

use crate::terminal::exit::Exit;
use std::{collections::BTreeSet, time::Duration};

/// The wait before the first further try. It doubles with each.
const PAUSE: Duration = Duration::from_secs(2);
/// A minute in all.
const TRIES_MAX: u32 = 5;
/// The longest wait before a try.
pub const PAUSE_MAX: Duration = PAUSE.saturating_mul(1 << (TRIES_MAX - 1));

/// What worked so far, and the tries of the point in progress.
#[derive(Debug, Default)]
pub struct Again {
    worked: BTreeSet<String>,
    tries: u32,
}

impl Again {
    /// Takes in the result of a point over this architecture, which had sent so many messages. Returns how long to wait before it is
    /// tried again, if it is.
    pub fn take(&mut self, architecture: &str, exit: Exit, sent: u64) -> Option<Duration> {
        if exit != Exit::Route || sent > 0 {
            self.worked.insert(architecture.to_owned());
            self.tries = 0;
            return None;
        }
        if !self.worked.contains(architecture) {
            return None;
        }
        if self.tries == TRIES_MAX {
            // It is gone for good: the next point over it fails at once.
            self.worked.remove(architecture);
            self.tries = 0;
            return None;
        }
        self.tries += 1;
        Some(PAUSE * (1 << (self.tries - 1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_that_worked_before_and_sent_nothing_is_waited_for() {
        let mut again = Again::default();
        assert_eq!(again.take("dts", Exit::Route, 0), None, "it may be wrong");
        assert_eq!(again.take("dts", Exit::Pass, 9), None);
        assert_eq!(again.take("mss", Exit::Route, 0), None, "another one");
        assert_eq!(again.take("dts", Exit::Route, 7), None, "what a fault cut off is a result");
        let waits: Vec<_> =
            std::iter::from_fn(|| again.take("dts", Exit::Route, 0)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [2, 4, 8, 16, 32]);
        assert_eq!(PAUSE_MAX.as_secs(), 32);
        assert_eq!(again.take("dts", Exit::Route, 0), None, "it is gone");
        assert_eq!(again.take("dts", Exit::Pass, 9), None);
        assert_eq!(again.take("dts", Exit::Route, 0), Some(PAUSE), "it is back");
    }
}
