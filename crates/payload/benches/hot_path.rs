//! The cost of bodies on one core, and on two: `cargo bench -p payload`.
//!
//! Stamping a body of a ring reads nothing but its stamp, so its rate alone is no throughput. The figures to compare
//! with a link are "ring, copied out": the body also goes once to where a client library would put it, and "fresh": every
//! byte of every message is new. Both stand beside a plain memcpy of as many bytes in the same rounds. So does "verify":
//! it reads each body once, for the checksum. An inspection is measured as in a run: CPU time of a thread of its own, whose
//! bodies another thread has allocated.
//!
//! With an argument, as the benchmark starts itself for the figure on two cores, it only generates: see `Alone`.

use engine::ports::{Payloads, Source};
use nix::time::{ClockId, clock_gettime};
use payload::Workload;
use profile::{Layer, Origin, Plan, combine};
use std::{
    fs,
    hint::black_box,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const ROUNDS: usize = 11;
/// Bytes of a round: enough to leave every cache.
const ROUND_BYTES: u64 = 256 << 20;
const ALONE: Duration = Duration::from_millis(1500);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    if let [workload] = &arguments[..] {
        println!("{}", generate_alone(workload));
        return;
    }
    println!("medians of {ROUNDS} rounds; % is of memcpy in the same rounds");
    println!(
        "{:<20} {:>9} | {:>15} | {:>9} {:>9} | {:>21} | {:>21} | {:>16} {:>9} | {:>7} {:>6}",
        "workload",
        "body B",
        "memcpy Gbit/s",
        "stamp ns",
        "p99.9 ns",
        "ring, copied Gbit/s",
        "fresh Gbit/s",
        "verify us",
        "insp. us",
        "MiB",
        "budget"
    );
    for workload in
        ["dstream", "dstream-greta", "dstream-decomposed", "lstream", "generic", "sns-adara", "aps-ptychography"]
    {
        on_one_core(workload);
    }
    println!("\nfresh bodies by two processes at once over one, medians of 5");
    for workload in ["dstream", "lstream", "generic"] {
        on_two_cores(workload);
    }
}

fn plan(text: &str) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).expect("the profile is well formed");
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("the workload is shipped");
    Plan::resolve(&profile, 1, 1).expect("the profile resolves")
}

fn on_one_core(name: &str) {
    let plan = plan(&format!("workload = '{name}'"));
    let before = resident_bytes();
    let ring = Workload::new(&plan).expect("the plan has a payload");
    let mut bodies = ring.source(0).expect("the plan has a payload");
    let grown = resident_bytes().saturating_sub(before);
    let fresh = Workload::new(&self::plan(&format!("workload = '{name}'\n[message]\nfill = 'fresh'")));
    let fresh = fresh.expect("the plan has a payload");
    let mut made = fresh.source(0).expect("the plan has a payload");

    let slots = u64::from(plan.message.ring_bodies);
    let (plain, checksums): (Vec<Vec<u8>>, Vec<u32>) =
        (0..slots).map(|sequence| ring.body(0, sequence)).map(|body| (body.bytes, body.checksum)).unzip();
    let mean_bytes = plain.iter().map(Vec::len).sum::<usize>() as f64 / slots as f64;
    let messages = (ROUND_BYTES / mean_bytes as u64).max(slots);
    let mut out = vec![0; plain.iter().map(Vec::len).max().unwrap_or_default()];

    let [mut copy, mut stamp, mut slow, mut copied, mut fresh_ns, mut verify, mut inspect] = [const { Vec::new() }; 7];
    let mut next = slots;
    for _ in 0..ROUNDS {
        copy.push(per_message(messages, |i| {
            let body = &plain[(i % slots) as usize];
            out[..body.len()].copy_from_slice(black_box(body));
        }));
        copied
            .push(per_message(messages, |i| round_trip(&mut bodies, next + i, |b| out[..b.len()].copy_from_slice(b))));
        next += messages;
        let few = messages.min(2_000);
        let mut stamps: Vec<f64> = (0..few).map(|i| stamp_ns(&mut bodies, next + i, &mut out)).collect();
        next += few;
        stamps.sort_by(f64::total_cmp);
        stamp.push(stamps[stamps.len() / 2]);
        slow.push(stamps[stamps.len() * 999 / 1000]);
        fresh_ns.push(per_message(messages / 2, |i| {
            round_trip(&mut made, next + i, |body| {
                black_box(body);
            })
        }));
        verify.push(per_message(few, |i| {
            let sequence = i % slots;
            let body = &plain[sequence as usize];
            ring.verify(0, sequence, checksums[sequence as usize], black_box(body)).expect("the body is intact");
        }));
        if ring.inspects() {
            inspect.push(inspection_ns(&ring, &plain, few.min(300)));
        }
    }
    let [copy, stamp, slow, copied, fresh_ns, verify] = [copy, stamp, slow, copied, fresh_ns, verify].map(median);
    let gbit = |ns: f64| mean_bytes * 8.0 / ns;
    let share = |ns: f64| format!("{:.1} ({:.0} %)", gbit(ns), copy / ns * 100.0);
    println!(
        "{name:<20} {mean_bytes:>9.0} | {:>15.1} | {stamp:>9.0} {slow:>9.0} | {:>21} | {:>21} | {:>16} {:>9} | {:>7.1} {:>6.0}",
        gbit(copy),
        share(copied),
        share(fresh_ns),
        format!("{:.2} ({:.0} %)", verify / 1e3, copy / verify * 100.0),
        if inspect.is_empty() { "-".to_owned() } else { format!("{:.1}", median(inspect) / 1e3) },
        grown as f64 / f64::from(1 << 20),
        slots as f64 * plan.message.body_bytes as f64 / f64::from(1 << 20),
    );
}

