//! Where a rank runs: its host, its cores, its clock.

use crate::time::clock::Clock;
use measure::record::Machine;
use serde::{Deserialize, Serialize};

/// Where a rank runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of this host.
    pub host: String,
    /// What tells this host's clock from others' ([`crate::clock::boot_id`]).
    pub boot: Vec<u8>,
    /// Its cores.
    pub cores: u32,
    /// Those that this rank may use.
    pub allowed: AllowedCores,
    /// This host, for the record.
    pub machine: Machine,
    /// This host's clock.
    pub clock: Clock,
}

/// What this rank may use of its host's cores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedCores {
    /// Numbers of the cores that the launcher or the batch system left it; empty where that cannot be told.
    pub bound: Vec<u32>,
    /// Cores' worth of time that a control group leaves it and all else in the group, where it leaves less.
    pub quota: Option<u32>,
}

impl AllowedCores {
    /// How many it may keep busy at once; none where that cannot be told.
    pub fn count(&self) -> Option<u32> {
        let bound = (!self.bound.is_empty()).then_some(self.bound.len() as u32);
        [bound, self.quota].into_iter().flatten().min()
    }
}
