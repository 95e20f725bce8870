//! Services and clients on the other side that misbehave, refuse or reach a limit.

use crate::support::{
    Turn,
    amqp::{Client, method, nested, service_that_says},
    mpirun, service,
};
use std::time::Duration;

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(60);

/// The queues that there are now and were not before.
fn new_queues(before: &[String]) -> Vec<String> {
    service().queues().into_iter().filter(|queue| !before.contains(queue)).collect()
}

#[test]
fn messages_of_others_that_no_library_could_read_are_counted_and_disturb_nothing() {
    let turn = Turn::take();
    let before = service().queues();
    let arguments = ["--arch", "dts-plain", "--duration", "5s", "--warmup", "0s", "--rate", "200/s"];
    let mut running = mpirun(3, &arguments).through(service()).start_in(turn);
    running.streams(STREAMS);
    let queues = new_queues(&before);
    let mut other = Client::connect(service());
    let unreadable = [
        [b"\x20\0", nested(3000, b'A').as_slice()].concat(),
        [b"\x20\0", nested(2500, b'F').as_slice()].concat(),
        // A correlation id that is no text, and headers larger than the frames of the run.
        b"\x04\0\x02\xff\xfe".to_vec(),
        [&b"\x20\0\0\0\xea\x67\x01kS\0\0\xea\x60"[..], &[b'x'; 60_000]].concat(),
    ];
    for properties in &unreadable {
        other.publish("", queues[0].as_bytes(), properties, b"not yours");
    }
    let outcome = running.wait(ENDS);
    let record = outcome.passes();
    assert_eq!(record.integrity.foreign, unreadable.len() as u64, "{:?}", record.integrity);
}

#[test]
fn a_service_that_nests_tables_without_end_is_named_by_every_rank() {
    let start = |depth| method(0, 10, 10, &[&[0, 9][..], &nested(depth, b'F')].concat());
    for (depth, part) in [(2000, "sent tables that nest more than 64 deep"), (20_000, "sent a frame of ")] {
        let url = format!("amqp://bench@127.0.0.1:{}", service_that_says(start(depth)));
        let launch = mpirun(3, &["--arch", "dts-plain", "--url", &url, "--messages", "10"])
            .variable("STREAMHARNESS_PASSWORD", "x");
        let outcome = launch.run(ENDS);
        outcome.fails(3, &["127.0.0.1", part, "Check the address"]);
        outcome.leaves_a_failed_record(3, part);
    }
}
