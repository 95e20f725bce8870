//! The system tests, in three parallel processes: much of the time they wait for brokers and for limits. A fourth one would
//! leave two cores no idle time, and save a minute.
//!
//! Within a process they come one after another, since they share a testbed. Tests that compare numbers with a known
//! truth come last, by themselves.

use crate::cargo::{cargo, command, root};
use anyhow::{Context, Result, ensure};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    time::Instant,
};

/// Modules whose tests take about as long as those of the other list, and as all that are in none.
const PARTS: [&[&str]; 2] = [
    &["facility::", "faults::", "kubernetes::", "mpis::", "neighbours::", "payloads::", "reconnect::"],
    &[
        "ejfat::",
        "hosts::",
        "managed::",
        "patterns::",
        "predicted::",
        "resilience::",
        "routes::",
        "swept::",
        "unpacked::",
    ],
];
/// Tests of measured numbers: other tests in parallel would disturb them.
const ALONE: &str = "truths::";
const OF_SYSTEM: [&str; 4] = ["test", "--workspace", "--test", "system"];
const IN_ORDER: &str = "--test-threads=1";

/// Runs all parts; the output of each comes when those before it have ended.
pub fn check() -> Result<()> {
    cargo(&[&OF_SYSTEM[..], &["--no-run"]].concat())?;
    let begun = Instant::now();
    let named = PARTS.iter().flat_map(|part| part.iter());
    let rest = named.chain([&ALONE]).flat_map(|module| ["--skip", module]).collect();
    let parts: Vec<Vec<&str>> = PARTS.iter().map(|part| part.to_vec()).chain([rest]).collect();
    let started: Vec<(PathBuf, Child)> =
        (1..).zip(&parts).map(|(number, part)| start(number, part)).collect::<Result<_>>()?;
    let mut passed = true;
    for (output, mut child) in started {
        // Every part is waited for, so that none is left behind.
        let ended = child.wait();
        let seconds = begun.elapsed().as_secs();
        show(&output)?;
        println!("ci: this part ended within {seconds} s");
        passed &= ended.context("cargo cannot be waited for")?.success();
    }
    ensure!(passed, "tests of the whole failed");
    cargo(&[&OF_SYSTEM[..], &["--", IN_ORDER, ALONE]].concat())
}

/// Starts the tests that `filter` selects; what they print goes to the file.
fn start(number: usize, filter: &[&str]) -> Result<(PathBuf, Child)> {
    let output = root().join(format!("target/system-{number}.log"));
    let file = File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let child = command(&[&OF_SYSTEM[..], &["--", IN_ORDER], filter].concat())
        .stdin(Stdio::null())
        .stderr(file.try_clone().context("the output of tests cannot be shared")?)
        .stdout(file)
        .spawn()
        .context("cargo does not start")?;
    Ok((output, child))
}

fn show(output: &Path) -> Result<()> {
    let shown = File::open(output).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
    shown.map(drop).with_context(|| format!("{} cannot be shown", output.display()))
}
