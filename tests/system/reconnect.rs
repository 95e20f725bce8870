//! Runs that live through lost connections of a real service: nothing confirmed is lost, and what came twice is explained.

use crate::support::{Broker, Launch, Outcome, Running, Turn, mpirun, processes, service, slow, words};
use measure::{Record, record::Reconnection};
use nix::sys::signal::Signal;
use std::time::{Duration, SystemTime};

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(150);

/// Workers over DTS that come back after a loss.
const ARGUMENTS: &str = "--arch dts --rate 200/s --duration 20s --warmup 0s --reconnect 60s --confirms";
const TWO: &str = "--producers 2 --consumers 2";

fn launch(confirms: &str, more: &str) -> Launch {
    mpirun(2, &words(&format!("{ARGUMENTS} {confirms} {more}")))
}

/// Starts it through the shared service and waits until it streams; returns when it began, too.
fn streaming(launch: Launch) -> (Running, SystemTime) {
    let turn = Turn::take();
    let since = SystemTime::now();
    let mut running = launch.through(service()).start_in(turn);
    running.streams(STREAMS);
    (running, since)
}

/// The record of a run that sent everything and lost nothing, in whose verdict duplicates are explained.
#[track_caller]
fn sound(outcome: &Outcome) -> Record {
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let record = outcome.record();
    let integrity = &record.integrity;
    assert!(integrity.sent > 0 && integrity.confirmed == integrity.sent, "{integrity:?} {outcome}");
    assert_eq!(integrity.delivered, integrity.sent * integrity.copies, "{integrity:?} {outcome}");
    let wrong = [integrity.lost, integrity.undetermined, integrity.corrupt, integrity.unexpected, integrity.foreign];
    assert_eq!(wrong, [0; 5], "{integrity:?} {outcome}");
    assert!(integrity.duplicated_by_reconnection <= integrity.duplicated, "{integrity:?}");
    record
}

/// The lost connections of a record, all of which were made again, with sums that agree.
#[track_caller]
fn came_back(record: &Record, outcome: &Outcome) -> Reconnection {
    let lost = record.reconnection.clone().expect("the plan has a limit for it");
    assert!(lost.all.times > 0 && lost.all.made_again == lost.all.times, "{lost:?} {outcome}");
    assert_eq!(lost.by_cause.values().map(|cause| cause.times).sum::<u64>(), lost.all.times, "{lost:?}");
    assert_eq!(lost.connections.iter().map(|one| one.all.times).sum::<u64>(), lost.all.times, "{lost:?}");
    assert!(lost.all.longest_s > 0.0 && lost.all.longest_s <= lost.all.total_s, "{lost:?}");
    let gone: Vec<u32> = outcome.numbers("series.csv", "without_connection");
    assert!(gone.len() >= 12, "{gone:?} {outcome}");
    lost
}

#[test]
fn connections_that_the_service_closes_are_made_again_and_nothing_confirmed_is_lost() {
    let all = [("each", "native"), ("window:32", "lapin"), ("batch:16", "native")];
    for (confirms, client) in &all[..if slow() { 3 } else { 2 }] {
        let launch = launch(confirms, &format!("{TWO} --set service.client={client}"));
        let (running, since) = streaming(launch);
        service().close_connections(4, since);
        let outcome = running.wait(ENDS);
        let lost = came_back(&sound(&outcome), &outcome);
        assert_eq!(lost.by_cause.keys().collect::<Vec<_>>(), ["closed"], "{lost:?}");
        let names: Vec<_> = lost.connections.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["producer 0", "producer 1", "consumer 0", "consumer 1"], "{lost:?} {outcome}");
    }
}

#[test]
fn without_confirms_nobody_claims_to_know_what_was_lost_with_a_connection() {
    if !slow() {
        return;
    }
    let (running, since) = streaming(launch("none", TWO));
    service().close_connections(4, since);
    let outcome = running.wait(ENDS);
    let record = outcome.record();
    let integrity = &record.integrity;
    assert_eq!((integrity.lost, integrity.expected), (0, integrity.sent), "{integrity:?} {outcome}");
    assert_eq!(integrity.delivered + integrity.undetermined, integrity.sent, "{integrity:?} {outcome}");
    let code = if integrity.undetermined > 0 { 7 } else { 0 };
    assert_eq!(outcome.status.code(), Some(code), "{outcome}");
    came_back(&record, &outcome);
}

