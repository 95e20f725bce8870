//! Why a run has no result.

use crate::{
    ports::{CommError, Fault},
    run::control::Ending,
};
use measure::Exit;

/// Why a run has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// A step before streaming failed on some ranks.
    #[error("{}", describe(.step, .failures))]
    Failed {
        /// The step.
        step: &'static str,
        /// Failed ranks, each with its fault.
        failures: Vec<(usize, Fault)>,
    },
    /// A rank is gone.
    #[error(transparent)]
    Comm(#[from] CommError),
    /// A rank fell silent while streaming: collectives with it would never end.
    #[error("{0}")]
    RankLost(Ending),
}

impl RunError {
    /// The exit code of a run that it ends: in a step before streaming, the first fault decides.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed { failures, .. } => failures.first().map_or(Exit::Partial, |(_, fault)| fault.kind.exit()),
            Self::Comm(_) | Self::RankLost(_) => Exit::Partial,
        }
    }
}

fn describe(step: &str, failures: &[(usize, Fault)]) -> String {
    let Some((rank, first)) = failures.first() else { return format!("{step} failed") };
    let others = match failures.len() - 1 {
        0 => String::new(),
        n => format!(" ({n} more rank(s) failed too)"),
    };
    format!("{step} failed on rank {rank}: {first}{others}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::FaultKind;

    #[test]
    fn the_first_fault_of_a_step_decides_what_the_program_exits_with() {
        let failed = |kinds: &[FaultKind]| {
            let failures = kinds.iter().enumerate().map(|(rank, kind)| (rank, Fault::new(*kind, "a fault"))).collect();
            RunError::Failed { step: "connecting", failures }.exit()
        };
        for kind in [FaultKind::Unreachable, FaultKind::Login, FaultKind::Tls, FaultKind::Refused, FaultKind::Shortage]
        {
            assert_eq!(failed(&[kind, FaultKind::Broken]), Exit::Route, "{kind:?}");
        }
        assert_eq!(failed(&[FaultKind::Bodies]), Exit::Profile);
        assert_eq!(failed(&[FaultKind::Broken, FaultKind::Lost]), Exit::Partial);
        assert_eq!(RunError::RankLost(Ending::Silent(1)).exit(), Exit::Partial);
    }
}
