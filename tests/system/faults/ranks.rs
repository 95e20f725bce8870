//! Ranks that are damaged by messages, or suspended.

use crate::support::{
    Launch, Outcome, Turn,
    broker::{Payload, queues_of},
    mpirun,
    processes::send,
    program, service, slow, within, workspace,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{ffi::OsString, thread, time::Duration};

const STREAMS: Duration = Duration::from_secs(90);
const ENDS: Duration = Duration::from_secs(120);
const INTEGRITY: u8 = 4;
/// Longer than silence may last: who takes a rank for dead by now blames somebody.
const SUSPENDED: Duration = Duration::from_secs(17);
/// At a rate: what is late is made up for.
const PACED: [&str; 6] = ["--arch", "dts-plain", "--duration", "25s", "--rate", "100/s"];
/// Messages of these that are due in a second.
const RATE: u64 = 100;

/// Row k of `series.csv` covers second k to k + 1 after the common start: no second is missing or there twice, all rows together
/// have what the record has, and none has a message before it was due.
#[track_caller]
fn has_a_row_for_each_second(outcome: &Outcome) {
    let (record, table) = (outcome.record(), outcome.text("series.csv"));
    let [second, sent, received] =
        ["second", "sent", "received"].map(|name| outcome.numbers::<u64>("series.csv", name));
    assert_eq!(second, (0..second.len() as u64).collect::<Vec<_>>(), "{table}");
    assert_eq!(sent.iter().sum::<u64>(), record.integrity.sent, "{table}");
    assert_eq!(received.iter().sum::<u64>(), record.totals.received.messages, "{table}");
    let mut so_far = 0;
    for (second, sent) in sent.iter().enumerate() {
        so_far += sent;
        let due = RATE * (second as u64 + 1) + record.plan["placement"]["producers"].as_u64().unwrap();
        assert!(so_far <= due, "{so_far} were sent by the end of second {second}, and {due} were due: {table}");
    }
}

/// An envelope with one of its fields written anew.
fn with(envelope: &str, field: usize, value: &str) -> Value {
    let mut fields: Vec<&str> = envelope.split('-').collect();
    assert_eq!((fields.len(), fields[field].len()), (7, value.len()), "{envelope}");
    fields[field] = value;
    json!({"correlation_id": fields.join("-")})
}

#[test]
fn a_message_that_somebody_else_put_into_a_queue_is_counted_as_what_it_is_and_changes_no_other_count() {
    // Consumers that lag behind: something is always there to be taken.
    let arguments = ["--arch", "dts-plain", "--duration", "8s", "--rate", "100/s", "--consumers", "2"];
    let slow = ["--producers", "1", "--service-time", "constant:30ms", "--prefetch", "2", "--acks", "each"];
    let (running, queues) = mpirun(3, &[&arguments[..], &slow].concat()).streaming_with_queues(STREAMS);
    let queue = &queues[0];
    let take = || within(Duration::from_secs(20), || service().take(queue)).expect("consumers lag behind");
    let publish = |properties: &Value, body: &Payload| service().publish_as(queue, properties.clone(), body);

    // What was taken and put back is as good as before; put back twice, it is there once too often.
    let (genuine, body) = take();
    publish(&genuine, &body);
    publish(&genuine, &body);
    let (damaged, _) = take();
    publish(&damaged, &Payload::text("not what was sent"));
    let envelope = damaged["correlation_id"].as_str().unwrap();
    for (field, value) in [(0, "00000000"), (1, "ffffff"), (1, "000001")] {
        publish(&with(envelope, field, value), &Payload::text("of another run, or of nobody"));
    }
    publish(&json!({"correlation_id": "hello"}), &body);
    // Of the future, near or far, and twice, and of the past.
    for sequence in ["ffffffffffff", "ffffffffffff", "7fffffffffff", "000000000400", "000000000000"] {
        publish(&with(envelope, 2, sequence), &body);
    }
    let outcome = running.wait(ENDS);

    let record = outcome.leaves_a_failed_record(INTEGRITY, "1 of the delivered bodies was corrupt");
    outcome.fails(INTEGRITY.into(), &["5 deliveries in this run's name were sent by none of its producers"]);
    let integrity = &record.integrity;
    assert_eq!((integrity.foreign, integrity.unexpected), (4, 5), "{integrity:?}");
    assert_eq!((integrity.corrupt, integrity.duplicated), (1, 1), "{integrity:?}");
    assert_eq!([integrity.lost, integrity.redelivered, integrity.unconfirmed], [0; 3], "{integrity:?}");
    assert!(integrity.sent > 500 && integrity.reordered <= 3, "only what was put back came late: {integrity:?}");
    assert_eq!([integrity.delivered, integrity.expected], [integrity.sent; 2], "{integrity:?}");
    assert_eq!(record.totals.received.messages, integrity.sent + 1, "the one that came twice, and nobody else's");
    let first = &integrity.first_unexpected[0];
    assert_eq!((first.producer, first.sequence), (0, (1 << 48) - 1));
    assert!(queues_of(&record).contains(queue));
    assert!(outcome.file("first-corrupt.geb").starts_with(b"not what"), "{:?}", outcome.files.keys());
}

/// These launches wait most of the time, so they go on beside each other.
#[test]
fn a_pause_of_rank_0_is_blamed_on_no_other_rank_and_a_rank_that_never_comes_ends_the_launch() {
    let turn = Turn::take();
    let mut paused = mpirun(3, &PACED).through(service()).start_beside(&turn);
    let incomplete = slow().then(|| without_rank_1(&["--arch", "dts-plain", "--messages", "10"]).start_beside(&turn));
    let suspended = slow().then(|| mpirun(3, &PACED).through(service()).start_beside(&turn));
    paused.streams(STREAMS);
    let rank_0 = paused.rank(0);
    send(rank_0, Signal::SIGSTOP);
    let suspended = suspended.map(|mut running| {
        running.streams(STREAMS);
        let all = running.processes();
        for process in &all {
            send(process.pid, Signal::SIGSTOP);
        }
        (running, all)
    });
    thread::sleep(SUSPENDED);
    send(rank_0, Signal::SIGCONT);
    if let Some((_, all)) = &suspended {
        // In any order, and not at once.
        for process in all.iter().rev() {
            send(process.pid, Signal::SIGCONT);
            thread::sleep(Duration::from_millis(200));
        }
    }
    a_pause_of_rank_0_is_reported_as_such(&paused.wait(ENDS));
    if let Some((running, _)) = suspended {
        a_job_that_was_suspended_whole_has_gone_on(&running.wait(ENDS));
    }
    if let Some(running) = incomplete {
        let outcome = running.wait(ENDS);
        let words =
            ["streamharness: MPI did not start within 30 s", "not every rank came", "STREAMHARNESS_MPI_LIMIT=10m"];
        outcome.fails(7, &words);
    }
}

/// Under `mpirun`, with a rank 1 that stops itself before it has started MPI.
fn without_rank_1(arguments: &[&str]) -> Launch {
    let program = program();
    let program = program.to_str().unwrap();
    let stopped = ["-n", "1", "sh", "-c", "kill -STOP $$; exec \"$@\"", "sh", program];
    let one = [&["-n", "1", program][..], arguments].concat();
    let words = [&one[..], &[":"], &stopped, arguments, &[":", "-n", "1", program]].concat();
    let before: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    Launch::new(&workspace().join("launch/mpirun"), &before, arguments).variable("STREAMHARNESS_MPI_LIMIT", "30s")
}

fn a_pause_of_rank_0_is_reported_as_such(outcome: &Outcome) {
    has_a_row_for_each_second(outcome);
    let warnings = outcome.passes().warnings;
    let own: Vec<_> = warnings.iter().filter(|line| line.contains(" was suspended for ")).collect();
    assert!(own.len() == 1 && own[0].starts_with("rank 0 was suspended for "), "{warnings:?} {outcome}");
}

fn a_job_that_was_suspended_whole_has_gone_on(outcome: &Outcome) {
    has_a_row_for_each_second(outcome);
    let warnings = outcome.passes().warnings;
    assert!(warnings.iter().any(|line| line.starts_with("the whole run was suspended for ")), "{warnings:?} {outcome}");
}
