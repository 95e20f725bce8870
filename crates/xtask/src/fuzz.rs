//! libFuzzer over the targets of tests/fuzz, built so that dependencies are shared with the tests.

use crate::cargo::{cargo_with, root};
use anyhow::{Context, Result, bail, ensure};
use std::{fs, process::Command};

/// Seconds per target.
const SECONDS: u64 = 10;
/// In CI: about two minutes for all of them.
const CI_SECONDS: u64 = 3;
/// How long one input may take.
const INPUT_LIMIT_S: u64 = 20;
const MEMORY_MIB: u64 = 2048;
/// libFuzzer draws a seed of its own.
const ANY_SEED: u32 = 0;
/// CI draws the same inputs in each run of the same code, so that a finding is due to the change.
const CI_SEED: u32 = 15;
const CORPUS: &str = "tests/fuzz/corpus";

/// Files of the project that are good inputs already.
const SEEDS: [(&str, &[&str]); 2] = [
    ("profiles", &["profiles/architectures", "profiles/examples", "profiles/experiments", "profiles/workloads"]),
    ("records", &["analysis/example/dts-1", "analysis/example/mss-2"]),
];

/// `[--seconds N] [TARGET...]`: each target for that long, one after another, all of them where none is named.
pub fn run(arguments: &[&str]) -> Result<()> {
    let (seconds, named) = match arguments {
        ["--seconds", seconds, rest @ ..] => (seconds.parse().context("--seconds takes a whole number")?, rest),
        rest => (SECONDS, rest),
    };
    fuzz_each(named, seconds, ANY_SEED)
}

fn fuzz_each(named: &[&str], seconds: u64, seed: u32) -> Result<()> {
    let known = targets()?;
    if let Some(unknown) = named.iter().find(|name| !known.iter().any(|known| known == *name)) {
        bail!("`{unknown}` is not a target: use some of {}", known.join(", "));
    }
    build()?;
    for target in known.iter().filter(|target| named.is_empty() || named.contains(&target.as_str())) {
        fuzz(target, seconds, seed)?;
    }
    Ok(())
}

/// The step of CI: nothing without `STREAMHARNESS_SLOW=1`.
pub fn check() -> Result<()> {
    if std::env::var_os("STREAMHARNESS_SLOW").is_none_or(|value| value != "1") {
        println!("ci: fuzz: left out, STREAMHARNESS_SLOW is not 1; the kept inputs are replayed by the tests");
        return Ok(());
    }
    fuzz_each(&[], CI_SECONDS, CI_SEED)
}

/// Those that inputs are kept for; a test of tests/fuzz compares them with its list.
fn targets() -> Result<Vec<String>> {
    let folders = fs::read_dir(root().join(CORPUS)).with_context(|| format!("{CORPUS} cannot be read"))?;
    let mut names: Vec<String> =
        folders.map(|folder| Ok(folder?.file_name().to_string_lossy().into_owned())).collect::<Result<_>>()?;
    names.sort();
    Ok(names)
}

fn build() -> Result<()> {
    let wrapper = root().join("tests/fuzz/instrument");
    let wrapper = wrapper.to_str().context("the path of the workspace is not UTF-8")?;
    let arguments = ["build", "--package", "fuzz", "--features", "libfuzzer", "--quiet"];
    cargo_with(&arguments, &[("RUSTC_WORKSPACE_WRAPPER", wrapper)])
}

fn fuzz(target: &str, seconds: u64, seed: u32) -> Result<()> {
    let place = root().join("target/fuzz");
    let (found, scratch) = (place.join("corpus").join(target), place.join("tmp").join(target));
    let artifacts = root().join("tests/fuzz/artifacts").join(target);
    for folder in [&found, &scratch, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    let kept = root().join(CORPUS).join(target);
    let seeds = SEEDS.iter().filter(|(name, _)| *name == target).flat_map(|(_, folders)| *folders);
    let ended = Command::new(root().join("target/debug/fuzzer"))
        .env("STREAMHARNESS_FUZZ_TARGET", target)
        .env("TMPDIR", &scratch)
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-seed={seed}"))
        .arg(format!("-timeout={INPUT_LIMIT_S}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args([&found, &kept])
        .args(seeds.map(|folder| root().join(folder)))
        .output()
        .context("the fuzzer does not start")?;
    let _ = fs::remove_dir_all(&scratch);
    let output = String::from_utf8_lossy(&ended.stderr);
    ensure!(
        ended.status.success(),
        "{target}: {} ({})\n  correct it, and move the input from {} to {}, which every `cargo test` replays",
        why(&output),
        ended.status,
        artifacts.display(),
        kept.display()
    );
    println!("fuzz: {target}: {}", last(&output, "DONE").unwrap_or("ended"));
    Ok(())
}

/// The fuzzer's report on a failing input: the panic, and libFuzzer's summary.
fn why(output: &str) -> String {
    let mut lines = output.lines().skip_while(|line| !line.contains(" panicked at "));
    let panic: Vec<&str> = lines.by_ref().take(2).collect();
    let summary = last(output, "SUMMARY:").or_else(|| output.lines().last()).unwrap_or("ended without a reason");
    [panic.as_slice(), &[summary]].concat().join(" ")
}

fn last<'a>(output: &'a str, word: &str) -> Option<&'a str> {
    output.lines().rev().find(|line| line.contains(word)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_reported_with_the_fuzzers_summary() {
        let output = "INFO: Seed: 1\nthread '<unnamed>' (7) panicked at a.rs:1:2:\nno ledger\nnote: run with\n\
            SUMMARY: libFuzzer: deadly signal\nMS: 0\n";
        let expected = "thread '<unnamed>' (7) panicked at a.rs:1:2: no ledger SUMMARY: libFuzzer: deadly signal";
        assert_eq!(why(output), expected);
        assert_eq!(why("SUMMARY: libFuzzer: timeout\n"), "SUMMARY: libFuzzer: timeout");
        assert_eq!(last("#2 INITED\n#9\tDONE   cov: 3\nDone 9 runs\n", "DONE"), Some("#9\tDONE   cov: 3"));
    }
}
