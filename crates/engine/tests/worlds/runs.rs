//! The results of runs with any settings and after any failure.

use crate::support::{Quiet, place, plan, result, run_after_each_other, run_world, run_world_of};
use engine::{
    RunError,
    control::{Control, Ending, Status},
    double::{Faults, MemoryBroker, PlainPayloads, ThreadComm},
    ports::{Comm, CommError, FaultKind},
    run,
};
use measure::{Counters, Integrity, Metric};
use std::time::Duration;

#[test]
fn everything_arrives_whatever_the_ranks_confirms_and_acks() {
    for world in [1, 2, 5] {
        for confirms in ["none", "each", "batch:64", "window:10"] {
            for acks in ["auto", "each", "multiple:64"] {
                let text = format!(
                    "messages = 500\nproducers = 2\nconsumers = 3\n[service]\nconfirms = '{confirms}'\nacks = '{acks}'"
                );
                let result = result(&text, world, Faults::default());
                let integrity = &result.integrity;
                let counts = (integrity.sent, integrity.delivered, integrity.lost, integrity.duplicated);
                assert_eq!(counts, (500, 500, 0, 0), "{world} ranks, {confirms}, {acks}");
                assert_eq!(result.ending, Ending::Complete);
                assert_eq!(integrity.verdict(), Ok(()));
                assert_eq!(result.counters.sent, 500, "counters are summed by reduce");
                assert_eq!(result.histograms.get(Metric::OneWay).unwrap().len(), 500);
            }
        }
    }
}

#[test]
fn a_batch_that_the_count_does_not_fill_is_sent_all_the_same() {
    let result = result("messages = 37\n[service]\nconfirms = 'batch:64'", 2, Faults::default());
    assert_eq!((result.integrity.sent, result.integrity.confirmed, result.integrity.delivered), (37, 37, 37));
}

#[test]
fn a_run_of_a_time_measures_its_window_and_drains_what_is_on_its_way() {
    let result = result("duration = '300ms'\nwarmup = '100ms'", 4, Faults::default());
    assert_eq!(result.ending, Ending::Complete);
    assert_eq!(result.integrity.lost, 0);
    assert!((result.throughput.window_s - 0.3).abs() < 1e-9);
    let inside = result.counters.in_window_messages;
    assert!(
        inside > 0 && inside < result.counters.received,
        "the warm-up is not measured: {inside} of {}",
        result.counters.received
    );
}

#[test]
fn the_ledger_reports_exactly_what_was_injected() {
    // Of 1,000 messages every 100th is hit, the 1,000th included where that can be.
    let hit = Some(100);
    let base = "messages = 1000\ntimeout = '4s'";
    let lossy = result(base, 3, Faults { lose_every: hit, ..Faults::default() });
    assert_eq!((lossy.integrity.lost, lossy.integrity.delivered), (10, 990));
    assert!(matches!(lossy.ending, Ending::Missing(_)), "what never comes is missed: {:?}", lossy.ending);
    let error = lossy.integrity.verdict().unwrap_err();
    assert!(error.contains("10 of 1000 messages were lost"), "{error}");

    let doubled = result(base, 3, Faults { duplicate_every: hit, ..Faults::default() });
    assert_eq!((doubled.integrity.duplicated, doubled.integrity.lost), (10, 0));

    let damaged = result(base, 3, Faults { corrupt_every: hit, ..Faults::default() });
    assert_eq!((damaged.integrity.corrupt, damaged.integrity.lost), (10, 0));
    assert_eq!(damaged.integrity.corrupt_by_kind, [("checksum".to_owned(), 10)].into());
    let (exhibit, first) = (damaged.first_corrupt.unwrap(), damaged.integrity.first_corrupt.unwrap());
    assert_eq!((exhibit.arrival.producer, exhibit.arrival.sequence), (first.producer, first.sequence));
    assert_eq!(exhibit.body.len(), 100);
    assert_eq!((exhibit.body[0] ^ exhibit.body[1], exhibit.body[1]), (1, exhibit.body[99]), "the body as it arrived");
    assert_eq!(damaged.ending, Ending::Complete);

    let swapped =
        result("messages = 1050\nproducers = 1\nconsumers = 1", 2, Faults { swap_every: hit, ..Faults::default() });
    assert_eq!((swapped.integrity.reordered, swapped.integrity.lost), (10, 0));
}

#[test]
fn rejected_messages_are_published_again_and_none_is_lost() {
    let result = result("messages = 600", 3, Faults { reject_every: Some(50), ..Faults::default() });
    assert_eq!((result.integrity.delivered, result.integrity.lost), (600, 0));
    assert!(result.integrity.rejected >= 12, "{}", result.integrity.rejected);
    assert_eq!(result.integrity.rejected, result.integrity.republished);
}

