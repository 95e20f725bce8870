//! The ledger reports exactly what was injected, for every pattern and over many seeds.

use crate::support::{plan, run_world};
use engine::{
    RunResult,
    control::Ending,
    double::{Faults, Injected, MemoryBroker},
};
use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

const SEEDS: u64 = 100;
const ONE_IN: Option<u64> = Some(1000);
/// Runs that wait at once. Most of the time goes into waiting for what was lost, which ends at the
/// limit: one that a busy machine does not reach before everything else has arrived.
const AT_ONCE: usize = 16;
const TIMEOUT: &str = "timeout = '4s'";
const PATIENT: &str = "timeout = '20s'";

/// What `check` returns for each seed.
fn over_seeds<T: Send>(seeds: u64, check: impl Fn(u64) -> T + Sync) -> Vec<T> {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let run = || {
            let seeds = std::iter::from_fn(|| Some(next.fetch_add(1, Relaxed)).filter(|seed| *seed < seeds));
            seeds.map(&check).collect::<Vec<_>>()
        };
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Runs a plan against a broker with these faults; what was injected, and what came of it.
fn hit(text: &str, faults: Faults) -> (Injected, RunResult) {
    let once = |text: &str| {
        let broker = MemoryBroker::with(faults);
        let (outcome, _) = run_world(&plan(text, 2), &broker, 0, None);
        (broker.injected(), outcome.unwrap())
    };
    match once(text) {
        // Not all had arrived that would: the machine took longer than the limit.
        (_, result) if matches!(result.ending, Ending::Deadline(..)) => once(&text.replace(TIMEOUT, PATIENT)),
        other => other,
    }
}

/// The ledger's findings, in the words of the broker. A short limit leaves it open whether what is missing from the queue of a
/// single consumer is lost.
fn found(result: &RunResult) -> Injected {
    let integrity = &result.integrity;
    Injected {
        lost: integrity.lost + integrity.undetermined,
        duplicated: integrity.duplicated - integrity.redelivered,
        redelivered: integrity.redelivered,
        swapped: integrity.reordered,
        corrupted: integrity.corrupt,
        foreign: integrity.foreign,
        forged: integrity.unexpected,
        rejected: integrity.rejected,
        dropped: 0,
    }
}

#[test]
fn over_a_hundred_seeds_the_ledger_reports_exactly_what_was_injected() {
    let total = over_seeds(SEEDS, check_seed);
    assert_eq!(total.len() as u64, SEEDS);
    let sum = |of: fn(&Injected) -> u64| total.iter().map(of).sum::<u64>();
    assert!(sum(|i| i.lost) > 50 && sum(|i| i.duplicated) > 50 && sum(|i| i.swapped) > 50, "{total:?}");
    assert!(total.iter().any(|injected| injected.lost == 0), "some seeds lose nothing");
}

fn check_seed(seed: u64) -> Injected {
    let (pattern, consumers) =
        [("work-sharing", 1), ("broadcast", 2), ("work-sharing", 2), ("broadcast", 1)][seed as usize % 4];
    // A queue for each consumer: neighbours of one queue stay neighbours.
    let text = format!(
        "pattern = '{pattern}'\nmessages = 1000\nproducers = 2\nconsumers = {consumers}\nseed = {seed}\n\
         {TIMEOUT}\n[service]\nqueues = {consumers}\nqueue_mapping = 'round-robin'"
    );
    let (lose_every, duplicate_every, swap_every) = (ONE_IN, ONE_IN, ONE_IN);
    let faults = Faults { lose_every, duplicate_every, swap_every, seed: Some(seed), ..Faults::default() };
    let (injected, result) = hit(&text, faults);
    assert_eq!(found(&result), injected, "seed {seed}, {pattern}");
    let integrity = &result.integrity;
    let shared = pattern == "work-sharing";
    assert!(if shared { integrity.undetermined == 0 } else { integrity.lost == 0 }, "seed {seed}, {integrity:?}");
    let first = if shared { &integrity.first_lost } else { &integrity.first_undetermined };
    assert_eq!(first.len() as u64, injected.lost.min(10), "seed {seed}");
    assert_eq!(integrity.first_reordered.len() as u64, injected.swapped.min(10), "seed {seed}");
    assert_eq!(integrity.verdict().is_err(), injected.lost + injected.duplicated > 0, "seed {seed}");
    injected
}

#[test]
fn what_disturbs_without_loss_is_counted_as_what_it_is() {
    for seed in 0..10 {
        let faults = Faults {
            redeliver_every: Some(100),
            corrupt_every: Some(100),
            foreign_every: Some(100),
            reject_every: Some(100),
            seed: Some(seed),
            ..Faults::default()
        };
        let (injected, result) = hit("messages = 1000\nproducers = 2\nconsumers = 2", faults);
        // A copy that is damaged and delivered twice is damaged twice.
        let damaged = result.integrity.corrupt;
        assert!((injected.corrupted..=injected.corrupted + injected.redelivered).contains(&damaged), "seed {seed}");
        let integrity = &result.integrity;
        // What is refused and comes again comes behind what followed it.
        assert!(integrity.reordered <= integrity.republished, "seed {seed}");
        let found = Injected { corrupted: injected.corrupted, swapped: 0, ..found(&result) };
        assert_eq!(found, injected, "seed {seed}");
        assert_eq!(integrity.first_redelivered.len(), (injected.redelivered as usize).min(10));
        assert_eq!(integrity.first_foreign.len(), (injected.foreign as usize).min(10));
    }
}

#[test]
fn a_message_with_an_invented_seal_is_unexpected_and_changes_no_other_count() {
    for replies in [false, true] {
        let text = "pattern = 'work-sharing-feedback'\nmessages = 200\nproducers = 2\nconsumers = 2";
        let (injected, result) = hit(text, Faults { forge_every: Some(10), replies, ..Faults::default() });
        let integrity = &result.integrity;
        let of_replies = integrity.replies.as_ref().unwrap();
        assert!(injected.forged > 0, "{injected:?}");
        let expected = if replies { (0, injected.forged) } else { (injected.forged, 0) };
        assert_eq!((integrity.unexpected, of_replies.unexpected), expected);
        assert_eq!((integrity.sent, integrity.delivered, of_replies.delivered), (200, 200, 200));
        assert_eq!((integrity.duplicated, integrity.reordered, integrity.foreign), (0, 0, 0));
        assert_eq!((of_replies.duplicated, of_replies.reordered, of_replies.foreign), (0, 0, 0));
        assert!(integrity.verdict().is_err());
    }
}

#[test]
fn lost_and_doubled_replies_are_distinguished_from_lost_and_doubled_messages() {
    over_seeds(20, |seed| {
        let pattern = ["work-sharing-feedback", "broadcast-gather"][seed as usize % 2];
        let text = format!("pattern = '{pattern}'\nmessages = 500\nproducers = 2\nconsumers = 2\n{TIMEOUT}");
        let faults = Faults {
            lose_every: Some(200),
            duplicate_every: Some(200),
            replies: true,
            seed: Some(seed),
            ..Faults::default()
        };
        let (injected, result) = hit(&text, faults);
        let replies = result.integrity.replies.as_ref().unwrap();
        assert_eq!((replies.undetermined, replies.duplicated), (injected.lost, injected.duplicated), "seed {seed}");
        assert_eq!((result.integrity.lost, result.integrity.duplicated), (0, 0), "seed {seed}");
    });
}

#[test]
fn a_lost_message_takes_its_reply_with_it() {
    let faults = Faults { lose_every: Some(100), ..Faults::default() };
    let text = "pattern = 'broadcast-gather'\nmessages = 100\nproducers = 1\nconsumers = 3\ntimeout = '2s'";
    let (injected, result) = hit(text, faults);
    let replies = result.integrity.replies.as_ref().unwrap();
    assert_eq!((injected.lost, result.integrity.undetermined, replies.undetermined), (3, 3, 3));
}

#[test]
fn a_run_that_is_cut_short_has_lost_nothing_and_reports_what_the_service_still_has() {
    for pattern in ["work-sharing", "broadcast"] {
        let text = format!(
            "pattern = '{pattern}'\nmessages = 1000\nproducers = 1\nconsumers = 2\n\
             service_time = 'constant:10ms'"
        );
        let (outcome, observer) = run_world(&plan(&text, 3), &MemoryBroker::default(), 0, Some(Duration::from_secs(1)));
        let integrity = outcome.unwrap().integrity;
        assert!(matches!(observer.cut_short, Some(Ending::Stopped(_))), "{:?}", observer.cut_short);
        assert!(integrity.undetermined > 0, "{integrity:?}");
        assert_eq!(integrity.delivered + integrity.undetermined, integrity.expected, "{integrity:?}");
        assert_eq!((integrity.lost, integrity.in_service), (0, Some(integrity.undetermined)), "{integrity:?}");
        assert!(!integrity.first_undetermined.is_empty() && integrity.first_lost.is_empty(), "{integrity:?}");
        assert!(integrity.verdict().unwrap_err().contains(" messages are undetermined (the service still has "));
    }
}
