//! Ends the process if a call of MPI does not return: MPI itself has no time limits.

use engine::awake::Patience;
use std::{
    io::Write,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

/// Exit code of a partial run.
const PARTIAL: i32 = 7;

/// Ends the process unless it is dropped in time.
#[derive(Debug)]
pub(crate) struct Watchdog(#[expect(dead_code, reason = "dropping it is the signal")] Sender<()>);

impl Watchdog {
    /// Gives a collective until `limit`.
    pub fn watch(step: &'static str, limit: Duration) -> Self {
        let why = format!(
            "MPI did not finish `{step}` within {} s although every rank was there: a rank died meanwhile; start the run again",
            limit.as_secs()
        );
        Self::with_sentence(why, limit)
    }

    /// Ends the process at `limit` with `why`, unless it is dropped before. If the system has no thread left there is no
    /// watchdog: it is needed only if a rank dies or hangs within a call of MPI.
    pub fn with_sentence(why: String, limit: Duration) -> Self {
        let (sender, dropped) = channel();
        let watching = move || {
            if Patience::new(limit).receive(&dropped) == Err(RecvTimeoutError::Timeout) {
                // In one call, so that lines of several ranks are not mixed.
                let _ = std::io::stderr().write_all(format!("streamharness: {why}\n").as_bytes());
                std::process::exit(PARTIAL);
            }
        };
        // Nothing waits for it.
        let _ = thread::Builder::new().name("watchdog".to_owned()).spawn(watching);
        Self(sender)
    }
}