#[test]
fn a_message_rejected_for_ever_is_given_up_and_reported() {
    let text = "messages = 5\nproducers = 1\nconsumers = 1\n[service]\nrepublish_limit = 3";
    let result = result(text, 2, Faults { reject_every: Some(1), ..Faults::default() });
    assert_eq!((result.integrity.abandoned, result.integrity.rejected, result.integrity.delivered), (5, 20, 0));
    assert!(result.integrity.verdict().unwrap_err().contains("given up"));
}

#[test]
fn a_service_that_deletes_nothing_any_more_takes_nothing_from_the_numbers_and_what_is_left_is_named() {
    let broker = MemoryBroker::with(Faults { refuse_deletes: true, ..Faults::default() });
    let (outcome, observer) = run_world(&plan("messages = 10", 2), &broker, 0, None);
    assert_eq!(outcome.unwrap().integrity.verdict(), Ok(()));
    assert_eq!(observer.left.len(), 1, "{:?}", observer.left);
}

#[test]
fn a_run_that_is_cut_short_ends_even_if_the_service_hangs_while_queues_are_deleted() {
    // Its limit is ten seconds.
    if std::env::var_os("STREAMHARNESS_SLOW").is_none_or(|value| value != "1") {
        return println!("skipped, STREAMHARNESS_SLOW=1 runs it");
    }
    let never = Duration::from_secs(3600);
    let faults = Faults { stall: Some((5, never)), silent_deletes: true, ..Faults::default() };
    let mut plan = plan("messages = 1000", 2);
    // Of these limits none may count once the run was cut short: with one of them it would not end.
    (plan.limits.connect, plan.limits.broker) = (never, never);
    let (outcome, observer) = run_world(&plan, &MemoryBroker::with(faults), 0, Some(Duration::from_millis(200)));
    assert!(matches!(outcome.unwrap().ending, Ending::Stopped(_)));
    let queues: Vec<_> = plan.shared_queues().map(|queue| queue.name.clone()).collect();
    assert_eq!(observer.left, queues, "all that was declared is named");
    let fault = observer.left_for.expect("the reason is reported");
    assert!(fault.sentence.starts_with("deleting queues took more than "), "{fault}");
}

#[test]
fn a_full_queue_slows_producers_down_and_loses_nothing() {
    let result = result("messages = 2000\n[service]\nmax_length = 10\nconfirms = 'window:100'", 4, Faults::default());
    assert_eq!((result.integrity.delivered, result.integrity.lost), (2000, 0));
}

#[test]
fn a_broker_that_breaks_ends_the_run_with_a_record_of_it() {
    let plan = plan("messages = 100000", 4);
    let broker = MemoryBroker::with(Faults { break_at: Some(500), ..Faults::default() });
    let (outcome, observer) = run_world(&plan, &broker, 0, None);
    let result = outcome.unwrap();
    let Ending::Fault(_, fault) = &result.ending else { panic!("{:?}", result.ending) };
    assert_eq!(fault.kind, FaultKind::Lost);
    assert_eq!(observer.cut_short.as_ref(), Some(&result.ending), "the record can be saved before the reduce");
    assert!(result.integrity.sent > 0);
}

#[test]
fn a_refused_login_ends_every_rank_before_anything_is_sent() {
    let plan = plan("messages = 10", 3);
    let (outcome, _) =
        run_world(&plan, &MemoryBroker::with(Faults { refuse_login: true, ..Faults::default() }), 0, None);
    let error = outcome.unwrap_err();
    assert!(matches!(error, RunError::Failed { step: "connecting", .. }), "{error:?}");
    assert!(error.to_string().contains("refuses the login"), "{error}");
}

#[test]
fn a_request_to_stop_ends_in_a_result() {
    let plan = plan("duration = '60s'", 3);
    let (outcome, observer) = run_world(&plan, &MemoryBroker::default(), 0, Some(Duration::from_millis(300)));
    let result = outcome.unwrap();
    assert_eq!(result.ending, Ending::Stopped("a test".to_owned()));
    assert!(result.throughput.window_s < 5.0, "the rate is over the time there was: {} s", result.throughput.window_s);
    assert!(observer.cut_short.is_some());
}

#[test]
fn clocks_of_other_hosts_are_brought_to_rank_0s_within_the_bound() {
    // Each rank is half a second behind the one before: uncorrected, one-way latency would be negative.
    let plan = plan("messages = 300\nproducers = 2\nconsumers = 2", 4);
    let (outcome, _) = run_world(&plan, &MemoryBroker::default(), -500_000_000, None);
    let result = outcome.unwrap();
    assert!(result.clock_error.bound_ns > 0 && result.clock_error.bound_ns < 100_000_000, "{:?}", result.clock_error);
    match result.histograms.get(Metric::OneWay) {
        Some(one_way) => {
            let summary = one_way.summary();
            assert!(summary.negative == 0 && summary.p50_ns.unwrap() < 400_000_000, "{summary:?}");
        }
        None => assert!(result.warnings[0].contains("withheld"), "{:?}", result.warnings),
    }
}

