//! Twenty short runs as a sweep in one launch, over the same runs in a launch each, through one testbed:
//! `cargo bench -p streamharness --bench one_launch`. Needs what `launch/setup` installs.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_streamharness");
/// The limit on the time of one launch, as a part of the time of twenty.
const BAR: f64 = 0.5;
const TRIES: u32 = 3;
const REPETITIONS: u32 = 10;
const CONSUMERS: [&str; 2] = ["1", "2"];
const MESSAGES: &str = "200";

fn main() {
    let place = tempfile::tempdir().expect("a temporary directory can be made");
    let testbed = Testbed::up(&place.path().join("testbed"));
    let experiment = place.path().join("twenty.toml");
    let text = format!(
        "about = 'twenty short runs'\nrepetitions = {REPETITIONS}\n[base]\nmessages = {MESSAGES}\nworkload = 'dstream'\n\
         [axes]\narch = ['dts']\nconsumers = [{}]\n",
        CONSUMERS.join(", ")
    );
    fs::write(&experiment, text).expect("the directory is ours");

    println!("{:<6}{:>14}{:>16}{:>8}", "try", "one launch, s", "20 launches, s", "ratio");
    let mut ratios: Vec<f64> = (0..TRIES).map(|number| try_once(number, &testbed, &experiment, &place)).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    let verdict = if median < BAR { "under" } else { "OVER" };
    println!("median {median:.2}, {verdict} the bar of {BAR}");
}

fn try_once(number: u32, testbed: &Testbed, experiment: &Path, place: &TempDir) -> f64 {
    let results = tempfile::tempdir_in(place).expect("the directory is ours");
    let began = Instant::now();
    testbed.launch(&["sweep".as_ref(), experiment.as_os_str()], results.path());
    let one = began.elapsed().as_secs_f64();
    let began = Instant::now();
    for _ in 0..REPETITIONS {
        for consumers in CONSUMERS {
            let plan = ["--arch", "dts", "--workload", "dstream", "--messages", MESSAGES, "--consumers", consumers];
            testbed.launch(&plan.map(AsRef::as_ref), results.path());
        }
    }
    let twenty = began.elapsed().as_secs_f64();
    println!("{:<6}{one:>14.1}{twenty:>16.1}{:>8.2}", number + 1, one / twenty);
    one / twenty
}

/// A service that is up as long as this lives.
struct Testbed {
    dir: PathBuf,
}

impl Testbed {
    fn up(dir: &Path) -> Self {
        let testbed = Self { dir: dir.to_owned() };
        testbed.done(Command::new(PROGRAM).args(["testbed", "up"]));
        testbed
    }

    /// Four ranks that do this.
    fn launch(&self, arguments: &[&OsStr], results: &Path) {
        let mpirun = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../launch/mpirun");
        let mut command = Command::new(mpirun);
        command.args(["-n", "4", PROGRAM]).args(arguments).arg("--out").arg(results);
        self.done(&mut command);
    }

    fn done(&self, command: &mut Command) {
        let output = command.env("STREAMHARNESS_TESTBED", &self.dir).stdin(Stdio::null()).output();
        let output = output.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Testbed {
    fn drop(&mut self) {
        // It may be exiting with a failure that is reported already.
        let _ = Command::new(PROGRAM).args(["testbed", "down"]).env("STREAMHARNESS_TESTBED", &self.dir).status();
    }
}
