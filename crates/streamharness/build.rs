//! The sources of this build, for the record: the commit, and versions of the crates that figures depend on.

use std::{fs, process::Command};

/// Crates whose version can change a figure.
const CRATES: [&str; 5] = ["hdf5-metno", "lapin", "mpi", "rustls", "tokio"];
const LOCK: &str = "../../Cargo.lock";
const SOURCES: &str = "../../crates";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={LOCK}");
    println!("cargo::rerun-if-changed={SOURCES}");
    if let Ok(lock) = fs::read_to_string(LOCK) {
        let versions: Vec<String> =
            CRATES.iter().filter_map(|name| Some(format!("{name} {}", version(&lock, name)?))).collect();
        println!("cargo::rustc-env=STREAMHARNESS_CRATES={}", versions.join(","));
    }
    // Without git, or outside of a working copy, the commit is not known.
    if let (Some(commit), Some(log)) = (git(&["rev-parse", "HEAD"]), git(&["rev-parse", "--git-path", "logs/HEAD"])) {
        println!("cargo::rerun-if-changed={log}");
        let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", LOCK, SOURCES]);
        let mark = if changed.is_some_and(|changed| !changed.is_empty()) { "+changes" } else { "" };
        println!("cargo::rustc-env=STREAMHARNESS_COMMIT={commit}{mark}");
    }
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// Of the highest version, if there are several: the lock file lists them ascending.
fn version<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, after) = lock.rsplit_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    after.split('"').next()
}
