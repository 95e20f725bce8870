//! The checks before every commit and in CI: cheapest first, the first failure stops.

use crate::{
    cargo::{cargo, cargo_with},
    fuzz, leftovers, scripts, system,
};
use anyhow::{Context, Result};
use std::time::Instant;

type Step = (&'static str, fn() -> Result<()>);

const STEPS: [Step; 10] = [
    ("format", || cargo(&["fmt", "--all", "--check"])),
    ("leftovers", leftovers::check),
    ("shell scripts parse", scripts::check),
    ("clippy", || cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])),
    ("documentation", || {
        cargo_with(
            &["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"],
            &[("RUSTDOCFLAGS", "-D warnings")],
        )
    }),
    // The system tests start this program.
    ("release build", || cargo(&["build", "--release", "--package", "streamharness", "--quiet"])),
    ("tests in one process", || cargo(&["test", "--workspace", "--exclude", "tests", "--quiet"])),
    ("fuzzing", fuzz::check),
    ("architecture", || cargo(&["test", "--workspace", "--test", "architecture", "--quiet"])),
    ("tests of the whole", system::check),
];

/// Runs every step.
pub fn run() -> Result<()> {
    let all = Instant::now();
    for (name, step) in STEPS {
        println!("ci: {name}");
        let start = Instant::now();
        step().with_context(|| format!("the step `{name}` failed after {:.1} s", start.elapsed().as_secs_f64()))?;
        println!("ci: {name}: ok, {:.1} s", start.elapsed().as_secs_f64());
    }
    println!("ci: all {} steps ok, {:.0} s", STEPS.len(), all.elapsed().as_secs_f64());
    Ok(())
}
