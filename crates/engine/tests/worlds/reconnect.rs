//! Runs that live through lost connections: everything is accounted for, and what came twice because of them is explained.

use crate::support::{plan, result, run_world};
use engine::{
    RunResult,
    control::Ending,
    double::{Faults, Injected, MemoryBroker},
    ports::FaultKind,
};
use measure::Pacing;

const RECONNECT: &str = "reconnect = { limit = '20s', backoff = '1ms..20ms' }";

fn dropped(settings: &str, service: &str, faults: Faults) -> (Injected, RunResult) {
    let text = format!("timeout = '40s'\n{settings}\n[service]\n{RECONNECT}\n{service}");
    let broker = MemoryBroker::with(faults);
    let (outcome, _) = run_world(&plan(&text, 2), &broker, 0, None);
    (broker.injected(), outcome.unwrap())
}

#[test]
fn every_message_arrives_whatever_was_in_flight_when_connections_ended() {
    for confirms in ["each", "batch:16", "window:50"] {
        for (acks, every) in [("each", 97), ("multiple:8", 211), ("multiple:64", 150)] {
            let faults = Faults { drop_every: Some(every), unreachable: 3, ..Faults::default() };
            let service = format!("confirms = '{confirms}'\nacks = '{acks}'");
            let (injected, result) = dropped("messages = 2000\nproducers = 2\nconsumers = 2", &service, faults);
            let integrity = &result.integrity;
            assert_eq!(result.ending, Ending::Complete, "{service}");
            assert_eq!(integrity.verdict(), Ok(()), "{service}: {integrity:?}");
            assert_eq!((integrity.sent, integrity.confirmed, integrity.delivered), (2000, 2000, 2000), "{service}");
            assert!(injected.dropped > 5, "{injected:?}");
            // Half of the ends hit a message that had arrived.
            assert!(integrity.republished_after_loss >= injected.dropped, "{service}: {integrity:?}");
            assert!(integrity.duplicated >= injected.dropped / 2, "{service}: {integrity:?}");
            assert_eq!(integrity.duplicated_by_reconnection, integrity.duplicated, "{service}: {integrity:?}");
        }
    }
}

#[test]
fn what_was_delivered_over_a_lost_connection_is_acknowledged_over_no_other() {
    // All four hold deliveries when connections end, which come again to the first of them that is back: the others get nothing
    // new, and an acknowledgement of theirs would be of an unknown delivery, which the broker does not forgive.
    let faults = Faults { drop_every: Some(20), ..Faults::default() };
    let service = "confirms = 'window:50'\nacks = 'multiple:64'\nack_after = '10ms'\nqueues = 1";
    let settings = "messages = 400\nproducers = 1\nconsumers = 4\nload.rate = '500/s'";
    let (injected, result) = dropped(settings, service, faults);
    let integrity = &result.integrity;
    assert!(injected.dropped >= 20, "{injected:?}");
    assert_eq!((result.ending, integrity.verdict()), (Ending::Complete, Ok(())), "{integrity:?}");
    assert_eq!((integrity.sent, integrity.delivered), (400, 400), "{integrity:?}");
}

#[test]
fn a_connection_that_was_made_again_and_only_rejects_is_made_once_more() {
    for confirms in ["each", "window:50"] {
        let faults = Faults { drop_every: Some(300), rejecting: 2, ..Faults::default() };
        let service = format!("confirms = '{confirms}'\nrepublish_limit = 40");
        let (injected, result) = dropped("messages = 500\nproducers = 1\nconsumers = 1", &service, faults);
        let integrity = &result.integrity;
        assert_eq!(injected.dropped, 1, "{injected:?}");
        assert_eq!((integrity.abandoned, integrity.confirmed, integrity.delivered), (0, 500, 500), "{integrity:?}");
        let lost: Vec<_> = result.ranks.iter().flat_map(|rank| &rank.lost).collect();
        let producer = lost.iter().find(|lost| lost.name == "producer 0").unwrap();
        assert_eq!((producer.by_cause["closed"].times, producer.by_cause["rejected"].times), (1, 2), "{producer:?}");
    }
}

#[test]
fn each_lost_connection_is_reported_with_how_long_it_was_gone() {
    let faults = Faults { drop_every: Some(400), unreachable: 2, ..Faults::default() };
    let (injected, result) = dropped("messages = 2000\nproducers = 2\nconsumers = 2", "confirms = 'each'", faults);
    let lost: Vec<_> = result.ranks.iter().flat_map(|rank| &rank.lost).collect();
    let names: Vec<_> = lost.iter().map(|lost| lost.name.as_str()).collect();
    assert!(names.contains(&"consumer 0") && names.contains(&"consumer 1"), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("producer ")), "{names:?}");
    for lost in lost {
        assert!((1..=injected.dropped).contains(&lost.all.times), "{lost:?}");
        assert_eq!(lost.by_cause["closed"], lost.all);
        assert!(lost.all.longest_s <= lost.all.total_s && lost.all.longest_s > 0.0, "{lost:?}");
        assert_eq!(lost.first.len() as u64, lost.all.times);
    }
}

