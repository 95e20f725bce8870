//! Why a run has no result.

use crate::{ports::CommError, run::control::Ending};

/// Why a run has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// A step before streaming failed on some ranks.
    #[error("{}", describe(.step, .failures))]
    Failed {
        /// The step.
        step: &'static str,
        /// Failed ranks, each with its sentence.
        failures: Vec<(usize, String)>,
    },
    /// A rank is gone.
    #[error(transparent)]
    Comm(#[from] CommError),
    /// A rank fell silent while streaming: collectives with it would never end.
    #[error("{0}")]
    RankLost(Ending),
}

fn describe(step: &str, failures: &[(usize, String)]) -> String {
    let Some((rank, first)) = failures.first() else { return format!("{step} failed") };
    let others = match failures.len() - 1 {
        0 => String::new(),
        n => format!(" ({n} more rank(s) failed too)"),
    };
    format!("{step} failed on rank {rank}: {first}{others}")
}