/// CPU time of an inspection, as in a run.
fn inspection_ns(ring: &Workload, bodies: &[Vec<u8>], count: u64) -> f64 {
    let (sender, receiver) = mpsc::sync_channel::<(u64, Vec<u8>)>(8);
    thread::scope(|scope| {
        let inspector = scope.spawn(move || {
            let used = cpu_ns();
            for (sequence, body) in receiver {
                ring.inspect(0, sequence, &body).expect("the body is intact");
            }
            (cpu_ns() - used) as f64 / count as f64
        });
        for sequence in (0..count).map(|i| i % bodies.len() as u64) {
            sender.send((sequence, bodies[sequence as usize].clone())).expect("the other thread takes them all");
        }
        drop(sender);
        inspector.join().expect("every body is intact")
    })
}

/// CPU time of this thread.
fn cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has had it since 2.6.12");
    used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64
}

/// Takes a body, hands it on and gives it back.
fn round_trip(bodies: &mut impl Source, sequence: u64, mut send: impl FnMut(&[u8])) {
    let body = bodies.take(sequence);
    black_box(body.checksum);
    send(&body.bytes);
    bodies.give_back(sequence, body.bytes);
}

/// Time to take one body, with a copy out after it so that caches are as in use.
fn stamp_ns(bodies: &mut impl Source, sequence: u64, out: &mut [u8]) -> f64 {
    let start = Instant::now();
    let body = bodies.take(sequence);
    let ns = start.elapsed().as_nanos() as f64;
    out[..body.bytes.len()].copy_from_slice(&body.bytes);
    bodies.give_back(sequence, body.bytes);
    ns
}

/// Mean time of `work` in ns.
fn per_message(messages: u64, mut work: impl FnMut(u64)) -> f64 {
    let start = Instant::now();
    for i in 0..messages {
        work(i);
    }
    start.elapsed().as_nanos() as f64 / messages as f64
}

/// Bytes per second of fresh bodies, made by this process for a while.
fn generate_alone(workload: &str) -> f64 {
    let plan = plan(&format!("workload = '{workload}'\n[message]\nfill = 'fresh'"));
    let workload = Workload::new(&plan).expect("the plan has a payload");
    let mut bodies = workload.source(std::process::id()).expect("the plan has a payload");
    let (start, mut bytes, mut next) = (Instant::now(), 0, 0);
    while start.elapsed() < ALONE {
        round_trip(&mut bodies, next, |body| bytes += body.len());
        next += 1;
    }
    bytes as f64 / start.elapsed().as_secs_f64()
}

fn on_two_cores(workload: &str) {
    let rates = |processes: usize| -> f64 {
        let start = || {
            let program = std::env::current_exe().expect("this program has a path");
            Command::new(program).arg(workload).stdout(Stdio::piped()).spawn().expect("it can be started again")
        };
        let children: Vec<_> = (0..processes).map(|_| start()).collect();
        let rate = |child: std::process::Child| {
            let output = child.wait_with_output().expect("it ends by itself");
            String::from_utf8_lossy(&output.stdout).trim().parse::<f64>().expect("it prints its rate")
        };
        children.into_iter().map(rate).sum()
    };
    let ratios: Vec<f64> = (0..5)
        .map(|_| {
            let one = rates(1);
            rates(2) / one
        })
        .collect();
    println!("{workload:<20} {:.2}", median(ratios));
}

fn resident_bytes() -> u64 {
    let pages =
        fs::read_to_string("/proc/self/statm").ok().and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