#[test]
fn without_confirms_what_was_written_before_a_loss_is_undetermined_if_it_never_arrives() {
    let faults = Faults { drop_every: Some(950), lose_every: Some(300), ..Faults::default() };
    let settings = "timeout = '4s'\nmessages = 1000\nproducers = 1\nconsumers = 1";
    let text = format!("{settings}\n[service]\n{RECONNECT}\nconfirms = 'none'\nacks = 'each'\nqueues = 1");
    let broker = MemoryBroker::with(faults);
    let result = run_world(&plan(&text, 2), &broker, 0, None).0.unwrap();
    let (injected, integrity) = (broker.injected(), &result.integrity);
    assert_eq!((injected.dropped, injected.lost), (1, 3), "{injected:?}");
    // They were lost before the connection was: nobody promised to keep them.
    assert_eq!(integrity.delivered + integrity.undetermined + integrity.lost, integrity.expected, "{integrity:?}");
    assert_eq!((integrity.undetermined, integrity.lost), (3, 0), "{integrity:?}");
    assert_eq!(integrity.first_undetermined.len(), 3);
}

#[test]
fn a_message_that_comes_twice_for_another_reason_stays_unexplained() {
    let faults = Faults { drop_every: Some(1500), duplicate_every: Some(700), ..Faults::default() };
    let (injected, result) =
        dropped("messages = 2900\nproducers = 1\nconsumers = 1", "confirms = 'each'\nacks = 'each'", faults);
    let integrity = &result.integrity;
    assert_eq!(injected.dropped, 1, "{injected:?}");
    assert!(injected.duplicated >= 3, "{injected:?}");
    // What came before the loss may have come again because of it; the copies after it have no such excuse.
    let unexplained = integrity.duplicated - integrity.duplicated_by_reconnection;
    assert!(unexplained >= 1, "{integrity:?}");
    assert!(integrity.verdict().unwrap_err().contains("duplicate deliveries"), "{integrity:?}");
}

#[test]
fn producers_and_consumers_of_replies_come_back_too() {
    for replies in [false, true] {
        let faults = Faults { drop_every: Some(251), unreachable: 1, replies, ..Faults::default() };
        let settings =
            "pattern = 'work-sharing-feedback'\nmessages = 1000\nproducers = 2\nconsumers = 2\nload.rate = '2000/s'";
        let text = format!("timeout = '6s'\n{settings}\n[service]\n{RECONNECT}\nconfirms = 'each'\nacks = 'each'");
        let broker = MemoryBroker::with(faults);
        let result = run_world(&plan(&text, 2), &broker, 0, None).0.unwrap();
        let (integrity, injected) = (&result.integrity, broker.injected());
        let of_replies = integrity.replies.as_ref().unwrap();
        assert!(injected.dropped >= 3, "{injected:?}");
        assert_eq!((integrity.delivered, integrity.lost, integrity.undetermined), (1000, 0, 0), "{integrity:?}");
        // The queue of a producer's replies ends with its connection, and what is in it; the rest of the replies arrives.
        assert_eq!(of_replies.delivered + of_replies.lost + of_replies.undetermined, 1000, "{of_replies:?}");
        assert!(of_replies.delivered > 0, "{of_replies:?}");
        // Each end hits a reply that is sent again.
        assert!(!replies || of_replies.resent >= injected.dropped, "{of_replies:?} {injected:?}");
        assert!(integrity.findings().is_empty(), "{:?}", integrity.findings());
        assert!(!matches!(result.ending, Ending::Fault(..)), "{:?}", result.ending);
        let names: Vec<_> = result.ranks.iter().flat_map(|rank| &rank.lost).map(|lost| lost.name.as_str()).collect();
        assert!(names.iter().any(|name| name.ends_with(" replies")), "{names:?}");
    }
}

#[test]
fn who_is_late_for_want_of_a_connection_is_not_limited_by_the_generator() {
    // Both ends try eight times in all before they have a connection again, which holds for 50 ms.
    let faults = Faults { drop_every: Some(100), unreachable: 8, ..Faults::default() };
    let text = "duration = '2s'\nproducers = 1\nconsumers = 1\ntimeout = '30s'\nload.rate = '2000/s'\n[service]\n\
                reconnect = { limit = '20s', backoff = '50ms..50ms' }";
    let result = result(text, 2, faults);
    assert_eq!(result.pacing, Some(Pacing::CutShort), "{:?}", result.counters);
    let lost = result.ranks.iter().flat_map(|rank| &rank.lost).find(|lost| lost.publishes());
    assert!(lost.is_some_and(|lost| lost.all.total_s > 0.5), "{lost:?}");
}

#[test]
fn a_worker_that_finds_no_way_back_ends_the_run_with_how_long_it_tried() {
    let faults = Faults { drop_every: Some(100), unreachable: u32::MAX, ..Faults::default() };
    let text = "messages = 1000\nproducers = 1\nconsumers = 1\ntimeout = '30s'\n[service]\n\
                reconnect = { limit = '500ms', backoff = '1ms..50ms' }";
    let result = result(text, 2, faults);
    let Ending::Fault(_, fault) = &result.ending else { panic!("{:?}", result.ending) };
    assert_eq!(fault.kind, FaultKind::Lost);
    assert!(fault.sentence.contains("beyond the limit of 0.5 s (--reconnect)"), "{fault}");
    assert_eq!(result.integrity.lost, 0);
}

#[test]
fn without_a_limit_a_lost_connection_ends_the_run_as_ever() {
    let faults = Faults { drop_every: Some(100), ..Faults::default() };
    let result = result("messages = 1000\nproducers = 1\nconsumers = 1", 2, faults);
    let Ending::Fault(_, fault) = &result.ending else { panic!("{:?}", result.ending) };
    assert_eq!(fault.sentence, "the broker ended the connection");
    assert!(result.ranks.iter().all(|rank| rank.lost.is_empty()));
}
