//! The purpose of a connection.

use engine::ports::{Role, Worker};
use std::fmt;

/// The purpose of a connection. A connection that is blocked, or busy with large bodies, must not delay the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A worker's outgoing messages or replies.
    Publish(Worker),
    /// A worker's incoming messages or replies.
    Read(Worker),
    /// Declaration of exchanges and queues, through the n-th address.
    Topology(u32),
}

impl Purpose {
    /// Workers of a rank with the same value may share a connection.
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
