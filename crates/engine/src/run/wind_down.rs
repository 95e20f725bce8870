//! How long a run may take to end, once streaming is over: a service that is gone or hangs must not delay the record.

use std::time::{Duration, Instant};

/// For a run that was cut short: the time from the end of streaming to the end of all requests to the service.
pub const WIND_DOWN_MAX: Duration = Duration::from_secs(10);
/// Time limits, from the end of streaming: for the workers to report, to close their connections, and for the service
/// to report the messages it holds.
const STOPPED: Duration = Duration::from_secs(5);
const CLOSED: Duration = Duration::from_secs(6);
const COUNTED: Duration = Duration::from_secs(8);
/// Even if the reduction took long, the service gets at least this long to reply.
const REPLY_AT_LEAST: Duration = Duration::from_secs(2);

/// The end of a run, with the time at which streaming ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WindDown(Instant);

impl WindDown {
    /// Begins now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// How long workers may take to report.
    pub fn to_stop(self) -> Duration {
        self.left_of(STOPPED)
    }

    /// How long connections may take to be closed.
    pub fn to_close(self) -> Duration {
        self.left_of(CLOSED)
    }

    /// How long the service may take to report the messages it holds.
    pub fn to_count(self) -> Duration {
        self.left_of(COUNTED).max(REPLY_AT_LEAST)
    }

    /// How long the service may take to delete what the run declared.
    pub fn to_delete(self) -> Duration {
        self.left_of(WIND_DOWN_MAX).max(REPLY_AT_LEAST)
    }

    fn left_of(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_ends_before_the_next_one_and_the_last_within_the_limit() {
        let now = WindDown::begin();
        let steps = [now.to_stop(), now.to_close(), now.to_count(), now.to_delete()];
        assert!(steps.is_sorted(), "{steps:?}");
        assert!(now.to_delete() <= WIND_DOWN_MAX);
        let late = WindDown(Instant::now().checked_sub(2 * WIND_DOWN_MAX).unwrap());
        assert_eq!((late.to_stop(), late.to_close()), (Duration::ZERO, Duration::ZERO));
        assert_eq!((late.to_count(), late.to_delete()), (REPLY_AT_LEAST, REPLY_AT_LEAST));
    }
}
