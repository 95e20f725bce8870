//! Numbers against truths that are known beforehand; each prints the row that `launch/calibrate` shows.

mod distance;

use crate::support::{Broker, Outcome, relay::Relay, service, single, slow};
use engine::double::undisturbed;
use nix::sys::signal::Signal;
use std::{thread::sleep, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const DELAY: Duration = Duration::from_millis(5);
/// Bytes a second.
const RATE: f64 = 8e6;
const WORKLOAD: &str = "[message]\nformat = 'variables'\nevent_bytes = '8KiB'\nevents = 1";
/// How long a machine may hold up a thread beside a run that is to show a truth of a second.
const HELD_UP: Duration = Duration::from_millis(40);
/// Around it the frames of AMQP are nothing.
const LARGE: &str = "[message]\nformat = 'variables'\nevent_bytes = '128KiB'\nevents = 1";

/// The clients to measure with: two that were written apart agree only on what is there.
fn clients() -> &'static [&'static str] {
    if slow() { &["native", "lapin"] } else { &["native"] }
}

/// A row of the table that `launch/calibrate` makes: what is known, and what was measured.
fn row(what: &str, truth: &str, measured: &str, held: bool) {
    println!("| {what} | {truth} | {measured} | {} |", if held { "held" } else { "missed" });
}

/// The distribution of a metric: nanoseconds, and how many samples are at most that.
fn distribution(outcome: &Outcome, metric: &str) -> Vec<(u64, u64)> {
    let table = outcome.text("cdf.csv");
    let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>()).filter(|row| row[0] == metric);
    rows.map(|row| (row[1].parse().unwrap(), row[2].parse().unwrap())).collect()
}

/// The samples that are at most `ns`.
fn at_most(distribution: &[(u64, u64)], ns: u64) -> u64 {
    distribution.iter().take_while(|(value, _)| *value <= ns).last().map_or(0, |(_, count)| *count)
}

/// The median of the samples from the one numbered `from` up to the one numbered `to`.
fn median_of(distribution: &[(u64, u64)], from: u64, to: u64) -> f64 {
    let middle = from + (to - from).div_ceil(2);
    distribution.iter().find(|(_, count)| *count >= middle).expect("it is among them").0 as f64
}

#[test]
fn five_milliseconds_each_way_are_five_each_way() {
    let url = service().plain_url();
    // Near and far in turns within one run, so that whatever else the machine does meets both.
    let relay = Relay::delaying(service().plain_port(), DELAY, Duration::from_millis(500));
    let relayed = format!("amqp://bench@127.0.0.1:{}", relay.port());
    let load = ["--rate", "100/s", "--duration", "6s", "--warmup", "500ms", "--pattern", "work-sharing-feedback"];
    let route = ["--arch", "dts-plain", "--producer-url", &relayed, "--consumer-url", &url, "--workload", "small.toml"];
    for client in clients() {
        let (outcome, calm) = undisturbed(DELAY, || {
            let client = format!("service.client={client}");
            let launch = single(&[load.as_slice(), &route, &["--set", &client]].concat()).file("small.toml", WORKLOAD);
            launch.variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT)
        });
        outcome.passes();
        rises_by_the_delay(client, &outcome, calm);
    }
}

/// Half of the messages went over the wire, so each metric has two places a known way apart.
fn rises_by_the_delay(client: &str, outcome: &Outcome, calm: bool) {
    for (metric, ways) in [("rtt_from_sent", 2), ("rtt_from_due", 2), ("confirm", 2), ("one_way", 1)] {
        let expected = (DELAY * ways).as_nanos() as u64;
        let samples = distribution(outcome, metric);
        let near = at_most(&samples, expected * 3 / 4);
        let all = samples.last().expect("it was recorded").1;
        // Where other work never let go of the machine, what it adds to a few milliseconds is most of them.
        let (fewest, allowed) = if calm { (200, -0.1..=0.1) } else { (50, -0.5..=2.0) };
        assert!((fewest..=400).contains(&near), "{client}: half of the time is near: {near} of {all} {metric}");
        let rise = median_of(&samples, near, all) - median_of(&samples, 0, near);
        let off = rise / expected as f64 - 1.0;
        let (expected, measured) = (expected as f64 / 1e6, rise / 1e6);
        row(
            &format!("{client}, wire of 5 ms each way: `{metric}` rises by"),
            &format!("{expected} ms"),
            &format!("{measured:.3} ms ({:+.1} %)", off * 100.0),
            off.abs() <= 0.02,
        );
        // Five times the bar: whatever else a machine does that runs tests is no fault of the program.
        assert!(allowed.contains(&off), "{client}: {metric} rose by {measured} ms, not {expected}");
    }
}

