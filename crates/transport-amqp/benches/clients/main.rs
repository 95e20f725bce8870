//! Our clients beside a minimal one in C: whole programs on one service, in turns: `cargo bench -p transport-amqp`.
//!
//! `BENCH_ROUNDS` is the number of rounds (5), `BENCH_ONLY` selects settings by a part of their name, `BENCH_PROGRAM` is a
//! release build to measure instead of building one. What is counted, and what came out: docs/performance.md.

mod c;
mod host;
mod ours;
mod settings;
mod table;

use crate::{host::Others, ours::Program, settings::Setting};
use std::{
    env,
    path::Path,
    time::{Duration, Instant},
};
use testbed::{Ephemeral, Options, ephemeral};

const ROUNDS: usize = 5;
/// A measurement takes about as long, with the start of its processes.
const MEASUREMENT: Duration = Duration::from_millis(4500);
/// Settings are left out once all of it has taken so many times the expected time.
const PATIENCE: u32 = 3;

/// A client of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    /// That of `rabbitmq.c`, which checks nothing.
    C,
    /// The harness with this `service.client`, with its default checks or without any.
    Ours { client: &'static str, checks: bool },
}

/// The result of one measurement.
#[derive(Debug, Clone, Copy)]
struct Measured {
    messages_per_second: f64,
    /// CPU time of all producers per message sent.
    producer_us: f64,
    /// CPU time of all consumers per message received.
    consumer_us: f64,
    producer_mib: f64,
    consumer_mib: f64,
}

fn main() {
    let rounds = env::var("BENCH_ROUNDS").map_or(ROUNDS, |text| text.parse().expect("BENCH_ROUNDS is a number"));
    let only = env::var("BENCH_ONLY").unwrap_or_default();
    let settings: Vec<Setting> = settings::all().into_iter().filter(|setting| setting.name().contains(&only)).collect();
    assert!(rounds > 0 && !settings.is_empty(), "nothing to measure: correct BENCH_ROUNDS or BENCH_ONLY");

    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let program = Program::find(scratch.join("results"));
    let c = c::compile(&scratch);
    let measurements: usize = settings.iter().map(|setting| setting.clients(c.is_some()).len() * rounds).sum();
    let expected = MEASUREMENT * measurements as u32;
    let minutes = |time: Duration| (time.as_secs_f64() / 60.0).ceil();
    let (about, limit) = (minutes(expected), minutes(PATIENCE * expected));
    eprintln!("{measurements} measurements: about {about} min; no setting begins after {limit} min");

    let service = service(&program);
    let began = Instant::now();
    println!("{}", table::head(rounds));
    for setting in settings {
        if began.elapsed() > PATIENCE * expected {
            eprintln!("{}: left out after {limit} min; select it with BENCH_ONLY", setting.name());
            continue;
        }
        let clients = setting.clients(c.is_some());
        let rounds = (0..rounds).map(|round| {
            let results = measure_round(round, &setting, &clients, &program, c.as_deref(), &service);
            eprintln!("{}, round {}: {}", setting.name(), round + 1, table::progress(&clients, &results));
            results
        });
        println!("{}", table::rows(&setting.name(), &clients, &rounds.collect::<Vec<_>>()));
    }
    service.close().expect("the service ends");
}

/// A RabbitMQ node that ends with this process, whatever its end.
fn service(program: &Program) -> Ephemeral {
    let options = Options { program: program.path().to_owned(), ..Options::new(1).expect("one node is possible") };
    ephemeral(&options, &mut |line| eprintln!("{line}")).unwrap_or_else(|error| panic!("no service: {error}"))
}

/// Each client once; another one is the first in each round. With each result, the load from others.
fn measure_round(
    round: usize,
    setting: &Setting,
    clients: &[Client],
    program: &Program,
    c: Option<&Path>,
    service: &Ephemeral,
) -> Vec<(Measured, f64)> {
    let mut results: Vec<_> = (0..clients.len())
        .map(|turn| {
            let at = (turn + round) % clients.len();
            let others = Others::watch(service.testbed().dir());
            let measured = match clients[at] {
                Client::C => c::measure(c.expect("it is among the clients if it exists"), setting, service.testbed()),
                Client::Ours { client, checks } => program.measure(setting, client, checks, service.testbed()),
            };
            (at, (measured, others.cpus()))
        })
        .collect();
    results.sort_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}
