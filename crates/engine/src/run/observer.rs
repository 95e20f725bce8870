//! The interface of a run to the outside: progress and results out, requests to stop in.

use crate::{
    ports::Fault,
    result::join::RunResult,
    run::{
        control::{Ending, Status},
        phase::Phase,
    },
    time::clock::Clock,
};
use measure::{Held, record::LeftBehind};
use profile::Side;
use std::time::Duration;

/// Receives a run's progress and results, and may request its end.
pub trait Observer {
    /// A phase begins.
    fn phase(&mut self, _phase: Phase) {}

    /// Rank 0 only, before streaming: the service applies a setting differently than requested.
    fn note(&mut self, _sentence: &str) {}

    /// Rank 0 only, before streaming: the run waits so long at most for programs of others at this end of these queues.
    fn awaits(&mut self, _side: Side, _queues: &[String], _limit: Duration) {}

    /// The common start of streaming is known, which is shortly ahead.
    fn starts(&mut self, _clock: Clock, _start_ns: u64) {}

    /// Rank 0 only, ten times a second while streaming.
    fn progress(&mut self, _snapshot: &Snapshot) {}

    /// Rank 0 only: streaming ended before it was complete. The snapshot has everything known so far. Later calls may
    /// not happen, if the launcher ends the processes first.
    fn cut_short(&mut self, _snapshot: &Snapshot, _ending: &Ending) {}

    /// Rank 0 only: a rank is lost, so that no result follows. The snapshot is that of [`Self::cut_short`], with the
    /// service's reports since then.
    fn rank_lost(&mut self, _snapshot: &Snapshot, _ending: &Ending) {}

    /// Rank 0 only: the result is complete. Called before queues are deleted.
    fn result(&mut self, _result: &RunResult) {}

    /// Rank 0 only, at the very end: the objects that were declared and could not be deleted, and why.
    fn left_behind(&mut self, _left: Vec<LeftBehind>, _why: &Fault) {}

    /// Called often: the reason to stop the run, such as `SIGINT`; `None` to continue.
    fn stop_requested(&self) -> Option<String> {
        None
    }
}

/// Sums of all ranks at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Time since the common start of streaming; zero before it.
    pub elapsed: Duration,
    /// Sums over all ranks.
    pub total: Status,
    /// Sums of each rank.
    pub ranks: Vec<Status>,
    /// Messages that the service still holds, if they were counted.
    pub held: Held,
}
