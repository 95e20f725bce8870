//! Ranks that are damaged by messages, suspended, or started by the wrong launcher.

use crate::support::{
    Turn,
    broker::{Payload, queues_of},
    mpirun,
    processes::send,
    program, service, single, slow, within,
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::{process::Command, thread, time::Duration};

const STREAMS: Duration = Duration::from_secs(90);
const ENDS: Duration = Duration::from_secs(120);
const INTEGRITY: u8 = 4;
/// Longer than silence may last: who takes a rank for dead by now blames somebody.
const SUSPENDED: Duration = Duration::from_secs(17);
/// At a rate: what is late is made up for.
const PACED: [&str; 6] = ["--arch", "dts-plain", "--duration", "25s", "--rate", "100/s"];

/// An envelope with one of its fields written anew.
fn with(envelope: &str, field: usize, value: &str) -> Value {
    let mut fields: Vec<&str> = envelope.split('-').collect();
    assert_eq!((fields.len(), fields[field].len()), (7, value.len()), "{envelope}");
    fields[field] = value;
    json!({"correlation_id": fields.join("-")})
}

#[test]
fn a_message_that_somebody_else_put_into_a_queue_is_counted_as_what_it_is_and_changes_no_other_count() {
    let turn = Turn::take();
    let before = service().queues();
    // Consumers that lag behind: something is always there to be taken.
    let arguments = ["--arch", "dts-plain", "--duration", "8s", "--rate", "100/s", "--consumers", "2"];
    let slow = ["--producers", "1", "--service-time", "constant:30ms", "--prefetch", "2", "--acks", "each"];
    let mut running = mpirun(3, &[&arguments[..], &slow].concat()).through(service()).start_in(turn);
    running.streams(STREAMS);
    let queue = service().queues().into_iter().find(|queue| !before.contains(queue)).expect("the run has a queue");
    let take = || within(Duration::from_secs(20), || service().take(&queue)).expect("consumers lag behind");
    let publish = |properties: &Value, body: &Payload| service().publish_as(&queue, properties.clone(), body);

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

    let record = outcome.leaves_a_failed_record(INTEGRITY, "1 of the delivered bodies was not what was sent");
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
    assert!(queues_of(&record).contains(&queue));
    assert!(outcome.file("first-corrupt.geb").starts_with(b"not what"), "{:?}", outcome.files.keys());
}

#[test]
fn a_pause_of_rank_0_is_blamed_on_no_other_rank() {
    let mut running = mpirun(3, &PACED).through(service()).start();
    running.streams(STREAMS);
    let rank_0 = running.rank(0);
    send(rank_0, Signal::SIGSTOP);
    thread::sleep(SUSPENDED);
    send(rank_0, Signal::SIGCONT);
    let outcome = running.wait(ENDS);
    let warnings = outcome.passes().warnings;
    let own: Vec<_> = warnings.iter().filter(|line| line.contains(" was suspended for ")).collect();
    assert!(own.len() == 1 && own[0].starts_with("rank 0 was suspended for 1"), "{warnings:?} {outcome}");
}

#[test]
fn a_job_that_is_suspended_whole_and_resumed_goes_on() {
    if !slow() {
        return;
    }
    let mut running = mpirun(3, &PACED).through(service()).start();
    running.streams(STREAMS);
    let all = running.processes();
    for process in &all {
        send(process.pid, Signal::SIGSTOP);
    }
    thread::sleep(SUSPENDED);
    // In any order, and not at once.
    for process in all.iter().rev() {
        send(process.pid, Signal::SIGCONT);
        thread::sleep(Duration::from_millis(200));
    }
    let outcome = running.wait(ENDS);
    let warnings = outcome.passes().warnings;
    assert!(
        warnings.iter().any(|line| line.starts_with("the whole run was suspended for 1")),
        "{warnings:?} {outcome}"
    );
}

/// What Hydra, or srun, gives each process that it starts.
const STARTED_BY: [(&str, &[(&str, &str)]); 2] = [
    ("mpiexec of MPICH", &[("PMI_SIZE", "3")]),
    ("srun started 3", &[("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "3"), ("SLURM_PROCID", "0")]),
];

#[test]
fn ranks_that_do_not_see_each_other_end_before_anything_streams() {
    let turn = Turn::take();
    for (launcher, variables) in STARTED_BY {
        let with = |arguments: &[&str]| {
            variables
                .iter()
                .fold(single(arguments).through(service()), |launch, (name, value)| launch.variable(name, value))
        };
        let before = service().queues();
        let outcome = with(&["--messages", "100"]).start_beside(&turn).wait(ENDS);
        outcome.fails(1, &["streamharness: ", launcher, "MPI sees 1", "Open MPI v", "type `"]);
        assert_eq!(service().queues(), before, "it connected to nothing");
        assert!(!outcome.files.keys().any(|path| path.starts_with("results/")), "{:?}", outcome.files.keys());
        // What starts no MPI is for everybody.
        with(&["plan", "--ranks", "3"]).start_beside(&turn).wait(ENDS).prints("# bytes to send");
    }
    // A batch script of a job with more tasks is one process that no srun started.
    let job = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "3"), ("SLURM_PROCID", "0")];
    let alone = job
        .iter()
        .fold(single(&["--messages", "100"]).through(service()), |launch, (name, value)| launch.variable(name, value));
    alone.start_beside(&turn).wait(ENDS).passes();
}

#[test]
fn the_launcher_of_another_mpi_is_named_once() {
    // Where MPICH is installed beside Open MPI.
    let hydra = "mpiexec.hydra";
    if !slow() {
        return;
    }
    if !Command::new(hydra).arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!(
            "the_launcher_of_another_mpi_is_named_once: skipped, there is no {hydra} here (Debian's mpich has it)"
        );
        return;
    }
    let program = program();
    let output = Command::new(hydra)
        .args(["-n", "3", program.to_str().unwrap(), "--messages", "100"])
        .env("STREAMHARNESS_TESTBED", service().dir())
        .current_dir(service().dir())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().filter(|line| line.contains("mpiexec of MPICH")).count(), 1, "{stderr}");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}
