//! The four patterns: deliveries, replies, and the metrics of each.

use crate::support::{plan, result, run_world};
use engine::{
    control::Ending,
    double::{Faults, MemoryBroker},
};
use measure::Metric;
use std::time::Duration;

const PATTERNS: [&str; 4] = ["work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"];

#[test]
fn each_pattern_owes_what_it_owes_for_any_number_of_workers() {
    const MESSAGES: u64 = 120;
    for pattern in PATTERNS {
        for (producers, consumers) in [(1, 1), (2, 3), (4, 4), (1, 8), (3, 1)] {
            for world in [1, 3] {
                let setting = format!("{pattern}, {producers} x {consumers} on {world} rank(s)");
                let result = result(
                    &format!(
                        "pattern = '{pattern}'\nmessages = {MESSAGES}\nproducers = {producers}\nconsumers = {consumers}"
                    ),
                    world,
                    Faults::default(),
                );
                assert_eq!(result.ending, Ending::Complete, "{setting}");
                let integrity = &result.integrity;
                assert_eq!(integrity.verdict(), Ok(()), "{setting}");
                let copies = if pattern.starts_with("broadcast") { consumers } else { 1 };
                let owed = (MESSAGES, MESSAGES * copies, MESSAGES * copies);
                assert_eq!((integrity.sent, integrity.expected, integrity.delivered), owed, "{setting}");
                let has_replies = pattern.ends_with("feedback") || pattern.ends_with("gather");
                let replies = integrity.replies.as_ref().map(|replies| (replies.expected, replies.delivered));
                assert_eq!(replies, has_replies.then_some((owed.1, owed.1)), "{setting}");

                let samples = |metric| result.histograms.get(metric).map(|histogram| histogram.len());
                for metric in [Metric::RttFromDue, Metric::RttFromSent, Metric::Service] {
                    assert_eq!(samples(metric), has_replies.then_some(owed.1), "{setting}: {metric:?}");
                }
                let gathered = (pattern == "broadcast-gather").then_some(MESSAGES);
                assert_eq!(samples(Metric::Gather), gathered, "{setting}");
                assert_eq!(samples(Metric::OneWay), Some(owed.1), "{setting}");
            }
        }
    }
}

#[test]
fn sixty_four_consumers_of_one_producer_reply_to_all() {
    let text = "pattern = 'broadcast-gather'\nmessages = 20\nproducers = 1\nconsumers = 64";
    let result = result(text, 5, Faults::default());
    assert_eq!(result.integrity.verdict(), Ok(()));
    assert_eq!(result.counters.replies, 20 * 64);
    assert_eq!(result.throughput.window_s > 0.0, result.throughput.messages_per_second.is_some());
}

#[test]
fn vectors_of_all_consumers_are_reduced_and_checked() {
    for how in ["sum:4kB", "mean:12B"] {
        let text = format!(
            "pattern = 'broadcast-gather'\nmessages = 40\nproducers = 2\nconsumers = 5\n[service]\nreply = '{how}'"
        );
        let right = result(&text, 3, Faults::default());
        assert_eq!(right.integrity.verdict(), Ok(()), "{how}");
        assert_eq!(right.histograms.get(Metric::Reduce).map(|histogram| histogram.len()), Some(40), "{how}");
        // One bit of every reply, so that each vector is wrong.
        let damaged = result(&text, 3, Faults { corrupt_every: Some(1), replies: true, ..Faults::default() });
        assert_eq!(damaged.integrity.replies.as_ref().unwrap().corrupt, 40, "{how}");
    }
    let echoed = result("pattern = 'broadcast-gather'\nmessages = 4\nconsumers = 2", 3, Faults::default());
    assert!(echoed.histograms.get(Metric::Reduce).is_none());
}

#[test]
fn a_reply_of_a_chosen_size_is_checked_for_it() {
    for size in ["0B", "1B", "100KiB"] {
        let text = format!("pattern = 'work-sharing-feedback'\nmessages = 50\n[service]\nreply = '{size}'");
        let right = result(&text, 2, Faults::default());
        assert_eq!(right.integrity.verdict(), Ok(()), "{size}");
    }
    let text = "pattern = 'work-sharing-feedback'\nmessages = 50\n[service]\nreply = '8B'";
    let damaged = result(text, 2, Faults { corrupt_every: Some(10), replies: true, ..Faults::default() });
    assert_eq!(damaged.integrity.replies.as_ref().unwrap().corrupt, 5);
    assert!(damaged.integrity.verdict().unwrap_err().contains("replies were corrupt"));
}

