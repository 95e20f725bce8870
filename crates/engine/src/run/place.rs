//! Where a rank runs: its host, its cores, its clock.

use crate::time::clock::Clock;
use measure::record::Machine;
use serde::{Deserialize, Serialize};

/// Where a rank runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Identifies this host's clock ([`crate::clock::boot_id`]).
    pub boot: Vec<u8>,
    /// The cores that this rank may use.
    pub allowed: AllowedCores,
    /// This host, for the record.
    pub machine: Machine,
    /// This host's clock.
    pub clock: Clock,
}

/// The cores of its host that this rank may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedCores {
    /// Numbers of the cores to which the launcher or the batch system binds it; empty if unknown.
    pub bound: Vec<u32>,
    /// Cores' worth of CPU time that a control group allows it, together with all else in the group; `None` without
    /// such a quota.
    pub quota: Option<u32>,
}

impl AllowedCores {
    /// How many it may keep busy at once; `None` if unknown.
    pub fn count(&self) -> Option<u32> {
        let bound = (!self.bound.is_empty()).then_some(self.bound.len() as u32);
        [bound, self.quota].into_iter().flatten().min()
    }
}
