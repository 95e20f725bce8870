//! Numbers that a fault could make false: what is lost, what is unknown, what was measured too rarely.

use crate::support::{broker::queues_of, mpirun, processes, service, single};
use nix::sys::signal::Signal;
use std::time::Duration;

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(60);

#[test]
fn what_waits_in_the_service_when_a_run_is_cut_short_is_not_lost() {
    // Queues that outlive their consumers, and queues that go with them.
    for pattern in ["work-sharing", "broadcast-gather"] {
        let slow = ["--service-time", "constant:20ms", "--prefetch", "4", "--acks", "each", "--confirms", "window:100"];
        let load = ["--arch", "dts-plain", "--pattern", pattern, "--rate", "500/s", "--duration", "60s"];
        let ranks = ["--producers", "1", "--consumers", "2"];
        let mut running = mpirun(3, &[&load[..], &slow, &ranks].concat()).through(service()).start();
        running.streams(STREAMS);
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
    let load = ["--arch", "dts-plain", "--rate", "200/s", "--duration", "5s", "--producers", "1", "--consumers", "1"];
    let mut running = single(&[&load[..], &stream].concat()).variable("STREAMHARNESS_PASSWORD", first).start();
    running.streams(STREAMS);
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