#[test]
fn runs_of_one_world_are_complete_each_by_itself() {
    // Idle ranks in some of them, as in a sweep.
    let small = plan("messages = 300\nproducers = 1\nconsumers = 1", 4);
    let large = plan("messages = 600\nproducers = 2\nconsumers = 2", 4);
    let plans = [large.clone(), small.with_run(8), large.with_run(9)];
    let results = run_after_each_other(ThreadComm::world(4), &plans, &MemoryBroker::default());
    let seen: Vec<_> = results
        .iter()
        .map(|result| {
            (result.ending.clone(), result.integrity.sent, result.integrity.delivered, result.integrity.foreign)
        })
        .collect();
    let complete = |messages| (Ending::Complete, messages, messages, 0);
    assert_eq!(seen, [complete(600), complete(300), complete(600)]);
}

#[test]
fn a_message_of_a_rank_from_an_earlier_run_ends_no_later_one() {
    let plan = plan("messages = 300\nproducers = 1\nconsumers = 1", 3);
    let world = ThreadComm::world(3);
    let counters = Counters { sent: 5, accepted: 5, received: 5, distinct: 5, ..Counters::default() };
    let done = Status { producers_done: 1, counters, ..Status::default() };
    world[2].post(0, &Control::Status(plan.run - 1, Box::new(done)).encode()).unwrap();
    let results = run_after_each_other(world, &[plan], &MemoryBroker::default());
    assert_eq!((&results[0].ending, results[0].integrity.delivered), (&Ending::Complete, 300));
}

#[test]
fn a_rank_that_never_comes_is_noticed_within_the_limit() {
    let mut plan = plan("messages = 10", 2);
    plan.limits.collective = Duration::from_millis(200);
    let comm = ThreadComm::world(2).swap_remove(0);
    let outcome = run(
        &comm,
        &plan,
        MemoryBroker::default(),
        PlainPayloads { bytes: 10, spoilt_every: None },
        &place(0, 0),
        &mut Quiet::default(),
    );
    assert!(matches!(outcome, Err(RunError::Comm(CommError::Absent { .. }))), "{outcome:?}");
}

#[test]
fn what_an_inspection_finds_is_counted_and_kept_even_from_the_last_message() {
    // Sequences 0 to 199 of each of two producers; every other one is spoilt.
    for (text, expected) in [("", 200), ("verify = 'every:100'", 4), ("verify = 'off'", 0)] {
        let plan = plan(&format!("messages = 400\nproducers = 2\nconsumers = 2\n{text}"), 3);
        let payloads = PlainPayloads { bytes: 100, spoilt_every: Some(2) };
        let result = run_world_of(&plan, &MemoryBroker::default(), 0, None, payloads).0.unwrap();
        let integrity = &result.integrity;
        assert_eq!((integrity.corrupt, integrity.delivered), (expected, 400), "{text}");
        assert_eq!(integrity.corrupt_by_kind.get("content").copied().unwrap_or_default(), expected, "{text}");
        assert_eq!(result.first_corrupt.is_some(), expected > 0, "{text}");
        if let Some(first) = &integrity.first_corrupt {
            assert!(first.detail.starts_with("spoilt") && integrity.verdict().unwrap_err().contains("spoilt"));
        }
    }
}

#[test]
fn inspections_of_a_sample_take_the_first_body_of_each_producer_and_are_counted() {
    let inspected = |verify: &str, spoilt_every| {
        let plan = plan(
            &format!("messages = 400\nproducers = 4\nconsumers = 1\nverify = '{verify}'\n[service]\nqueues = 1"),
            3,
        );
        let payloads = PlainPayloads { bytes: 100, spoilt_every: Some(spoilt_every) };
        let result = run_world_of(&plan, &MemoryBroker::default(), 0, None, payloads).0.unwrap();
        let integrity = result.integrity;
        let Integrity { delivered, corrupt, inspected, inspected_one_in, .. } = integrity;
        assert_eq!((delivered, result.counters.inspected), (400, inspected.unwrap_or_default()));
        assert_eq!(inspected_one_in, inspected.map(|inspected| 400.0 / inspected as f64));
        assert_eq!(integrity.verdict().is_err(), corrupt > 0);
        (inspected, corrupt)
    };
    assert_eq!(inspected("all", 1000), (Some(400), 4), "the first message of each producer is spoilt");
    assert_eq!(inspected("every:10", 1000), (Some(40), 4));
    assert_eq!(inspected("off", 1000), (None, 0));
    let (sampled, corrupt) = inspected("sampled", 1000);
    assert!((4..=400).contains(&sampled.unwrap()) && corrupt == 4, "{sampled:?}, {corrupt} corrupt");
    let (sampled, corrupt) = inspected("sampled", 1);
    assert_eq!(sampled, Some(corrupt), "each inspection counts what it finds");
}
