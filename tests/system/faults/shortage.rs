//! Limits of the system on a rank: files, processes and threads.

use crate::support::{Launch, program, service, slow, workspace};
use nix::unistd::{Gid, Uid, chown};
use std::{ffi::OsString, path::Path, process::Command, time::Duration};

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(120);
const ROUTE: i32 = 3;
const PARTIAL: i32 = 7;
/// With so few open files a rank still reports what it lacks; with so many it needs none more.
const FEWEST: u32 = 21;
const ENOUGH: u32 = 64;

/// Three ranks, each of which may open so many files.
fn with_files(files: u32) -> Launch {
    let script = format!("ulimit -n {files}; exec \"$0\" \"$@\"");
    let before =
        ["-n", "3", "sh", "-c", &script].map(Into::into).into_iter().chain([program().into()]).collect::<Vec<_>>();
    Launch::new(&workspace().join("launch/mpirun"), &before, &["--messages", "100"]).through(service())
}

#[test]
fn too_few_files_for_a_launch_are_reported_with_the_number_that_is_enough() {
    if !slow() {
        return;
    }
    // Too few for what MPI or a thread needs, then for connections: how many that is depends on what was open before.
    let mut without_threads = 0;
    let connecting = (FEWEST..ENOUGH).step_by(2).find_map(|files| {
        let outcome = with_files(files).run(ENDS);
        if outcome.stderr.contains("limit raised to ") {
            return Some(outcome);
        }
        outcome.fails(ROUTE, &[&format!("may open {files} files"), "raise the limit with `ulimit -n"]);
        without_threads += u32::from(outcome.stderr.contains("starting threads failed"));
        None
    });
    let outcome = connecting.expect("too few for connections, and enough for threads");
    assert!(without_threads > 0, "threads need files before connections do {outcome}");
    outcome.fails(ROUTE, &["streamharness: connecting failed on rank 0", " (`ulimit -n`)", "limit raised to "]);
    let (_, after) = outcome.stderr.split_once("limit raised to ").unwrap();
    let enough = after.split(',').next().unwrap().parse().unwrap();
    with_files(enough).run(ENDS).passes();
}

/// One who has no other processes than those of the test: the limit counts all of a user's, and none of root's.
const NOBODY: u32 = 61_234;

#[test]
fn too_few_threads_for_one_rank_end_the_launch_with_the_limit_that_it_met() {
    if !slow() {
        return;
    }
    if !Uid::effective().is_root() {
        println!(
            "too_few_threads_for_one_rank_end_the_launch_with_the_limit_that_it_met: skipped, it takes a user of its own"
        );
        return;
    }
    let ids = ["--reuid", "61234", "--regid", "61234", "--clear-groups"];
    let mpirun = workspace().join("launch/mpirun").into_os_string();
    let start = ids.map(OsString::from).into_iter().chain([mpirun, "-n".into(), "3".into(), program().into()]);
    let url = service().plain_url();
    let load =
        ["--arch", "dts-plain", "--duration", "3s", "--rate", "100/s", "--repeat", "2", "--idle", "0s", "--url", &url];
    let launch = Launch::new(Path::new("setpriv"), &start.collect::<Vec<_>>(), &load)
        .variable("STREAMHARNESS_PASSWORD", service().password());
    let launch = launch.variable("HOME", "/nonexistent");
    for path in [launch.place().to_owned(), launch.place().join("tmp")] {
        chown(&path, Some(Uid::from_raw(NOBODY)), Some(Gid::from_raw(NOBODY))).unwrap();
    }
    let running = launch.streaming(STREAMS);
    // From now on, so that MPI has its threads, and the second run gets none.
    let pid = running.rank(1).to_string();
    let limited = Command::new("setpriv").args(ids).args(["prlimit", "--nproc=1:1", "--pid", &pid]).status().unwrap();
    assert!(limited.success());
    let outcome = running.wait(ENDS);
    assert_eq!(outcome.status.code(), Some(PARTIAL), "{outcome}");
    let told = ["streamharness: starting threads failed on rank 1", "may have 1 processes and threads (`ulimit -u`)"];
    let lines = outcome.stderr.lines().filter(|line| told.iter().all(|part| line.contains(part))).count();
    assert!(lines == 1 && !outcome.stderr.contains("panicked"), "{outcome}");
    let verdict = outcome.stdout.lines().last().unwrap_or_default();
    assert!(verdict.starts_with("# STATUS: FAIL 1 of 2 runs passed; run 2: starting threads failed"), "{outcome}");
}
