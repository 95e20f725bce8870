//! The ledger of 100 million messages stays below its limit of memory, whatever a consumer's share.
//!
//! A binary of its own, and one test in it: what is measured is the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use measure::{Deliveries, Handed, Sent, SentSummary, join, join_each, join_with};

const MESSAGES: u64 = 100_000_000;
/// Of consumers that hand old parts of their ledgers over.
const HANDED: u64 = 20_000_000;
const LIMIT_BYTES: u64 = 32 << 20;

/// A line of /proc/self/status that is in kB, in bytes.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap() << 10
}

/// What `work` takes at its peak.
#[track_caller]
fn check<T>(name: &str, work: impl FnOnce() -> T) -> T {
    // The peak begins anew.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let before = status("VmRSS:");
    let result = work();
    let taken = status("VmHWM:") - before;
    println!("{name}: {} KiB", taken >> 10);
    assert!(taken < LIMIT_BYTES, "{name} takes {} MiB", taken >> 20);
    result
}

fn confirmed(messages: u64) -> SentSummary {
    let mut sent = Sent::new(true);
    for _ in 0..messages {
        let sequence = sent.publish();
        sent.confirm(sequence);
    }
    sent.finish()
}

/// Three consumers take turns, and a fourth gets one message in 1,000.
fn consumers_that_hand_over() -> (Handed, Vec<Deliveries>) {
    let (mut consumers, mut handed) = (vec![Deliveries::new(); 4], Handed::default());
    let (mut of_consumer, mut of_all) = ([0; 2], [0; 2]);
    for sequence in 0..HANDED {
        let consumer = if sequence % 1_000 == 0 { 3 } else { sequence as usize % 3 };
        consumers[consumer].observe(0, sequence, false);
        if sequence % 50_000 == 0 {
            for consumer in &mut consumers {
                consumer.hand_over().into_iter().for_each(|piece| handed.take(piece));
                let half = usize::from(sequence > HANDED / 2);
                of_consumer[half] = consumer.bytes().max(of_consumer[half]);
            }
            of_all[usize::from(sequence > HANDED / 2)] = handed.bytes();
        }
    }
    assert!(
        of_consumer[1] <= of_consumer[0] * 5 / 4 && of_consumer[1] < 96 << 10,
        "{of_consumer:?} bytes in each half"
    );
    // What the fourth has not handed over yet is missing there.
    assert!(of_all[1] < 256 << 10, "{of_all:?} bytes of what was handed over");
    (handed, consumers)
}

#[test]
fn a_hundred_million_messages_take_less_than_32_mib() {
    let sent = check("a producer", || confirmed(MESSAGES));
    let all = check("a consumer of everything", || {
        let mut all = Deliveries::new();
        let mut early = 0;
        (0..MESSAGES).for_each(|sequence| {
            all.observe(0, sequence, false);
            if sequence == 10_000 {
                early = all.bytes();
            }
        });
        assert_eq!(all.bytes(), early, "what comes in order takes nothing");
        all.pack();
        all.encode()
    });
    let shares = [0, 1].map(|share| {
        check("a consumer of every other message", || {
            let mut half = Deliveries::new();
            (share..MESSAGES).step_by(2).for_each(|sequence| {
                half.observe(0, sequence, false);
            });
            half.pack();
            half.encode()
        })
    });
    let sent = [(0, sent)];
    let decode = |bytes: &Vec<u8>| Deliveries::decode(bytes).unwrap();
    let shared = check("the join of shared work", || join(&sent, shares.iter().map(decode)));
    assert_eq!((shared.delivered, shared.verdict()), (MESSAGES, Ok(())));
    let (handed, left) = check("consumers that share the work and hand over", consumers_that_hand_over);
    let shared = join_with(handed, &[(0, confirmed(HANDED))], left);
    assert_eq!((shared.delivered, shared.verdict()), (HANDED, Ok(())));
    let broadcast = check("the join of a broadcast", || join_each(&sent, [&all, &all, &all].map(decode), 3));
    assert_eq!((broadcast.delivered, broadcast.verdict()), (3 * MESSAGES, Ok(())));
}
