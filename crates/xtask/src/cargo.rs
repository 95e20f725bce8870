//! Starting cargo from a program that cargo started.

use anyhow::{Context, Result, ensure};
use std::{env, path::PathBuf, process::Command};

/// The top of the workspace.
pub fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root.pop();
    root
}

/// Runs cargo at the top of the workspace.
pub fn cargo(arguments: &[&str]) -> Result<()> {
    cargo_with(arguments, &[])
}

/// The same, with more in its environment.
pub fn cargo_with(arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = command(arguments).envs(environment.iter().copied()).status().context("cargo does not start")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// cargo at the top of the workspace, to be started.
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    // Cargo's variables describe xtask and not the next build, and build scripts that read it (ring's) would run
    // again at every change between `cargo` and `cargo xtask`.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}
