//! No address given, no testbed running: the program builds one for itself.

use crate::support::{mpirun, processes, single, within};
use nix::sys::signal::Signal;
use std::{path::Path, time::Duration};

const LIMIT: Duration = Duration::from_secs(150);
const BUILT: Duration = Duration::from_secs(120);
/// How soon a testbed is gone whose owner was killed.
const GONE: Duration = Duration::from_secs(20);

#[track_caller]
fn vanishes(testbed: &Path, limit: Duration) {
    let name = testbed.to_str().unwrap();
    let gone = || (!testbed.exists() && processes::of_directory(name).is_empty()).then_some(());
    assert!(within(limit, gone).is_some(), "left: {name} {:#?}", processes::of_directory(name));
}

#[test]
fn a_launch_without_an_address_builds_a_testbed_reports_it_and_removes_it() {
    let running = mpirun(4, &["--messages", "500"]).start();
    let testbed = running.testbed(BUILT);
    let outcome = running.wait(LIMIT);
    assert_eq!(outcome.passes().integrity.delivered, 500);
    assert_eq!(outcome.stderr.matches("no testbed running: building a 1-node testbed").count(), 1, "{outcome}");
    vanishes(&testbed, Duration::ZERO);
}

#[test]
fn a_testbed_does_not_outlive_rank_0_that_was_killed_while_streaming() {
    let mut running = mpirun(2, &["--duration", "60s"]).start();
    let testbed = running.testbed(BUILT);
    running.streams(BUILT);
    processes::send(running.rank(0), Signal::SIGKILL);
    let outcome = running.wait(Duration::from_secs(20));
    assert!(!outcome.status.success(), "{outcome}");
    vanishes(&testbed, GONE);
}

#[test]
fn ctrl_c_while_the_testbed_starts_leaves_nothing_of_it() {
    let mut running = single(&["--messages", "500"]).start();
    let testbed = running.testbed(BUILT);
    running.says("starting 1 RabbitMQ", BUILT);
    running.signal(Signal::SIGINT);
    let outcome = running.wait(GONE);
    outcome.fails(7, &["streamharness: stopped by SIGINT"]);
    vanishes(&testbed, GONE);
}
