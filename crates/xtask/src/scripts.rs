//! Every shell script parses.

use crate::{cargo::root, files};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Has bash parse it; with `-n` bash runs nothing.
pub fn check() -> Result<()> {
    for script in files::all()?.iter().filter(|file| file.is_shell()) {
        let status = Command::new("bash")
            .current_dir(root())
            .args(["-n", &script.path])
            .status()
            .context("bash does not start")?;
        ensure!(status.success(), "{} does not parse", script.path);
    }
    Ok(())
}
