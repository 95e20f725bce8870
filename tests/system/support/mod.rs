//! What the tests are written in: launches, what came of them, and the service they stream through.

pub mod amqp;
pub mod broker;
pub mod browser;
pub mod launch;
pub mod outcome;
pub mod processes;
pub mod relay;
pub mod s2cs;
pub mod slurm;

pub use broker::{Broker, service};
pub use launch::{
    Ended, Launch, Running, Turn, by_shell, mpirun, mpirun_with_a_late_rank_0, single, srun, srun_with, words,
};
pub use outcome::Outcome;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How often something that is waited for is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The top of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package is in the workspace")
}

/// The released program: what people run, and the only build whose times mean anything.
pub fn program() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let program = workspace().join(target).join("release/streamharness");
    assert!(program.exists(), "there is no {}: cargo build --release -p streamharness", program.display());
    program
}

/// A new directory that the broker's user can pass through, removed at the end of the test.
pub fn place() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("streamharness-system-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

/// Whether slow tests run (`STREAMHARNESS_SLOW=1`, as in CI); where they do not, a test that asks prints that it was skipped.
pub fn slow() -> bool {
    let slow = std::env::var_os("STREAMHARNESS_SLOW").is_some_and(|value| value == "1");
    if !slow {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        println!("{test}: skipped, STREAMHARNESS_SLOW=1 runs it");
    }
    slow
}

/// Looks until there is something, at most `limit`.
pub fn within<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        match look() {
            Some(found) => return Some(found),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(LOOK_EVERY),
        }
    }
}
