//! `streamharness rerun RECORD`: the plan of a run carried out once more.

use crate::{
    cli::arguments::Rerun,
    host::environment,
    launch::{self, world::RESOLVE_LIMIT},
    rank0::{before::Before, runs::Runs},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};

/// Repeats the run inside a launch; outside of one, where it takes several ranks, prints the command that launches them.
pub fn rerun(arguments: &Rerun) -> Result<Exit, Failure> {
    if !environment::is_launched() {
        let before = Before::read(&arguments.record)?;
        if before.plan.placement.world > 1 {
            let typed: Vec<String> = std::env::args().collect();
            stdout::print(&format!("{}\n", before.command(&typed)))?;
            return Ok(Exit::Pass);
        }
    }
    launch::carry_out(RESOLVE_LIMIT, |ranks| {
        Runs::new(&arguments.around, ranks, || {
            let before = Before::read(&arguments.record)?;
            before.fits(&ranks.hosts)?;
            Ok((before.profile(arguments)?, Some(before)))
        })
    })
}