#[test]
fn connections_for_replies_are_made_again_and_each_reply_is_accounted_for() {
    if !slow() {
        return;
    }
    let launch = launch("window:16", &format!("{TWO} --pattern work-sharing-feedback"));
    let (running, since) = streaming(launch);
    service().close_connections(8, since);
    let outcome = running.wait(ENDS);
    let record = outcome.record();
    let integrity = &record.integrity;
    assert_eq!((integrity.delivered, integrity.lost), (integrity.sent, 0), "{integrity:?} {outcome}");
    assert!(integrity.findings().is_empty(), "{:?} {outcome}", integrity.findings());
    let replies = integrity.replies.as_ref().unwrap();
    assert_eq!(replies.delivered + replies.undetermined, integrity.sent, "{replies:?} {outcome}");
    assert_eq!(came_back(&record, &outcome).connections.len(), 8, "{outcome}");
}

#[test]
fn a_killed_node_costs_a_quorum_queue_nothing_and_a_transient_one_what_it_held() {
    if !slow() {
        return;
    }
    let broker = Broker::start(3);
    let kill = |node: usize| assert!(processes::send(broker.node(node), Signal::SIGKILL));
    // The leader of one of the queues is on the node that goes. RabbitMQ 3.10 may reject what is published to it until the
    // connection is made once more; that is a rejection, and no loss.
    let quorum = "--producers 3 --consumers 3 --queues 3 --queue-type quorum --set service.leader=spread --set \
                  service.republish_limit=50";
    let running = launch("each", quorum).through(&broker).streaming(STREAMS);
    kill(3);
    let outcome = running.wait(ENDS);
    let record = outcome.record();
    let integrity = &record.integrity;
    assert_eq!((integrity.lost, integrity.undetermined), (0, 0), "{integrity:?} {outcome}");
    assert_eq!(integrity.confirmed + integrity.abandoned, integrity.sent, "{integrity:?} {outcome}");
    assert!(integrity.delivered >= integrity.confirmed, "{integrity:?} {outcome}");
    assert_eq!(integrity.duplicated_by_reconnection, integrity.duplicated, "{integrity:?} {outcome}");
    came_back(&record, &outcome);

    let transient = format!("{TWO} --queues 2 --set service.leader=spread --set route.nodes=2");
    let running = launch("window:32", &transient).through(&broker).streaming(STREAMS);
    kill(2);
    let outcome = running.wait(ENDS);
    let record = outcome.record();
    let integrity = &record.integrity;
    // The queue is declared again: what goes on arrives, and what the node held is lost or was never confirmed.
    assert_eq!(integrity.confirmed, integrity.sent, "{integrity:?} {outcome}");
    assert_eq!(
        integrity.delivered + integrity.lost + integrity.undetermined,
        integrity.sent,
        "{integrity:?} {outcome}"
    );
    let late = record.reconnection.as_ref().unwrap().connections.iter().flat_map(|one| &one.first);
    let last_s = late.map(|outage| outage.at_s + outage.for_s).fold(0.0, f64::max);
    assert!(last_s > 0.0 && integrity.delivered > integrity.sent / 2, "{integrity:?} {outcome}");
    came_back(&record, &outcome);
}

#[test]
fn a_worker_without_a_way_back_says_how_long_it_tried() {
    if !slow() {
        return;
    }
    let broker = Broker::start(1);
    let arguments = ["--arch", "dts-plain", "--rate", "100/s", "--duration", "30s", "--reconnect", "3s"];
    let running = mpirun(2, &arguments).through(&broker).streaming(STREAMS);
    assert!(processes::send(broker.node(1), Signal::SIGKILL));
    let outcome = running.wait(ENDS);
    outcome.fails(
        3,
        &["gave up after", "beyond the limit of 3 s (--reconnect)", "it was lost because", "the last try failed"],
    );
    let record = outcome.leaves_a_failed_record(3, "beyond the limit of 3 s");
    assert_eq!(record.integrity.lost, 0, "{:?}", record.integrity);
}
