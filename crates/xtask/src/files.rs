//! The project's own text files.

use crate::cargo::root;
use anyhow::{Context, Result, ensure};
use std::{fs, process::Command};

/// A text file of the project.
#[derive(Debug)]
pub struct File {
    /// Relative to the top of the workspace.
    pub path: String,
    pub text: String,
}

impl File {
    /// Whether a shell reads it: by its first line, since most of ours have no extension.
    pub fn is_shell(&self) -> bool {
        let first = self.text.lines().next().unwrap_or_default();
        first.starts_with("#!") && first.ends_with("sh")
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// What git tracks, and what it would track after `git add`: a leftover is best found before it is committed.
pub fn all() -> Result<Vec<File>> {
    let output = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("git does not start")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    let mut files = Vec::new();
    for path in String::from_utf8(output.stdout)?.split_terminator('\0') {
        // Gone from the disk but not yet from the index, or binary: nothing to read in it.
        if let Ok(text) = fs::read_to_string(root().join(path)) {
            files.push(File { path: path.to_owned(), text });
        }
    }
    Ok(files)
}
