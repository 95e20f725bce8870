//! `streamharness sweep`: every point of an experiment in one launch of the largest size; ranks that a point does not need
//! sleep through it.

use crate::{
    cli::{arguments, flags},
    launch::{self, Ranks},
    rank0::sweep::Sweep,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use std::time::Duration;

/// How long rank 0 may take to find, in results of an earlier launch, what is left to do.
const FIND_LIMIT: Duration = Duration::from_secs(120);

/// Takes part in a sweep as one of its ranks, or prints its plan.
pub fn sweep(arguments: &arguments::Sweep) -> Result<Exit, Failure> {
    if arguments.plan {
        flags::without_role(arguments.role)?;
        let ranks = Ranks { hosts: vec![0; arguments.ranks], roles: Vec::new() };
        stdout::print(&Sweep::new(arguments, &ranks)?.plan())?;
        return Ok(Exit::Pass);
    }
    launch::carry_out(FIND_LIMIT, |ranks| {
        let mut sweep = Sweep::new(arguments, ranks)?;
        sweep.find_done(arguments.resume)?;
        sweep.leave_out()?;
        sweep.check_faults()?;
        sweep.announce();
        Ok(sweep)
    })
}
