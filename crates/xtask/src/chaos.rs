//! Starting chaos: random faults on random runs of real parts.

use crate::cargo::cargo;
use anyhow::Result;

/// Builds the tested program and the testing one, and forwards the flags.
pub fn run(flags: &[&str]) -> Result<()> {
    cargo(&["build", "--release", "--package", "streamharness", "--quiet"])?;
    cargo(&[&["run", "--package", "tests", "--bin", "chaos", "--quiet", "--"], flags].concat())
}
