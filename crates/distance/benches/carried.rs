//! How much one forwarder carries between two sockets, and how exact its delays are beside two bare threads of which one wakes
//! the other: `cargo bench -p distance`. Leave the machine alone meanwhile.
//!
//! Sockets keep packets apart as devices do, and need no rights. They cost about as much per packet.

use distance::{Conditions, Counters, carry, prefer};
use std::{
    os::{fd::AsFd, unix::net::UnixDatagram},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// What one core is to carry in packets of the MTU, in Mbit/s.
const BAR_MBIT: f64 = 500.0;
/// How far from the requested delay the median of what the forwarder adds to bare threads, and the 99th percentile of all, may be,
/// in microseconds.
const BAR_MEDIAN_US: f64 = 50.0;
const BAR_P99_US: f64 = 500.0;
/// A round in which the bare threads are later than this says nothing about ours.
const LATE_US: f64 = 200.0;
const ROUNDS: usize = 5;
const PROBES: usize = 400;
const MTU: usize = 1514;
const SEGMENT: usize = 60_000;

fn main() {
    println!(
        "# one way, in us: how much later than requested half, and 99 %, of single packets arrive, {ROUNDS} rounds, and how late those \
         between bare threads without delay"
    );
    for delay_ms in [1, 15, 30] {
        exactness(Duration::from_millis(delay_ms));
    }
    println!("# Mbit/s that one thread carries, with a queue that holds 5 ms");
    for (name, size) in [("packets of the MTU", MTU), ("coalesced segments", SEGMENT)] {
        let mut rates: Vec<f64> = (0..ROUNDS).map(|_| rate(size)).collect();
        let mbit = median(&mut rates);
        let bar = if size == MTU {
            format!("  (the bar of {BAR_MBIT}: {})", verdict(mbit >= BAR_MBIT))
        } else {
            String::new()
        };
        println!("{name:20} {mbit:8.0}{bar}");
    }
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}

fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    values[((values.len() as f64 * share) as usize).min(values.len() - 1)]
}

/// The forwarder's delays beside those of two threads with nothing between them.
fn exactness(delay: Duration) {
    let (mut ours, mut bare, mut left_out) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let round = bare_wakes();
        if round[1] > LATE_US {
            left_out += 1;
            continue;
        }
        bare.push(round);
        ours.push(single_packets(delay));
    }
    if ours.is_empty() {
        println!("{delay:?}: even bare threads are late here, so nothing is known");
        return;
    }
    let column = |rows: &[[f64; 2]], index: usize| {
        let mut values: Vec<f64> = rows.iter().map(|row| row[index]).collect();
        median(&mut values)
    };
    let [p50, p99] = [0, 1].map(|index| column(&ours, index));
    let [bare_p50, bare_p99] = [0, 1].map(|index| column(&bare, index));
    let bar_us = BAR_MEDIAN_US.max(delay.as_secs_f64() * 1e6 * 0.02);
    let added = p50 - bare_p50;
    let kept = verdict(added.abs() <= bar_us && p99 <= BAR_P99_US);
    println!(
        "{:>6} ms  ours {p50:6.1} {p99:6.1}   bare {bare_p50:6.1} {bare_p99:6.1}   added {added:6.1}   left out {left_out}  (the bar of \
         {bar_us:.0} and {BAR_P99_US:.0}: {kept})",
        delay.as_millis(),
    );
}

/// How late single packets arrive that nothing carries: one thread wakes the other. p50 and p99 in microseconds.
fn bare_wakes() -> [f64; 2] {
    let (near, far) = UnixDatagram::pair().expect("two more files");
    arrivals(&near, &far)
}

/// Calls `work` with the two ends of a way that a forwarder carries, and returns its counters.
fn over(conditions: Conditions, queue_bytes: usize, work: impl FnOnce(&UnixDatagram, &UnixDatagram)) -> [Counters; 2] {
    let [(near, near_end), (far, far_end)] = [0, 1].map(|_| UnixDatagram::pair().expect("two more files"));
    near_end.set_nonblocking(true).expect("a socket");
    far_end.set_nonblocking(true).expect("a socket");
    let ended = AtomicBool::new(false);
    let mut counted = [Counters::default(), Counters::default()];
    let heed = |counters: [&Counters; 2]| {
        let end = ended.load(Ordering::Relaxed);
        if end {
            counted = counters.map(Clone::clone);
        }
        !end
    };
    thread::scope(|scope| {
        let forwarder = scope.spawn(|| {
            // As the testbed's process.
            prefer(0);
            carry([near_end.as_fd(), far_end.as_fd()], conditions, 1, queue_bytes, heed)
        });
        work(&near, &far);
        ended.store(true, Ordering::Relaxed);
        forwarder.join().expect("no panic").expect("sockets stay open");
    });
    counted
}

/// How much later than requested single packets arrive: p50 and p99 in microseconds.
fn single_packets(delay: Duration) -> [f64; 2] {
    let mut late = [0.0; 2];
    over(Conditions { delay, ..Conditions::default() }, 0, |near, far| late = arrivals(near, far));
    late.map(|us| us - delay.as_secs_f64() * 1e6)
}

/// How long single packets take from one end to the other: p50 and p99 in microseconds.
fn arrivals(near: &UnixDatagram, far: &UnixDatagram) -> [f64; 2] {
    let start = Instant::now();
    let mut taken = thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            prefer(0);
            let one = |_| {
                let mut sent = [0; 16];
                far.recv(&mut sent).expect("a packet");
                let sent = Duration::from_nanos(u64::from_le_bytes(sent[..8].try_into().expect("8 bytes")));
                (start.elapsed() - sent).as_secs_f64() * 1e6
            };
            (0..PROBES).map(one).collect::<Vec<f64>>()
        });
        for _ in 0..PROBES {
            // Not a multiple of anything else here.
            thread::sleep(Duration::from_micros(1130));
            near.send(&(start.elapsed().as_nanos() as u64).to_le_bytes()).expect("the other end reads");
        }
        receiver.join().expect("no panic")
    });
    [quantile(&mut taken, 0.5), quantile(&mut taken, 0.99)]
}

/// Mbit/s of packets of one size that come as fast as they are taken.
fn rate(size: usize) -> f64 {
    const SPAN: Duration = Duration::from_secs(1);
    let conditions = Conditions { delay: Duration::from_millis(5), ..Conditions::default() };
    let mut elapsed = Duration::ZERO;
    let counted = over(conditions, 64 << 20, |near, far| {
        far.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket");
        let start = Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut packet = vec![0; SEGMENT];
                while far.recv(&mut packet).is_ok() {}
            });
            let packet = vec![7; size];
            while start.elapsed() < SPAN {
                near.send(&packet).expect("the forwarder reads");
            }
            elapsed = start.elapsed();
        });
    });
    counted[0].bytes as f64 * 8.0 / elapsed.as_secs_f64() / 1e6
}
