//! The round trip that the harness itself takes between two ranks, with nothing between them but memory:
//! `cargo bench -p engine --bench own_rtt`. Leave the machine alone meanwhile; the load average beside the figures shows how
//! alone it was.

use engine::{
    AllowedCores, Observer, Place,
    clock::{Clock, boot_id},
    double::{MemoryBroker, PlainPayloads, ThreadComm},
    ports::Comm,
    run,
};
use measure::{Metric, record::Machine};
use profile::{Layer, Origin, Plan, combine};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

/// The limit for 99 % of the round trips on an idle machine.
const BAR_US: f64 = 50.0;
const PLAN: &str = "pattern = 'work-sharing-feedback'\nduration = '4s'\nwarmup = '1s'\nproducers = 1\nconsumers = 1\n\
                    service.confirms = 'window:64'\n";
/// So few a second that each message finds both ranks at rest and their cores asleep, and so many that none falls asleep.
const RATES: [u32; 2] = [1_000, 10_000];
/// Consumers that look at their sockets as seldom as by default, and as soon as something comes.
const COALESCE: [&str; 2] = ["", "service.coalesce = '0s'\n"];

struct Quiet;

impl Observer for Quiet {}

fn main() {
    println!("# for 4 s between two ranks over memory, {} cores", cores());
    for rate in RATES {
        COALESCE.into_iter().for_each(|coalesce| measure_with(rate, coalesce));
    }
    println!(
        "# two threads that wake each other by a socket 1,000 times a second: what this machine takes without a harness"
    );
    print_row("bare wakes", 4000, bare_wakes(4000), "");
}

/// Round trips of one byte, of which no harness takes part: p50, p90, p99 and the largest, in microseconds.
fn bare_wakes(count: usize) -> [f64; 4] {
    let (mut near, mut far) = UnixStream::pair().expect("a process may have two more files");
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while far.read_exact(&mut byte).is_ok() && far.write_all(&byte).is_ok() {}
    });
    let mut taken: Vec<f64> = (0..count)
        .map(|_| {
            thread::sleep(Duration::from_millis(1));
            let sent = Instant::now();
            near.write_all(&[1]).and_then(|()| near.read_exact(&mut [0])).expect("the other thread replies");
            sent.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    drop(near);
    echo.join().expect("it ends with the socket");
    taken.sort_by(f64::total_cmp);
    [count / 2, count * 9 / 10, count * 99 / 100, count - 1].map(|rank| taken[rank])
}

fn print_row(name: &str, count: u64, [p50, p90, p99, max]: [f64; 4], bar: &str) {
    println!("{name:<16}{count:>10}{p50:>10.1}{p90:>10.1}{p99:>10.1}{max:>10.1}{bar}");
}

fn measure_with(rate: u32, coalesce: &str) {
    let text = format!("{PLAN}{coalesce}load.rate = '{rate}/s'\n");
    let layer = Layer::parse(Origin::CommandLine, &text).expect("the plan is valid");
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("it names no files");
    let plan = Plan::resolve(&profile, 2, 7).expect("it fits two ranks");
    let looks = if coalesce.is_empty() { "as by default" } else { "at once" };
    println!("# {rate} messages/s, sockets looked at {looks}; load average {}", load());
    println!("{:<16}{:>10}{:>10}{:>10}{:>10}{:>10}", "us", "count", "p50", "p90", "p99", "max");
    let result = world(&plan);
    for metric in [Metric::RttFromSent, Metric::Service, Metric::RttFromDue, Metric::ScheduleLag, Metric::OneWay] {
        let Some(summary) = result.histograms.get(metric).map(|histogram| histogram.summary()) else { continue };
        let us = |ns: Option<u64>| ns.map_or(f64::NAN, |ns| ns as f64 / 1e3);
        let taken @ [.., p99, _] = [summary.p50_ns, summary.p90_ns, summary.p99_ns, summary.max_ns].map(us);
        let bar = match metric {
            Metric::RttFromSent if p99 < BAR_US => "  p99 under the bar of 50 us",
            Metric::RttFromSent => "  p99 OVER the bar of 50 us",
            _ => "",
        };
        print_row(metric.name(), summary.count, taken, bar);
    }
    let waited: f64 = result.ranks.iter().filter_map(|rank| rank.summary.cpu_wait_s).fold(0.0, f64::max);
    println!("# threads waited {:.0} ms for a core; load average {}", waited * 1e3, load());
}

fn world(plan: &Plan) -> engine::RunResult {
    let broker = MemoryBroker::default();
    thread::scope(|scope| {
        let start = |comm: ThreadComm| {
            let broker = broker.clone();
            scope.spawn(move || {
                let place = Place {
                    boot: boot_id(),
                    allowed: AllowedCores::default(),
                    machine: Machine { host: "here".to_owned(), cores: cores(), ..Machine::default() },
                    clock: Clock::default(),
                };
                let payloads = PlainPayloads { bytes: 100, spoilt_every: None };
                assert_eq!(comm.size(), 2);
                run(&comm, plan, broker, payloads, &place, &mut Quiet).expect("a run over memory succeeds")
            })
        };
        let ranks: Vec<_> = ThreadComm::world(2).into_iter().map(start).collect();
        let mut results = ranks.into_iter().map(|rank| rank.join().expect("no rank panics"));
        results.find_map(|result| result).expect("rank 0 has the result")
    })
}

fn cores() -> u32 {
    thread::available_parallelism().map_or(1, |cores| cores.get() as u32)
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}