#[test]
fn a_wire_of_a_known_rate_is_the_throughput() {
    let url = service().plain_url();
    let relay = Relay::narrow(service().plain_port(), RATE);
    let relayed = format!("amqp://bench@127.0.0.1:{}", relay.port());
    let load = ["--duration", "4s", "--warmup", "1s", "--confirms", "window:32", "--workload", "large.toml"];
    let route = ["--arch", "dts-plain", "--producer-url", &relayed, "--consumer-url", &url];
    for client in clients() {
        let (outcome, calm) = undisturbed(HELD_UP, || {
            let client = format!("service.client={client}");
            let launch = single(&[load.as_slice(), &route, &["--set", &client]].concat()).file("large.toml", LARGE);
            launch.variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT)
        });
        is_as_fast_as_the_wire(client, &outcome, calm);
    }
}

fn is_as_fast_as_the_wire(client: &str, outcome: &Outcome, calm: bool) {
    let measured = outcome.passes().throughput.bits_per_second.expect("there is a window") / 8.0;
    let off = measured / RATE - 1.0;
    row(
        &format!("{client}, wire of 8 MB/s: throughput of bodies"),
        &format!("{:.2} MB/s", RATE / 1e6),
        &format!("{:.2} MB/s ({:+.1} %)", measured / 1e6, off * 100.0),
        off.abs() <= 0.03,
    );
    // A machine that is short of CPU for both ends may be slower, or deliver late what belongs before the window.
    let allowed = if calm { -0.1..=0.03 } else { -0.5..=0.2 };
    assert!(allowed.contains(&off), "{client}: {measured} of {RATE} bytes a second");
}

#[test]
fn a_broker_that_stops_for_a_second_costs_every_message_that_was_due() {
    let broker = Broker::start(1);
    let arguments = ["--arch", "dts-plain", "--workload", "small.toml", "--pattern", "work-sharing-feedback"];
    let load = ["--rate", "1000/s", "--duration", "4s", "--warmup", "500ms", "--confirms", "window:20"];
    let node = broker.node(1);
    for client in clients() {
        let (outcome, calm) = undisturbed(HELD_UP, || {
            let client = format!("service.client={client}");
            let arguments = [arguments.as_slice(), &load, &["--set", &client]].concat();
            let running = single(&arguments).file("small.toml", WORKLOAD).through(&broker).streaming(LIMIT);
            sleep(Duration::from_secs(1));
            crate::support::processes::send(node, Signal::SIGSTOP);
            sleep(Duration::from_secs(1));
            crate::support::processes::send(node, Signal::SIGCONT);
            running.wait(LIMIT)
        });
        outcome.passes();
        counts_the_stop(client, &outcome, calm);
    }
}

fn counts_the_stop(client: &str, outcome: &Outcome, calm: bool) {
    let [from_due, from_sent] = ["rtt_from_due", "rtt_from_sent"].map(|metric| {
        let samples = distribution(outcome, metric);
        samples.last().expect("it was recorded").1 - at_most(&samples, 100_000_000)
    });
    let stopped = format!("{client}, broker stopped for 1 s at 1,000 msg/s:");
    let about = (900..=1300).contains(&from_due);
    row(
        &format!("{stopped} `rtt_from_due` over 100 ms"),
        "900, and those that they delay",
        &from_due.to_string(),
        about,
    );
    let few = (1..=40).contains(&from_sent);
    row(&format!("{stopped} `rtt_from_sent` over 100 ms"), "a confirm window of 20", &from_sent.to_string(), few);
    // A machine that is busy all the time holds up more of them, in turns with what it lets through.
    let most = if calm { 100 } else { from_due };
    assert!(from_due >= 900 && from_sent < most, "{client}: {from_due} {from_sent}");
}
