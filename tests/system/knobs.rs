//! Knobs of the service, seen from the service's side.

use crate::support::{broker::queues_of, mpirun, service, single, within, words};
use serde_json::Value;
use std::{fs, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

/// What the broker says about the first queue of a run with these settings, while it streams.
#[track_caller]
fn queue_with(arguments: &[&str]) -> Value {
    let arguments = [&["--arch", "dts-plain", "--duration", "8s", "--rate", "100/s"], arguments].concat();
    let (running, names) = single(&arguments).streaming_with_queues(LIMIT);
    let queue = service().queue(&names[0]).expect("it is there");
    running.wait(LIMIT).passes();
    queue
}

#[test]
fn a_queue_has_its_requested_settings() {
    let arguments = words(
        "--set service.queue_type=quorum --set service.max_length=5000 --set service.max_bytes=100MB \
         --set service.ttl=1m --set service.overflow=reject-publish",
    );
    let queue = queue_with(&arguments);
    assert_eq!((&queue["type"], &queue["durable"]), (&"quorum".into(), &true.into()), "{queue}");
    for (argument, value) in [("x-max-length", 5000), ("x-max-length-bytes", 100_000_000), ("x-message-ttl", 60_000)] {
        assert_eq!(queue["arguments"][argument], value, "{queue}");
    }
    assert_eq!(queue["arguments"]["x-overflow"], "reject-publish");
}

#[test]
fn classic_queues_are_transient_by_default() {
    assert_eq!(queue_with(&[])["durable"], false);
    assert_eq!(queue_with(&["--set", "service.durable=true"])["durable"], true);
}

/// Where a queue's leader is: a quorum queue has a word of its own for it.
fn node_of(queue: &Value) -> Value {
    if queue["leader"].is_null() { queue["node"].clone() } else { queue["leader"].clone() }
}

#[test]
fn leaders_are_placed_as_requested() {
    for queue_type in ["classic", "quorum"] {
        let workers = words("--arch dts-plain --duration 8s --rate 100/s --producers 3 --consumers 3 --queues 3");
        let arguments = [&workers[..], &["--queue-type", queue_type, "--set", "service.leader=spread"]].concat();
        let (running, names) = single(&arguments).streaming_with_queues(LIMIT);
        let queues = names.iter().map(|name| service().queue(name).expect("it is there"));
        let mut nodes: Vec<Value> = queues.map(|queue| node_of(&queue)).collect();
        running.wait(LIMIT).passes();
        nodes.sort_by_key(Value::to_string);
        assert_eq!(nodes, ["rmq1@localhost", "rmq2@localhost", "rmq3@localhost"], "{queue_type}");
    }
}

#[test]
fn workers_have_the_requested_connections() {
    for (more, expected) in [
        (vec![], 4),
        (vec!["--connections", "3"], 3 * 4),
        (vec!["--set", "service.workers_per_connection=2"], 2),
        (vec!["--pattern", "work-sharing-feedback"], 2 * 4),
        (vec!["--pattern", "work-sharing-feedback", "--connections", "2"], 2 + 2 * 2 + 2 * 2 + 2 * 2),
    ] {
        let arguments = words("--arch dts-plain --duration 3s --producers 2 --consumers 2");
        let running = single(&[arguments, more.clone()].concat()).through(service()).streaming(LIMIT);
        // The client library has a thread for each connection.
        let mut seen = Vec::new();
        let found = within(LIMIT, || {
            let threads = threads_called("lapin-io-loop", running.pid());
            seen.push(threads);
            // None is left once the run has ended.
            (threads == expected || threads == 0).then_some(threads)
        });
        assert_eq!(found, Some(expected), "{more:?}: {seen:?}");
        running.wait(LIMIT).passes();
    }
}

fn threads_called(name: &str, pid: i32) -> usize {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|comm| comm.trim() == name).count()
}

#[test]
fn what_is_left_of_a_multiple_is_acknowledged_after_a_while() {
    // Three messages fill the queue, which takes the next only when one of them is acknowledged.
    let arguments = words(
        "--messages 30 --producers 1 --consumers 1 --acks multiple:10 --prefetch 10 --set service.max_length=3 \
         --set service.ack_after=50ms --confirms each",
    );
    let record = single(&arguments).through(service()).run(LIMIT).passes();
    assert_eq!(record.integrity.delivered, 30);
}

#[test]
fn settings_of_the_client_reach_its_connections() {
    let arguments = words(
        "--messages 300 --set service.frame_max=8KiB --set service.heartbeat_s=5 --set service.send_buffer=256KiB \
         --set service.receive_buffer=256KiB --set service.persistent=true --set service.prefetch_channel=64 \
         --set service.queue_mapping=round-robin --set route.spread=block --queues 2 --producers 2 \
         --consumers 4",
    );
    let record = single(&arguments).through(service()).run(LIMIT).passes();
    assert_eq!(record.plan["service"]["frame_max"], 8192);
    assert_eq!(record.plan["service"]["persistent"], true);
}

#[test]
fn what_cannot_work_together_is_refused_before_anything_connects() {
    for (arguments, parts) in [
        (vec!["--queue-type", "stream", "--acks", "auto"], ["a stream", "--acks multiple:64"]),
        (vec!["--queue-type", "quorum", "--set", "service.durable=false"], ["always durable", "--queue-type classic"]),
        (vec!["--layout", "by-host"], ["on different hosts", "--layout block"]),
        (vec!["--service-time", "constant:1s"], ["consumers work", "--timeout"]),
        (vec!["--set", "service.reply=64B"], ["has no replies", "--pattern"]),
    ] {
        single(&arguments).run(LIMIT).fails(2, &parts);
    }
}

#[test]
fn roles_alternate_over_ranks_on_request() {
    let record = mpirun(4, &["--messages", "400", "--layout", "cyclic"]).through(service()).run(LIMIT).passes();
    let roles: Vec<&str> = record.ranks.iter().map(|rank| rank.role.as_str()).collect();
    assert_eq!(roles, ["producer", "consumer", "producer", "consumer"]);
}

#[test]
fn consumers_that_work_slow_their_producers_down_and_nothing_is_lost() {
    let arguments = words(
        "--messages 200 --producers 1 --consumers 2 --service-time exponential:5ms --set service.max_length=5 \
         --prefetch 1 --acks each --confirms window:100 --pattern work-sharing-feedback",
    );
    let record = single(&arguments).through(service()).run(LIMIT).passes();
    assert!(record.backpressure.rejected > 0, "the queue was never full: {:?}", record.backpressure);
    let took_s = record.phases["stream"];
    assert!(took_s > 0.3, "100 times 5 ms each: {took_s} s");
    let queues = queues_of(&record);
    assert!(service().queues().iter().all(|queue| !queues.contains(queue)));
}

#[test]
fn clients_may_be_kept_to_the_first_of_several_nodes() {
    let (first, dead) = (service().plain_url(), "amqp://bench@localhost:1");
    let run = |nodes: &str| {
        let arguments = ["--arch", "dts-plain", "--messages", "50", "--url", &first, "--url", dead, "--set", nodes];
        single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT)
    };
    let record = run("route.nodes=1").passes();
    assert!(
        record.route.hops.iter().all(|hop| !hop.address.as_ref().unwrap().contains(',')),
        "{:?}",
        record.route.hops
    );
    run("route.nodes=3").fails(1, &["route.nodes = 3", "only 2 addresses"]);
}
