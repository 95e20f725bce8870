//! Ends the process where a blocking collective does not return: MPI itself has no time limits.

use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

/// Exit code of a partial run.
const PARTIAL: i32 = 7;

/// Barks unless it is dropped in time.
#[derive(Debug)]
pub(crate) struct Watchdog(#[expect(dead_code, reason = "dropping it is the signal")] Sender<()>);

impl Watchdog {
    /// Gives `step` until `limit`.
    pub fn watch(step: &'static str, limit: Duration) -> Self {
        let (sender, dropped) = channel();
        std::thread::spawn(move || {
            if dropped.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                eprintln!(
                    "streamharness: MPI did not finish `{step}` within {} s although every rank was there: \
                     a rank died meanwhile; start the run again",
                    limit.as_secs()
                );
                std::process::exit(PARTIAL);
            }
        });
        Self(sender)
    }
}
