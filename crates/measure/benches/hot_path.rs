//! The cost of the measurement itself per message: `cargo bench -p measure`.

use measure::{Deliveries, Histograms, Metric, Sent};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{hint::black_box, time::Instant};

/// The limit on the cost of recording one sample.
const RECORD_BAR_NS: f64 = 50.0;

fn main() {
    record();
    sent();
    observe_in_order("in order, 1 producer", 100_000_000, 1);
    observe_in_order("in order, 4 producers", 100_000_000, 4);
    observe_in_order("in order, 1000 producers", 20_000_000, 1000);
    observe_share("every 2nd message, 2 producers", 50_000_000, 2);
    observe_share("every 64th message, 2 producers", 10_000_000, 64);
    observe_shuffled();
}

/// Runs `work` of `count` steps, and prints the time of a step.
fn timed<T>(name: &str, count: u64, work: impl FnOnce() -> T) -> T {
    let (result, ns) = took(count, work);
    println!("{name:<52} {ns:8.1} ns");
    result
}

/// The same against the bar on recording.
fn timed_against_the_bar(name: &str, count: u64, work: impl FnOnce()) {
    let ((), ns) = took(count, work);
    let verdict = if ns < RECORD_BAR_NS { "under" } else { "OVER" };
    println!("{name:<52} {ns:8.1} ns  {verdict} the bar of {RECORD_BAR_NS} ns");
}

/// What `work` of `count` steps made, and what a step took in nanoseconds.
fn took<T>(count: u64, work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = black_box(work());
    (result, start.elapsed().as_nanos() as f64 / count as f64)
}

fn record() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let samples: Vec<u64> = (0..1 << 16)
        .map(|_| {
            let octave = 1u64 << random.random_range(10..30);
            octave + random.random_range(0..octave)
        })
        .collect();
    let mut histograms = Histograms::new();
    histograms.record(Metric::Confirm, 1);
    timed_against_the_bar("record, 1 us to 1 s", 20_000_000, || {
        for ns in samples.iter().cycle().take(20_000_000) {
            histograms.record(Metric::Confirm, black_box(*ns));
        }
    });
    timed_against_the_bar("record, around 300 us", 20_000_000, || {
        for i in 0..20_000_000u64 {
            histograms.record(Metric::Confirm, black_box(300_000 + (i & 0xffff)));
        }
    });
    timed("summary", 100, || {
        for _ in 0..100 {
            black_box(histograms.summaries());
        }
    });
    timed("reduce_vector", 100, || {
        for _ in 0..100 {
            black_box(histograms.reduce_vector(&Metric::ALL));
        }
    });
}

fn sent() {
    let count = 50_000_000;
    let sent = timed("publish and confirm, in order", count, || {
        let mut sent = Sent::new(true);
        for _ in 0..count {
            let sequence = sent.publish();
            sent.confirm(black_box(sequence));
        }
        sent
    });
    println!("{:>60} B encoded", sent.finish().encode().len());
}

fn observe_in_order(name: &str, count: u64, producers: u32) {
    let deliveries = timed(&format!("observe {name}"), count, || {
        let mut deliveries = Deliveries::new();
        for sequence in 0..count / u64::from(producers) {
            for producer in 0..producers {
                deliveries.observe(producer, black_box(sequence), false);
            }
        }
        deliveries
    });
    size(&deliveries);
}

fn observe_share(name: &str, count: u64, consumers: u64) {
    let deliveries = timed(&format!("observe {name}"), count, || {
        let mut deliveries = Deliveries::new();
        for i in 0..count / 2 {
            for producer in 0..2 {
                deliveries.observe(producer, black_box(i * consumers), false);
            }
        }
        deliveries
    });
    size(&deliveries);
}

fn observe_shuffled() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let count = 10_000_000;
    let sequences: Vec<u64> = (0..count).map(|_| random.random_range(0..100_000_000)).collect();
    let deliveries = timed("observe at random, 1 producer", count, || {
        let mut deliveries = Deliveries::new();
        for sequence in sequences {
            deliveries.observe(0, sequence, false);
        }
        deliveries
    });
    size(&deliveries);
}

fn size(deliveries: &Deliveries) {
    let encoded = timed("  encode (whole ledger)", 1, || deliveries.encode());
    println!("{:>60} B encoded", encoded.len());
    println!("{:>60} kB resident in the process", resident_kb());
}

fn resident_kb() -> u64 {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
            line.split_whitespace().nth(1)?.parse().ok()
        })
        .unwrap_or(0)
}
