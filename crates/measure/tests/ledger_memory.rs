//! The ledger of 100 million messages stays below its limit of memory, whatever a consumer's share.
//!
//! A binary of its own, and one test in it: what is measured is the process.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use measure::{Deliveries, Sent, SentSummary, join, join_each};

const MESSAGES: u64 = 100_000_000;
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

fn confirmed() -> SentSummary {
    let mut sent = Sent::new(true);
    for _ in 0..MESSAGES {
        let sequence = sent.publish();
        sent.confirm(sequence);
    }
    sent.finish()
}

#[test]
fn a_hundred_million_messages_take_less_than_32_mib() {
    let sent = check("a producer", confirmed);
    let all = check("a consumer of everything", || {
        let mut all = Deliveries::new();
        (0..MESSAGES).for_each(|sequence| {
            all.observe(0, sequence, false);
        });
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
    let broadcast = check("the join of a broadcast", || join_each(&sent, [&all, &all, &all].map(decode), 3));
    assert_eq!((broadcast.delivered, broadcast.verdict()), (3 * MESSAGES, Ok(())));
}
