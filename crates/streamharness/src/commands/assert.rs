//! `streamharness assert RECORD EXPR...`: checks assertions on finished runs.

use crate::{
    cli::arguments::Assert,
    rank0::demands,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::Failed;
use measure::foreign;
use std::fmt::Write;

/// Prints each, and exits with 5 if one does not hold.
pub fn run(arguments: &Assert) -> Result<Exit, Failure> {
    let assertions = demands::parse(&arguments.assertions)?;
    // Failed runs are checked too: whether a run passed is one of its fields.
    let loaded = figures::load(std::slice::from_ref(&arguments.records), Failed::Use);
    let loaded = loaded.map_err(|error| Failure::new(Exit::Usage, error))?;
    let (mut text, mut all, mut held) = (String::new(), 0, 0);
    for run in &loaded.runs {
        let _ = writeln!(text, "# {}", run.dir.display());
        for outcome in assertions.iter().map(|assertion| assertion.of(&run.record)) {
            all += 1;
            held += usize::from(outcome.holds);
            let word = if outcome.holds { "holds" } else { "fails" };
            let _ = writeln!(text, "{word} {}: {}", outcome.expression, foreign::line(&outcome.measured));
        }
    }
    let exit = if held == all { Exit::Pass } else { Exit::Assertion };
    let word = if held == all { "PASS" } else { "FAIL" };
    let _ = writeln!(text, "# STATUS: {word} {held} of {all} assertions hold");
    stdout::print(&text)?;
    Ok(exit)
}
