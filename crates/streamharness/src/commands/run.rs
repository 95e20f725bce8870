//! `streamharness run`, also without its name: one plan, carried out once or repeated (`--repeat`, `--until`).

use crate::{
    cli::{arguments::Run, flags},
    launch::{self, world::RESOLVE_LIMIT},
    rank0::runs::Runs,
    terminal::exit::{Exit, Failure},
};

/// Takes part in it as one of its ranks.
pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    launch::carry_out(RESOLVE_LIMIT, |ranks| {
        Runs::new(&arguments.around, ranks, || Ok((flags::profile(arguments)?, None)))
    })
}
