//! The runs that a launch carries out in sequence: repetitions of one plan, or the points of a sweep.

use crate::{
    cli::flags,
    launch::{signals::Signals, world::Stop},
    rank0::lead::Lead,
    terminal::exit::{Exit, Failure},
};
use measure::record::Hop;
use profile::{Plan, Profile};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The runs of a launch, on rank 0.
pub trait Agenda {
    /// Whether runs stand apart, as points do: each opens and closes a route of its own, and a failure that all ranks share
    /// ends only the run. Repetitions share the route of the first, and such a failure ends the launch.
    const APART: bool;

    /// Takes in the run that is over, and returns the next one when it is due; `None` ends the launch.
    fn next(&mut self, signals: &Signals) -> Result<Option<Assignment>, Failure>;

    /// Every rank is prepared for the run.
    fn begin(&mut self) -> Result<&mut Lead, Failure>;

    /// The lead of the run in progress.
    fn lead(&mut self) -> Option<&mut Lead>;

    /// No run follows: reports the results of all runs.
    fn end(&mut self) -> Result<Exit, Failure>;

    /// The launch ends early, for a reason that is reported elsewhere.
    fn cut_short(&mut self, _: &Stop) {}

    /// Routes of a testbed that runs may need.
    fn routes(&self) -> Vec<String> {
        Vec::new()
    }

    /// A route was opened for the run.
    fn opened(&mut self, _: &[Hop]) {}
}

/// A run to carry out: rank 0 broadcasts it, and every rank resolves it.
#[derive(Serialize, Deserialize)]
pub struct Assignment {
    /// The profile, which contains the addresses.
    pub profile: Profile,
    /// The plan of a record, as JSON, in place of the profile's.
    pub plan: Option<String>,
    /// The run's number.
    pub run: u32,
    /// How long ranks wait for the next assignment once it is over.
    pub next_within: Duration,
}

impl Assignment {
    /// Its plan for ranks on these hosts.
    pub fn resolve(&self, hosts: &[u32]) -> Result<Plan, Failure> {
        let Some(json) = &self.plan else {
            return Plan::resolve_on(&self.profile, hosts, self.run).map_err(flags::failure);
        };
        let mut plan: Plan = serde_json::from_str(json).expect("rank 0 has read it, and ranks run the same binary");
        if let (Some(replay), Some(found)) = (&mut plan.message.replay, &self.profile.message.files.found) {
            replay.restore(found.clone(), plan.seed).map_err(flags::failure)?;
        }
        Ok(plan.with_run(self.run))
    }
}

/// Draws a run's number.
pub fn draw() -> Result<u32, Failure> {
    SysRng
        .try_next_u32()
        .map_err(|error| Failure::new(Exit::Usage, format!("the system gives no random numbers: {error}")))
}
