//! A schedule that senders did not keep, for reasons of their own.

use crate::support::{service, single};
use nix::sys::signal::Signal;
use std::{thread::sleep, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_millis(800);

#[test]
fn a_sender_that_was_late_by_itself_fails_a_strict_run_with_one_message() {
    let arguments =
        ["--arch", "dts-plain", "--duration", "5s", "--rate", "400/s", "--confirms", "window:1000", "--strict"];
    let running = single(&arguments).through(service()).streaming(LIMIT);
    // What a busy machine does to a process in small pieces.
    running.signal(Signal::SIGSTOP);
    sleep(STOPPED);
    running.signal(Signal::SIGCONT);
    let outcome = running.wait(LIMIT);
    outcome.fails(6, &["generator-limited"]);
    let record = outcome.record();
    assert!(record.harness.generator_limited && !record.harness.saturated, "{:?}", record.harness);
    assert_eq!((record.status.pass, record.status.exit_code, record.integrity.lost), (false, 6, 0));
    let lag_ns = record.ranks[0].schedule_lag_max_ns.expect("there was a schedule");
    assert!(lag_ns > STOPPED.as_nanos() as u64 / 2, "{lag_ns} ns");
    let (confirm, from_due) = (&record.latency["confirm"], &record.latency["confirm_from_due"]);
    assert!(from_due.count == confirm.count && from_due.max_ns >= Some(lag_ns), "{from_due:?}");
    assert!(record.completion.total_s > Some(5.0), "{:?}", record.completion);
}
