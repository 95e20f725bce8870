//! What a connection is for.

use engine::ports::{Role, Worker};
use std::fmt;

/// What a connection is for. One that is held back, or busy with large bodies, must not hold back
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A worker's messages or answers on their way out.
    Publish(Worker),
    /// A worker's messages or answers on their way in.
    Read(Worker),
    /// Exchanges and queues, through the n-th address.
    Topology(u32),
}

impl Purpose {
    /// What tells which workers of a rank may share a connection.
    pub(crate) fn kind(self) -> Option<(bool, Role)> {
        match self {
            Self::Publish(worker) => Some((true, worker.role)),
            Self::Read(worker) => Some((false, worker.role)),
            Self::Topology(_) => None,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worker, word) = match self {
            Self::Topology(_) => return f.write_str("topology"),
            Self::Publish(worker) => (worker, if worker.role == Role::Producer { "" } else { " replies" }),
            Self::Read(worker) => (worker, if worker.role == Role::Consumer { "" } else { " replies" }),
        };
        let role = if worker.role == Role::Producer { "producer" } else { "consumer" };
        write!(f, "{role} {}{word}", worker.index)
    }
}