#[test]
fn the_parts_of_a_round_trip_fit_together() {
    // Nothing paces the producer, so a message is due when it is sent.
    let text = "pattern = 'work-sharing-feedback'\nmessages = 200\nproducers = 1\nconsumers = 1\n\
                service_time = 'constant:2ms'\n[service]\nconfirms = 'each'";
    let result = result(text, 2, Faults::default());
    let p50 = |metric| result.histograms.get(metric).unwrap().summary().p50_ns.unwrap();
    assert_eq!(p50(Metric::RttFromDue), p50(Metric::Service));
    assert!(p50(Metric::RttFromSent) <= p50(Metric::Service));
    assert!(p50(Metric::Service) >= 1_500_000, "the consumer works 2 ms: {} ns", p50(Metric::Service));
}

#[test]
fn consumers_that_work_and_producers_that_think_take_their_time() {
    for (delay, expected_s) in [("service_time = 'constant:5ms'", 0.5), ("think_time = 'uniform:4ms-6ms'", 0.5)] {
        let result = result(&format!("messages = 100\nproducers = 1\nconsumers = 1\n{delay}"), 2, Faults::default());
        let took_s = result.phases[&engine::Phase::Stream];
        // No less than that, and on a busy machine not much more.
        assert!((expected_s * 0.8..expected_s * 20.0).contains(&took_s), "{delay}: {took_s} s");
        assert_eq!(result.integrity.verdict(), Ok(()));
    }
}

#[test]
fn a_rest_of_a_multiple_is_acknowledged_in_time_whether_its_consumer_is_idle_or_works() {
    for (service_time, acks) in [("1ms", 1..=2), ("20ms", 5..=20)] {
        let plan = plan(
            &format!(
                "messages = 20\nproducers = 1\nconsumers = 1\nservice_time = 'constant:{service_time}'\n\
                 [service]\nacks = 'multiple:64'\nack_after = '50ms'"
            ),
            2,
        );
        let broker = MemoryBroker::default();
        let (outcome, _) = run_world(&plan, &broker, 0, None);
        assert_eq!(outcome.unwrap().integrity.verdict(), Ok(()));
        assert!(acks.contains(&broker.acks()), "{service_time}: {}", broker.acks());
    }
}

#[test]
fn a_broadcast_that_a_slow_queue_refuses_comes_again_and_is_explained() {
    let text = "pattern = 'broadcast'\nmessages = 600\nproducers = 2\nconsumers = 3\n\
                [service]\nmax_length = 5\nconfirms = 'window:50'";
    let result = result(text, 4, Faults::default());
    assert!(result.integrity.rejected > 0, "no queue was ever full");
    assert_eq!((result.integrity.lost, result.integrity.delivered), (0, 1800));
    assert_eq!(result.integrity.verdict(), Ok(()), "{} duplicates", result.integrity.duplicated);
}

#[test]
fn a_reply_that_never_comes_ends_in_a_verdict() {
    for pattern in ["work-sharing-feedback", "broadcast-gather"] {
        let text = format!("pattern = '{pattern}'\nmessages = 100\nproducers = 1\nconsumers = 1\ntimeout = '4s'");
        let faults = Faults { lose_every: Some(100), replies: true, ..Faults::default() };
        let result = result(&text, 2, faults);
        assert!(matches!(result.ending, Ending::Missing(_)), "{:?}", result.ending);
        let error = result.integrity.verdict().unwrap_err();
        assert_eq!(error, "1 of 100 replies is undetermined (the service still has 0)", "{pattern}");
    }
}

#[test]
fn a_broken_connection_for_replies_ends_the_run() {
    let plan = plan("pattern = 'broadcast-gather'\nmessages = 100000", 3);
    let broker = MemoryBroker::with(Faults { break_at: Some(300), replies: true, ..Faults::default() });
    let (outcome, _) = run_world(&plan, &broker, 0, None);
    assert!(matches!(outcome.unwrap().ending, Ending::Fault(..)));
}

#[test]
fn a_queue_that_refuses_every_broadcast_ends_in_a_verdict() {
    let text = "pattern = 'broadcast-gather'\nmessages = 4\nconsumers = 2\n[service]\nrepublish_limit = 2";
    let started = std::time::Instant::now();
    let result = result(text, 3, Faults { reject_every: Some(1), ..Faults::default() });
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!((result.integrity.abandoned, result.integrity.delivered), (4, 0));
    assert!(result.integrity.verdict().unwrap_err().contains("given up"));
}
