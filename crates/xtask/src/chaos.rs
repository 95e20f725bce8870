//! Starting chaos: random faults on random runs of real parts.

use crate::cargo::cargo;
use anyhow::Result;

/// Builds the program that is tested and the one that tests it, and hands the flags on.
pub fn run(flags: &[&str]) -> Result<()> {
    cargo(&["build", "--release", "--package", "streamharness", "--quiet"])?;
    cargo(&[&["run", "--package", "tests", "--bin", "chaos", "--quiet", "--"], flags].concat())
}
