//! Packs what `install` puts below a prefix into a tarball for one MPI, with its checksum.

use crate::{
    cargo::root,
    install::{self, run_program},
};
use anyhow::{Context, Result, bail, ensure};
use std::{env::consts::ARCH, fs, path::PathBuf, process::Command};

/// `--out DIR` [default: target/dist], and `--program FILE` for one that is built already.
pub fn run(flags: &[&str]) -> Result<()> {
    let (mut out, mut program) = (root().join("target/dist"), None);
    for pair in flags.chunks(2) {
        match pair {
            ["--out", dir] => out = std::path::absolute(dir)?,
            ["--program", file] => program = Some(PathBuf::from(file)),
            _ => bail!("dist takes --out DIR and --program FILE"),
        }
    }
    let stage = out.join("stage");
    // Nothing of an earlier one may get into the tarball.
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("{} cannot be removed", stage.display()))?;
    }
    install::install(&stage, program)?;
    let version = run_program(&stage.join("bin/streamharness"), &["--version"])?;
    let name = name(&String::from_utf8_lossy(&version)).context("`streamharness --version` names no MPI")?;
    let folder = out.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    fs::rename(&stage, &folder).with_context(|| format!("{} cannot be renamed", stage.display()))?;
    let tarball = format!("{name}.tar.gz");
    // The same program makes the same tarball.
    let packed = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--use-compress-program=gzip -n"];
    let mtime = format!("--mtime=@{}", committed().unwrap_or_else(|| "0".to_owned()));
    let words = [&packed[..], &[&mtime, "-cf", &tarball, &name]].concat();
    let in_out = |program: &str| {
        let mut command = Command::new(program);
        command.current_dir(&out);
        command
    };
    let status = in_out("tar").args(words).status().context("tar does not start")?;
    ensure!(status.success(), "tar failed");
    let sum = in_out("sha256sum").arg(&tarball).output().context("sha256sum does not start")?;
    ensure!(sum.status.success(), "sha256sum failed");
    fs::write(out.join(format!("{tarball}.sha256")), sum.stdout)?;
    fs::remove_dir_all(&folder)?;
    println!("dist: {}", out.join(&tarball).display());
    Ok(())
}

/// `streamharness-0.1.0-x86_64-linux-openmpi-4.1.4`, by what the program says: its version, then
/// `built for Open MPI v4.1.4, with HDF5 1.10.8`.
fn name(said: &str) -> Option<String> {
    let mut lines = said.lines();
    let version = lines.next()?.split_whitespace().next_back()?;
    let (mpi, _) = lines.next()?.strip_prefix("built for ")?.rsplit_once(", with ")?;
    let is_number = |word: &&str| word.trim_start_matches('v').starts_with(|char: char| char.is_ascii_digit());
    let number = mpi.split_whitespace().find(is_number)?.trim_start_matches('v');
    let words = mpi.split_whitespace().take_while(|word| !is_number(word)).filter(|word| !word.ends_with(':'));
    let kind: String = words.flat_map(str::chars).filter(char::is_ascii_alphanumeric).collect();
    Some(format!("streamharness-{version}-{ARCH}-linux-{}-{number}", kind.to_lowercase()))
}

/// When the commit was made that is checked out, in seconds.
fn committed() -> Option<String> {
    let output = Command::new("git").current_dir(root()).args(["log", "-1", "--format=%ct"]).output().ok()?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned()).filter(|seconds| !seconds.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tarball_is_named_by_version_and_mpi() {
        for (mpi, expected) in [
            ("Open MPI v4.1.4", "openmpi-4.1.4"),
            ("MPICH Version: 4.0.2", "mpich-4.0.2"),
            ("Intel(R) MPI Library 2021.10 for Linux", "intelrmpilibrary-2021.10"),
        ] {
            let name = name(&format!("streamharness 0.1.0\nbuilt for {mpi}, with HDF5 1.10.8\n")).unwrap();
            assert_eq!(name, format!("streamharness-0.1.0-{ARCH}-linux-{expected}"));
        }
        assert_eq!(name("streamharness 0.1.0\n"), None);
    }
}
