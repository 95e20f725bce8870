//! Rewrites golden files.

use crate::cargo::{cargo, cargo_with};
use anyhow::Result;

/// Runs the tests that own golden files and lets them write their results.
pub fn refresh() -> Result<()> {
    const UPDATE: [(&str, &str); 1] = [("UPDATE_GOLDEN", "1")];
    cargo_with(&["test", "-p", "measure", "-p", "payload", "-p", "profile", "-p", "testbed", "--quiet"], &UPDATE)?;
    cargo(&["build", "--release", "--package", "streamharness", "--quiet"])?;
    cargo_with(&["test", "--package", "tests", "--quiet", "--", "--test-threads=1"], &UPDATE)?;
    println!("golden: written; read `git diff` before you commit, a golden file changes only on purpose");
    Ok(())
}
