//! What a run tells the outside while it goes on, and what the outside may ask of it.

use crate::{
    ports::Fault,
    result::join::RunResult,
    run::control::{Ending, Status},
};
use measure::{Held, record::LeftBehind};
use std::time::Duration;

/// The outside of a run: progress for people, records for files, signals from both.
pub trait Observer {
    /// A phase begins.
    fn phase(&mut self, _name: &'static str) {}

    /// Rank 0 only, before streaming: the service does something in another way than was asked.
    fn note(&mut self, _sentence: &str) {}

    /// Rank 0 only, ten times a second while streaming.
    fn progress(&mut self, _snapshot: &Snapshot) {}

    /// Rank 0 only: streaming ended before it was complete. What is known is in the snapshot; what
    /// follows may not be reached, if the launcher ends the processes first.
    fn cut_short(&mut self, _snapshot: &Snapshot, _ending: &Ending) {}

    /// Rank 0 only: a rank is lost, so that no result follows. The snapshot is that of [`Self::cut_short`], with what the
    /// service told since.
    fn rank_lost(&mut self, _snapshot: &Snapshot, _ending: &Ending) {}

    /// Rank 0 only: everything is known. Called before queues are deleted.
    fn result(&mut self, _result: &RunResult) {}

    /// Rank 0 only, at the very end: what was declared and could not be deleted, and why.
    fn left_behind(&mut self, _left: Vec<LeftBehind>, _why: &Fault) {}

    /// Asked often: why the run should stop, such as `SIGINT`.
    fn stop_requested(&self) -> Option<String> {
        None
    }
}

/// Sums of all ranks at one moment.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Since the start of streaming that all ranks have in common; zero before it.
    pub elapsed: Duration,
    /// Sums over all ranks.
    pub total: Status,
    /// Sums of each rank.
    pub ranks: Vec<Status>,
    /// What the service still has, where it was asked.
    pub held: Held,
}
