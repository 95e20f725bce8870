//! Runs that end early: a record with the reason, an exit code, nothing left running.

use crate::support::{Broker, Outcome, broker::queues_of, mpirun, processes, service, single, within};
use measure::Record;
use nix::sys::signal::Signal;
use std::time::Duration;

/// Long enough to be cut short.
const LONG: [&str; 2] = ["--duration", "60s"];
const STREAMS: Duration = Duration::from_secs(60);
/// A cut must not wait for the limits of a healthy run.
const ENDS: Duration = Duration::from_secs(25);

const ROUTE: u8 = 3;
const PARTIAL: u8 = 7;

/// Rank 0 came to its end: it reports the reason once, in the record, and in the last line of the table.
#[track_caller]
fn ends_in_order(outcome: &Outcome, code: u8, reason: &str) -> Record {
    outcome.fails(code.into(), &["streamharness: ", reason]);
    let verdict = outcome.stdout.lines().last().unwrap_or_default();
    assert!(verdict.starts_with("# STATUS: FAIL") && verdict.contains(reason), "{outcome}");
    outcome.leaves_a_failed_record(code, reason)
}

#[test]
fn a_broker_that_is_killed() {
    let broker = Broker::start(1);
    let running = single(&LONG).through(&broker).streaming(STREAMS);
    assert!(processes::send(broker.node(1), Signal::SIGKILL));
    let outcome = running.wait(ENDS);
    ends_in_order(&outcome, ROUTE, "rank 0: the connection to ");
}

#[test]
fn a_queue_that_is_deleted() {
    let (running, queues) = single(&LONG).streaming_with_queues(STREAMS);
    service().delete(&queues[0]);
    let outcome = running.wait(ENDS);
    ends_in_order(&outcome, ROUTE, &queues[0]);
}

#[test]
fn a_limit_that_passes() {
    let outcome = single(&["--messages", "10000000", "--timeout", "1s"]).through(service()).run(ENDS);
    ends_in_order(&outcome, PARTIAL, "the limit of 1 s on streaming passed");
}

#[test]
fn a_rank_that_is_killed() {
    let running = mpirun(4, &LONG).through(service()).streaming(STREAMS);
    processes::send(running.rank(3), Signal::SIGKILL);
    let outcome = running.wait(ENDS);
    assert!(!outcome.status.success(), "{outcome}");
    let record = outcome.leaves_a_failed_record(PARTIAL, "");
    let integrity = &record.integrity;
    assert_eq!(integrity.sent, integrity.confirmed + integrity.unconfirmed + integrity.abandoned, "{integrity:?}");
    // The launcher gives rank 0 a second only: what it could not delete in that time is named.
    let still: Vec<String> =
        service().queues().into_iter().filter(|queue| queues_of(&record).contains(queue)).collect();
    let named = |queue: &String| record.left_behind.iter().any(|left| left.name == *queue);
    assert!(still.iter().all(named), "{still:?} are on the service, and {:?} are named", record.left_behind);
}

#[test]
fn a_rank_that_hangs() {
    let running = mpirun(4, &LONG).through(service()).streaming(STREAMS);
    processes::send(running.rank(3), Signal::SIGSTOP);
    let outcome = running.wait(ENDS);
    let record = ends_in_order(&outcome, PARTIAL, "no message from rank 3 for 15 s");
    let integrity = &record.integrity;
    // What the service still holds for consumers that are connected still is counted by nobody.
    assert!(integrity.lost == 0 && integrity.in_service.is_none(), "{integrity:?}");
    assert_eq!(integrity.delivered + integrity.undetermined, integrity.expected, "{integrity:?}");
}

#[test]
fn rank_0_that_is_killed() {
    let running = mpirun(4, &LONG).through(service()).streaming(STREAMS);
    processes::send(running.rank(0), Signal::SIGKILL);
    let outcome = running.wait(ENDS);
    assert!(!outcome.status.success(), "{outcome}");
}

#[test]
fn ctrl_c_to_one_process() {
    let running = single(&[&LONG[..], &["--warmup", "0s"]].concat()).through(service()).streaming(STREAMS);
    running.signal(Signal::SIGINT);
    let outcome = running.wait(ENDS);
    let record = ends_in_order(&outcome, PARTIAL, "stopped by SIGINT");
    assert!(record.integrity.delivered > 0, "{:?}", record.integrity);
    assert!(record.latency["confirm"].count > 0, "what was measured is kept");
    let throughput = &record.throughput;
    let true_window = throughput.messages_per_second.is_none() || throughput.window_s <= record.phases["stream"];
    assert!(true_window, "a rate over time that never came: {throughput:?}");
    let there = service().queues();
    assert!(queues_of(&record).iter().all(|queue| !there.contains(queue)), "the queues are gone all the same");
}

#[test]
fn ctrl_c_to_mpirun() {
    let running = mpirun(4, &LONG).through(service()).streaming(STREAMS);
    running.signal(Signal::SIGINT);
    let outcome = running.wait(ENDS);
    assert!(!outcome.status.success(), "{outcome}");
    outcome.leaves_a_failed_record(PARTIAL, "stopped by SIG");
}

#[test]
fn the_signal_that_a_batch_system_sends_ahead_of_its_limit_ends_all_ranks_in_order() {
    let running = mpirun(4, &LONG).through(service()).streaming(STREAMS);
    // As `--signal=USR1@60` does: to the tasks, not to their launcher.
    processes::send(running.rank(0), Signal::SIGUSR1);
    let outcome = running.wait(ENDS);
    let record = ends_in_order(&outcome, PARTIAL, "stopped by SIGUSR1");
    assert_eq!(record.ranks.len(), 4);
    assert!(record.ranks.iter().all(|rank| rank.failure.is_none() && rank.pid > 0), "{:?}", record.ranks);
}

#[test]
fn a_run_that_is_killed_whole_leaves_its_testbed_to_others() {
    let running = single(&LONG).through(service()).streaming(STREAMS);
    running.signal(Signal::SIGKILL);
    assert!(!running.wait(ENDS).status.success());
    let healthy = || single(&["--messages", "100"]).through(service()).run(STREAMS).status.success().then_some(());
    assert!(within(Duration::ZERO, healthy).is_some());
}
