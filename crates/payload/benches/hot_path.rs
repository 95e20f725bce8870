//! What bodies cost per message on one core: `cargo bench -p payload`.
//!
//! Taking a body patches timestamps and reads nothing else, so its rate alone is no throughput. The figure to compare
//! with a link is "take and copy out": the body also goes once to where a client library would put it, as a plain
//! memcpy of the same ring does, which is measured in the same rounds.

use engine::ports::{Payloads, Source};
use payload::{Bodies, Workload};
use profile::{Layer, Origin, Plan, combine};
use std::{hint::black_box, time::Instant};

const ROUNDS: usize = 15;

fn main() {
    for (name, message) in [
        ("8 x 2,000 B", ""),
        ("2 x 8,336 B", "[message]\nevent_bytes = '8336B'\nevents = 2"),
        ("512 x 2,000 B", "[message]\nevents = 512"),
        ("8 x 2,000 B, 64 MiB ring", "[message]\nring = '64MiB'"),
    ] {
        dstream(name, &plan(message));
    }
}

fn plan(text: &str) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).expect("the profile is well formed");
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("dstream is shipped");
    Plan::resolve(&profile, 1, 1).expect("the profile resolves")
}

fn dstream(name: &str, plan: &Plan) {
    let (bytes, ring) = (plan.message.body_bytes as usize, u64::from(plan.message.ring_bodies));
    // About 30 ms of memcpy per round, and at least one whole turn of the ring.
    let messages = (300_000_000 / bytes as u64).max(ring);
    let workload = Workload::new(plan).expect("the plan has a payload");
    let start = Instant::now();
    let mut bodies = workload.source(0).expect("the plan has a payload");
    println!("Dstream {name}: {bytes} B, ring of {ring}, built in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let plain: Vec<Vec<u8>> = (0..ring).map(|sequence| bodies.take(sequence).bytes).collect();
    for (sequence, body) in (0u64..).zip(&plain) {
        bodies.give_back(sequence, body.clone());
    }
    let mut out = vec![0; bytes];
    let [mut copy, mut take, mut both, mut slowest, mut verify, mut fresh] = [const { Vec::new() }; 6];
    let mut next = ring;
    for _ in 0..ROUNDS {
        copy.push(per_message(messages, |i| out.copy_from_slice(black_box(&plain[(i % ring) as usize]))));
        take.push(per_message(messages, |i| {
            round_trip(&mut bodies, next + i, |body| {
                black_box(body);
            })
        }));
        next += messages;
        both.push(per_message(messages, |i| round_trip(&mut bodies, next + i, |body| out.copy_from_slice(body))));
        next += messages;
        black_box(&out);
        slowest.push(percentile_999(&mut bodies, &mut next, &mut out));
        let few: Vec<_> = (next..next + ring).map(|sequence| (sequence, bodies.take(sequence))).collect();
        verify.push(per_message(messages, |i| {
            let (sequence, body) = &few[(i % ring) as usize];
            workload.verify(0, *sequence, body.checksum, black_box(&body.bytes)).expect("the body is intact");
        }));
        // The whole ring is on loan now.
        fresh.push(per_message((ring / 8).clamp(1, 200), |i| {
            black_box(bodies.take(next + i));
        }));
        for (sequence, body) in few {
            bodies.give_back(sequence, body.bytes);
        }
        next += ring;
    }
    let [copy, take, both, slowest, verify, fresh] = [copy, take, both, slowest, verify, fresh].map(median);
    let gbit = |ns: f64| bytes as f64 * 8.0 / ns;
    println!("  memcpy                    {copy:9.0} ns  {:7.1} Gbit/s  ({:.1} GB/s)", gbit(copy), gbit(copy) / 8.0);
    println!("  take                      {take:9.0} ns  (p99.9 with the clock's own cost {slowest:.0} ns)");
    println!(
        "  take and copy out         {both:9.0} ns  {:7.1} Gbit/s  ({:.0} % of memcpy)",
        gbit(both),
        copy / both * 100.0
    );
    println!("  verify                    {verify:9.0} ns  {:7.1} Gbit/s", gbit(verify));
    println!("  take while lent (built)   {fresh:9.0} ns  {:7.1} Gbit/s", gbit(fresh));
}

fn round_trip(bodies: &mut Bodies, sequence: u64, mut send: impl FnMut(&[u8])) {
    let body = bodies.take(sequence);
    black_box(body.checksum);
    send(&body.bytes);
    bodies.give_back(sequence, body.bytes);
}

/// The 99.9th percentile of `take`, in ns, with a copy out after each so that caches are as in use.
fn percentile_999(bodies: &mut Bodies, next: &mut u64, out: &mut [u8]) -> f64 {
    let mut samples: Vec<f64> = (0..5_000)
        .map(|_| {
            let start = Instant::now();
            let body = bodies.take(*next);
            let ns = start.elapsed().as_nanos() as f64;
            out.copy_from_slice(&body.bytes);
            bodies.give_back(*next, body.bytes);
            *next += 1;
            ns
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    samples[samples.len() * 999 / 1000]
}

/// Mean time of `work` in ns.
fn per_message(messages: u64, mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    for i in 0..messages {
        work(i);
    }
    start.elapsed().as_nanos() as f64 / messages as f64
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
