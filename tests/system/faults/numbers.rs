//! Numbers that a fault could make false: what is lost, what is unknown, what was measured too rarely.

use crate::support::{broker::queues_of, mpirun, place, processes, service, single, workspace};
use nix::sys::signal::Signal;
use std::{fs, process::Command, time::Duration};

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(60);

#[test]
fn what_waits_in_the_service_when_a_run_is_cut_short_is_not_lost() {
    // Queues that outlive their consumers, and queues that go with them.
    for pattern in ["work-sharing", "broadcast-gather"] {
        let slow = ["--service-time", "constant:20ms", "--prefetch", "4", "--acks", "each", "--confirms", "window:100"];
        let load = ["--arch", "dts-plain", "--pattern", pattern, "--rate", "500/s", "--duration", "60s"];
        let ranks = ["--producers", "1", "--consumers", "2"];
        let running = mpirun(3, &[&load[..], &slow, &ranks].concat()).through(service()).streaming(STREAMS);
        // As a batch system does ahead of its limit: every rank ends in order.
        processes::send(running.rank(0), Signal::SIGUSR1);
        let outcome = running.wait(ENDS);
        let record = outcome.leaves_a_failed_record(7, "undetermined (the service still has ");
        let integrity = &record.integrity;
        let open = integrity.undetermined;
        assert!(open > 0 && integrity.lost == 0, "{integrity:?} {outcome}");
        assert_eq!(integrity.delivered + open, integrity.expected, "{integrity:?} {outcome}");
        // Some of what was not confirmed may have arrived, too. What is prefetched from a consumer's own queue is not seen.
        let held = integrity.in_service.expect("a service that runs tells");
        let prefetched = if pattern == "work-sharing" { 0 } else { 2 * 4 };
        let unconfirmed = integrity.unconfirmed * integrity.copies;
        assert!((open - prefetched.min(open)..=open + unconfirmed).contains(&held), "{integrity:?} {outcome}");
        assert!(!integrity.first_undetermined.is_empty() && integrity.first_lost.is_empty(), "{integrity:?}");
        if let Some(replies) = &integrity.replies {
            assert!(replies.lost == 0 && replies.in_service.is_some(), "{replies:?}");
            assert_eq!(replies.delivered + replies.undetermined, replies.expected, "{replies:?}");
        }
        assert!(outcome.stdout.contains(&format!("\n# in service    {held} messages")), "{outcome}");
    }
}

#[test]
fn what_a_run_cannot_delete_is_named_in_its_record_and_on_stderr() {
    let (user, first) = ("leaver", "first");
    service().set_user(user, first);
    let url = service().plain_url().replace("//bench@", &format!("//{user}@"));
    let stream = ["--queue-type", "stream", "--set", "service.leader=client-local", "--url", &url];
    let load = ["--arch", "dts-plain", "--rate", "200/s", "--duration", "10s", "--producers", "1", "--consumers", "1"];
    let running = single(&[&load[..], &stream].concat()).variable("STREAMHARNESS_PASSWORD", first).streaming(STREAMS);
    // Open connections stay open; the one that would delete cannot be opened.
    service().set_user(user, "second");
    let outcome = running.wait(ENDS);
    let record = outcome.passes();
    let queue = queues_of(&record).remove(0);
    let left = &record.left_behind;
    assert_eq!(left.len(), 1, "{left:?} {outcome}");
    assert_eq!((left[0].kind.as_str(), &left[0].name, left[0].expires_s), ("stream", &queue, None), "{outcome}");
    let sentence = format!("left on the service: stream {queue}");
    assert!(record.warnings.iter().any(|warning| warning.starts_with(&sentence)), "{:?}", record.warnings);
    assert_eq!(outcome.stderr.matches(&format!("streamharness: {sentence}")).count(), 1, "{outcome}");
    assert!(service().queues().contains(&queue), "it is there: {outcome}");
    service().delete(&queue);
}

/// Turns the metrics collectors of all nodes off, and on again when it is dropped.
struct NoStatistics;

impl NoStatistics {
    fn new() -> Self {
        Self::set("true");
        Self
    }

    fn set(off: &str) {
        let name = "rabbitmq_management_agent, disable_metrics_collector";
        service().control(&["eval", &format!("rpc:multicall(application, set_env, [{name}, {off}]).")]);
    }
}

impl Drop for NoStatistics {
    fn drop(&mut self) {
        Self::set("false");
    }
}

#[test]
fn values_that_a_service_without_statistics_does_not_report_are_not_zero() {
    let off = NoStatistics::new();
    let outcome = single(&["--arch", "dts-plain", "--rate", "200/s", "--duration", "3s"]).through(service()).run(ENDS);
    drop(off);
    let record = outcome.passes();
    let view = record.service.as_ref().expect("a testbed's management API is known");
    assert!(view.samples > 0, "{view:?} {outcome}");
    let told = [view.ready_max, view.unacknowledged_max, view.memory_max_bytes];
    assert_eq!((told, view.memory_of_limit_max), ([None; 3], None), "{view:?} {outcome}");
    assert!(view.notes.iter().any(|note| note.starts_with("the service gathers no statistics")), "{view:?}");
    for silent in
        ["queue_ready", "queue_unacknowledged", "service_publish_per_second", "service_memory_bytes", "service_alarms"]
    {
        assert!(outcome.column("series.csv", silent).iter().all(String::is_empty), "{}", outcome.text("series.csv"));
    }
}

#[test]
fn a_tunnel_whose_cipher_is_not_known_is_not_plain() {
    let place = place();
    let example = fs::read_to_string(workspace().join("analysis/example/prs-haproxy-1/record.json")).unwrap();
    let folders =
        [("plain", example.clone()), ("other", example.replace("\"tcp\"", "\"tls\""))].map(|(name, record)| {
            let folder = place.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("record.json"), record).unwrap();
            folder
        });
    let output = Command::new(workspace().join("launch/compare")).args(folders).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with("between proxies")).expect("a row of that name");
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["between", "proxies", "plain", "unknown"], "{table}");
}
