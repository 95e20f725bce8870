//! The system tests, in two parallel processes: most of the time they wait for brokers and for limits.
//!
//! Within a process they come one after another, since they share a testbed. Tests that compare numbers with a known
//! truth come last, by themselves.

use crate::cargo::{cargo, command, root};
use anyhow::{Context, Result, ensure};
use std::{fs::File, io, process::Stdio};

/// Modules whose tests take about as long as all others together.
const ONE_HALF: [&str; 7] =
    ["facility::", "faults::", "managed::", "patterns::", "payloads::", "reconnect::", "routes::"];
/// Tests of measured numbers: other tests in parallel would disturb them.
const ALONE: &str = "truths::";
const OF_SYSTEM: [&str; 4] = ["test", "--workspace", "--test", "system"];
const IN_ORDER: &str = "--test-threads=1";

/// Runs both halves; the output of the second one comes when the first has ended.
pub fn check() -> Result<()> {
    cargo(&[&OF_SYSTEM[..], &["--no-run"]].concat())?;
    let output = root().join("target/system-beside.log");
    let file = File::create(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let one = [&OF_SYSTEM[..], &["--", IN_ORDER], &ONE_HALF[..]].concat();
    let skipped = ONE_HALF.iter().chain([&ALONE]).flat_map(|module| ["--skip", module]);
    let other: Vec<&str> = OF_SYSTEM.into_iter().chain(["--", IN_ORDER]).chain(skipped).collect();
    let mut beside = command(&other)
        .stdin(Stdio::null())
        .stderr(file.try_clone().context("the output of tests cannot be shared")?)
        .stdout(file)
        .spawn()
        .context("cargo does not start")?;
    let ended = command(&one).status();
    let beside = beside.wait();
    let shown = File::open(&output).and_then(|mut file| io::copy(&mut file, &mut io::stdout()));
    shown.with_context(|| format!("{} cannot be shown", output.display()))?;
    ensure!(
        ended.context("cargo does not start")?.success() && beside.context("cargo cannot be waited for")?.success(),
        "tests of the whole failed"
    );
    cargo(&[&OF_SYSTEM[..], &["--", IN_ORDER, ALONE]].concat())
}
