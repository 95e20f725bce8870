//! What the forwarder counts in each direction.

use crate::Lateness;
use serde::{Deserialize, Serialize};

/// Of one direction, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Handed on; segments that travel as one count as one.
    pub packets: u64,
    /// Their bytes, frame headers included.
    pub bytes: u64,
    /// Lost as requested.
    pub lost: u64,
    /// Held back as requested, and handed on.
    pub held_back: u64,
    /// Lost because the queue was full.
    pub overflowed: u64,
    /// Lost because the device did not take them.
    pub refused: u64,
    /// How late packets were handed on.
    pub late: Lateness,
}

impl Counters {
    /// The difference to an earlier count.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(earlier.packets),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            lost: self.lost.saturating_sub(earlier.lost),
            held_back: self.held_back.saturating_sub(earlier.held_back),
            overflowed: self.overflowed.saturating_sub(earlier.overflowed),
            refused: self.refused.saturating_sub(earlier.refused),
            late: self.late.since(&earlier.late),
        }
    }
}
