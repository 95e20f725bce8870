//! What the service still has of a run when its consumers are gone, and what may be on its way.

use serde::{Deserialize, Serialize};

/// Messages of a run that the service still had after its consumers had left; `None` if they were not counted, or if the service
/// did not report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Messages that were waiting for consumers.
    pub messages: Option<u64>,
    /// Replies that were waiting for producers.
    pub replies: Option<u64>,
}

/// Whether messages of a run may be neither delivered nor in the service's queues when it ends: not sent yet, or sent
/// to a consumer that has not received them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnTheWay {
    /// Whether messages may be under way.
    pub messages: bool,
    /// Whether replies may be under way.
    pub replies: bool,
}

impl Held {
    /// The service reports nothing.
    pub const NOTHING: Self = Self { messages: Some(0), replies: Some(0) };

    /// The sum of both; known only if both are known.
    pub fn and(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        Self { messages: sum(self.messages, other.messages), replies: sum(self.replies, other.replies) }
    }
}
