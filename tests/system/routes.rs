//! Every architecture with every instrument's workload in every pattern, all checks on.

use crate::support::{Turn, service, single};
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(90);
/// The whole table, on two cores.
const TABLE_LIMIT: Duration = Duration::from_secs(180);
/// Most of a short run is waiting: several wait at once.
const AT_ONCE: usize = 4;

const ARCHITECTURES: [&str; 6] = ["dts", "dts-plain", "prs-haproxy", "prs-stunnel", "prs-haproxy-4", "mss"];
const WORKLOADS: [&str; 3] = ["dstream", "lstream", "generic"];
const PATTERNS: [&str; 4] = ["work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"];
const MESSAGES: u64 = 6;
const CONSUMERS: u64 = 2;

fn check(turn: &Turn, arch: &str, workload: &str, pattern: &str) {
    let (messages, consumers) = (MESSAGES.to_string(), CONSUMERS.to_string());
    let arguments = ["--arch", arch, "--workload", workload, "--pattern", pattern, "--messages", &messages];
    let shape = ["--producers", "2", "--consumers", &consumers, "--verify", "all", "--prefetch", "2", "--acks", "each"];
    let launch = single(&[&arguments[..], &shape].concat()).through(service());
    let record = launch.start_beside(turn).wait(LIMIT).passes();
    let copies = if pattern.starts_with("broadcast") { CONSUMERS } else { 1 };
    let integrity = &record.integrity;
    let counts = [integrity.sent, integrity.confirmed, integrity.expected, integrity.foreign];
    assert_eq!(counts, [MESSAGES, MESSAGES, MESSAGES * copies, 0], "{arch} {workload} {pattern}: {integrity:?}");
    let way = |hop: &&measure::record::Hop| hop.from == "producer";
    let first = record.route.hops.iter().find(way).map(|hop| hop.to.as_str());
    let expected = match arch {
        "mss" => "balancer",
        _ if arch.starts_with("prs") => "producer proxy",
        _ => "service",
    };
    assert_eq!(first, Some(expected), "{arch} {workload} {pattern}");
}

#[test]
fn every_architecture_carries_every_workload_in_every_pattern() {
    let turn = Turn::take();
    let mut rows = VecDeque::new();
    for arch in ARCHITECTURES {
        for workload in WORKLOADS {
            rows.extend(PATTERNS.map(|pattern| (arch, workload, pattern)));
        }
    }
    assert_eq!(rows.len(), 6 * 3 * 4);
    let started = Instant::now();
    let left = Mutex::new(rows);
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((arch, workload, pattern)) = next() {
                    check(&turn, arch, workload, pattern);
                }
            });
        }
    });
    println!("72 runs in {:.0} s", started.elapsed().as_secs_f64());
    assert!(started.elapsed() < TABLE_LIMIT, "the table takes {:?}", started.elapsed());
}
