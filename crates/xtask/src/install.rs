//! Installs the program below a prefix, with all that belongs to it.

use crate::{
    cargo::{cargo, root},
    licences,
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const PROGRAM: &str = "streamharness";
/// Completions: the shell, and the file of it below the prefix.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/streamharness"),
    ("zsh", "share/zsh/site-functions/_streamharness"),
    ("fish", "share/fish/vendor_completions.d/streamharness.fish"),
];
/// Files and folders of the project, each with its place below the prefix.
const FILES: [(&str, &str); 8] = [
    ("README.md", "share/doc/streamharness/README.md"),
    ("CITATION.cff", "share/doc/streamharness/CITATION.cff"),
    ("LICENSE-MIT", "share/doc/streamharness/LICENSE-MIT"),
    ("LICENSE-APACHE", "share/doc/streamharness/LICENSE-APACHE"),
    ("docs", "share/doc/streamharness/docs"),
    ("profiles", "share/streamharness/profiles"),
    ("launch/reframe", "share/streamharness/reframe"),
    ("launch/slurm", "share/streamharness/slurm"),
];
const MODULE: &str = "launch/modules/streamharness.lua";
/// The licences of everything that is linked into the program.
const LICENCES: &str = "share/doc/streamharness/LICENSES-OF-CRATES.txt";

/// `--prefix DIR`, and `--program FILE` for one that is built already.
pub fn run(flags: &[&str]) -> Result<()> {
    let (mut prefix, mut program) = (None, None);
    for pair in flags.chunks(2) {
        match pair {
            ["--prefix", dir] => prefix = Some(std::path::absolute(dir)?),
            ["--program", file] => program = Some(PathBuf::from(file)),
            _ => bail!("install takes --prefix DIR and --program FILE"),
        }
    }
    let prefix = prefix.context("where to? Give --prefix DIR")?;
    install(&prefix, program)?;
    println!("install: {}", prefix.join("bin").join(PROGRAM).display());
    Ok(())
}

/// Installs `program`, or else one that it builds.
pub fn install(prefix: &Path, program: Option<PathBuf>) -> Result<()> {
    let program = program.map_or_else(build, Ok)?;
    let installed = prefix.join("bin").join(PROGRAM);
    copy(&program, &installed)?;
    for (from, to) in FILES {
        copy(&root().join(from), &prefix.join(to))?;
    }
    let module = format!("share/modulefiles/{PROGRAM}/{}.lua", env!("CARGO_PKG_VERSION"));
    copy(&root().join(MODULE), &prefix.join(module))?;
    write(&prefix.join(LICENCES), licences::text()?.as_bytes())?;
    run_program(&installed, &["man", &prefix.join("share/man/man1").to_string_lossy()])?;
    for (shell, file) in COMPLETIONS {
        write(&prefix.join(file), &run_program(&installed, &["completions", shell])?)?;
    }
    Ok(())
}

fn build() -> Result<PathBuf> {
    cargo(&["build", "--release", "--package", PROGRAM])?;
    let metadata = cargo_metadata::MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    Ok(metadata.target_directory.join("release").join(PROGRAM).into())
}

/// The output of the program, which must succeed.
pub fn run_program(program: &Path, words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program).args(words).output();
    let output = output.with_context(|| format!("{} does not start", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} {} failed: {}", program.display(), words.join(" "), said.trim());
    Ok(output.stdout)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    make_folder_of(file)?;
    fs::write(file, bytes).with_context(|| format!("{} cannot be written", file.display()))
}

/// Copies a file, or a folder with all that is in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
            let entry = entry?;
            // Traces of Python.
            if entry.file_name() != "__pycache__" {
                copy(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        return Ok(());
    }
    make_folder_of(to)?;
    // A program that runs cannot be written to, and can be replaced.
    let _ = fs::remove_file(to);
    fs::copy(from, to).with_context(|| format!("{} cannot be copied to {}", from.display(), to.display()))?;
    Ok(())
}

fn make_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))
}
