//! What ended a connection.

use serde::{Deserialize, Serialize};

/// What ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Loss {
    /// The service, with a reason.
    Closed,
    /// The other side, without a reason.
    Ended,
    /// The system or the network.
    Reset,
    /// It was silent: no heartbeat.
    Silent,
    /// The service ended the subscription.
    Cancelled,
    /// A request had no reply in time.
    Late,
    /// The service rejected all that was published over it since it had been made again.
    Rejected,
    /// Something else.
    Other,
}

impl Loss {
    /// Its name in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Ended => "ended",
            Self::Reset => "reset",
            Self::Silent => "silent",
            Self::Cancelled => "cancelled",
            Self::Late => "late",
            Self::Rejected => "rejected",
            Self::Other => "other",
        }
    }
}
