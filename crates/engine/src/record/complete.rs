//! The record of a run that came to its end.

use crate::{
    ports::ConnectionFacts,
    record::{
        Facts,
        counts::{backpressure, per_message, totals},
        faults, one_end, packets,
        verdict::verdict,
    },
    result::{join::RunResult, report::RankReport},
    time::clocks::ClockError,
};
use measure::{
    Metric, Pacing, Record,
    record::{
        Broker, Clocks, Environment, Failure, Harness, HopEnd, Machine, RankSummary, Reconnection, Route, ServiceView,
        SinkCost, Spread,
    },
};
use profile::Reading;
use std::collections::{BTreeMap, BTreeSet};

/// Part of their time that senders may wait for files before this counts as the limit of the rate.
const READING_SHARE: f64 = 0.01;

/// The record of a run that came to its end.
pub fn complete(facts: &Facts, result: &RunResult) -> Record {
    let mut record = facts.record();
    let fault = result.ranks.iter().find_map(|rank| rank.fault.as_ref());
    record.status = verdict(&facts.plan, &result.ending, fault, &result.integrity);
    record.route = route(facts, result);
    record.environment = Environment {
        hosts: result.ranks.iter().map(|rank| rank.summary.host.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
        clock_error_ns: Some(result.clock_error.bound_ns),
        clocks: clocks(&result.clock_error),
        machines: machines(&result.ranks),
        ..record.environment
    };
    record.throughput = result.throughput.clone();
    record.completion = result.completion;
    record.totals = totals(&result.counters);
    record.latency = result.histograms.summaries();
    record.integrity = result.integrity.clone();
    record.backpressure = backpressure(&result.counters);
    record.reconnection = facts.plan.service.reconnect.map(|_| {
        let lost = result.ranks.iter().flat_map(|rank| rank.lost.iter().cloned());
        Reconnection::of(lost.collect())
    });
    record.external = one_end::external(&facts.plan, result);
    record.harness = harness(result);
    reading(&mut record, facts, result);
    sink(&mut record, facts, result);
    record.phases.extend(result.phases.iter().map(|(phase, seconds)| (phase.name().to_owned(), *seconds)));
    record.ranks = result.ranks.iter().map(|rank| rank.summary.clone()).collect();
    record.failures = result.ranks.iter().filter_map(failure).collect();
    for (name, count) in result.ranks.iter().flat_map(|rank| &rank.transport) {
        *record.transport.entry(name.clone()).or_default() += count;
    }
    record.harness.over_ranks = over_ranks(&record.ranks);
    faults::price(&mut record, &facts.plan, result);
    faults::judge(&mut record);
    record.warnings = result.warnings.clone();
    record.warnings.extend(facts.service.iter().flat_map(ServiceView::warnings));
    let of_packets = packets::warnings(&facts.plan, &record);
    record.warnings.extend(of_packets);
    record
}

fn clocks(error: &ClockError) -> Option<Clocks> {
    let ClockError { hosts, pair_bound_ns: pair_error_ns, residual_ns, drift_ppb, .. } = *error;
    (hosts > 1).then_some(Clocks { hosts, pair_error_ns, residual_ns, drift_ppb })
}

fn route(facts: &Facts, result: &RunResult) -> Route {
    let first = |side: fn(&RankReport) -> &Vec<ConnectionFacts>| result.ranks.iter().flat_map(side).next();
    let (producer, consumer) = (first(|rank| &rank.producer_facts), first(|rank| &rank.consumer_facts));
    let (producers, consumers) =
        (producer.and_then(|facts| facts.tls.clone()), consumer.and_then(|facts| facts.tls.clone()));
    let mut hops = facts.hops.clone();
    for hop in &mut hops {
        // What proxies agreed on among themselves is known already, by their own logs.
        match hop.from {
            HopEnd::Producer => hop.tls = producers.clone(),
            HopEnd::Consumer => hop.tls = consumers.clone(),
            HopEnd::Part(_) => {}
        }
    }
    Route {
        architecture: facts.plan.architecture.clone(),
        hops,
        tls: producers,
        broker: Some(Broker { product: result.service.product.clone(), version: result.service.version.clone() }),
        provisioned: facts.provisioned.clone(),
        parts: facts.parts.clone(),
        between_parts: facts.between_parts.clone(),
        firewall: facts.firewall.clone(),
        effort: facts.effort.clone(),
        producer_connection: producer.map(|facts| facts.connection.clone()),
        consumer_connection: consumer.map(|facts| facts.connection.clone()),
    }
}

/// Each host once, with the interfaces that connections of its ranks used.
fn machines(ranks: &[RankReport]) -> Vec<Machine> {
    let mut machines: BTreeMap<&str, (Machine, BTreeSet<String>)> = BTreeMap::new();
    for rank in ranks {
        let (_, used) = machines.entry(&rank.summary.host).or_insert_with(|| (rank.machine.clone(), BTreeSet::new()));
        let facts = rank.producer_facts.iter().chain(&rank.consumer_facts);
        used.extend(facts.filter_map(|facts| facts.local_address).map(|address| address.to_string()));
    }
    let used = |(mut machine, used): (Machine, BTreeSet<String>)| {
        machine.interfaces.retain(|interface| used.contains(&interface.address));
        machine
    };
    machines.into_values().map(used).collect()
}

fn harness(result: &RunResult) -> Harness {
    let cpu_s: f64 = result.ranks.iter().map(|rank| rank.summary.cpu_s).sum();
    let handled = result.counters.sent + result.counters.received;
    Harness {
        ceiling_messages_per_second: result.ceiling_messages_per_second,
        own_producer_us_per_message: result.own_cost.producer_ns.map(|ns| ns / 1e3),
        own_consumer_us_per_message: result.own_cost.consumer_ns.map(|ns| ns / 1e3),
        cpu_us_per_message: per_message(cpu_s, handled),
        inspection_us: per_message(result.counters.inspection_ns as f64 / 1e9, result.counters.inspected),
        schedule_lag_p99_ns: result.histograms.get(Metric::ScheduleLag).and_then(|lag| lag.summary().p99_ns),
        schedule: result.pacing.map(|pacing| pacing.name().to_owned()),
        generator_limited: result.pacing == Some(Pacing::GeneratorLimited),
        saturated: result.pacing == Some(Pacing::Saturated),
        client_cpu_high: result.client_cpu_high,
        oversubscribed: result.oversubscribed,
        catchup_messages: result.counters.catchup_messages,
        catchup_run_max: result.ranks.iter().map(|rank| rank.catchup_run_max).max().unwrap_or_default(),
        backpressure_ns: result.counters.backpressure_ns,
        late_ns: result.counters.late_ns,
        due_messages: result.counters.in_window_due,
        in_time_messages: result.counters.in_window_in_time,
        unsent_messages: result.counters.unsent,
        max_rss_bytes: result.ranks.iter().filter_map(|rank| rank.summary.max_rss_bytes).max(),
        ..Harness::default()
    }
}

/// How long senders waited for bodies to be read from files, if any was read while it was sent; in the verdict, too, if that limited
/// the rate.
fn reading(record: &mut Record, facts: &Facts, result: &RunResult) {
    if facts.plan.message.replay.as_ref().is_none_or(|replay| replay.read == Reading::Ahead) {
        return;
    }
    let senders_s = |rank: &RankReport| rank.summary.wall_s * rank.summary.producers.len() as f64;
    let time_s: f64 = result.ranks.iter().map(senders_s).sum();
    let part = result.counters.reading_ns as f64 / 1e9 / time_s.max(f64::MIN_POSITIVE);
    record.harness.reading_ns = Some(result.counters.reading_ns);
    record.harness.reading_limited = part > READING_SHARE;
    if record.harness.reading_limited {
        let percent = (part * 100.0).min(100.0);
        record.status.reason +=
            &format!("; reading files limited the rate: senders waited for them in {percent:.0} % of their time");
    }
}

/// What it cost to write arrived messages; in the verdict, too, since such a run is no measurement.
fn sink(record: &mut Record, facts: &Facts, result: &RunResult) {
    let Some(sink) = &facts.plan.sink else { return };
    let seconds = result.counters.keeping_ns as f64 / 1e9;
    record.harness.sink = Some(SinkCost { dir: sink.dir.clone(), messages: result.counters.kept, seconds });
    record.status.reason += &format!(
        "; no measurement: {} messages were written to {}, for which consumers took {seconds:.2} s",
        result.counters.kept, sink.dir
    );
}

/// How ranks with workers differ in what they cost and in how late they were.
fn over_ranks(ranks: &[RankSummary]) -> BTreeMap<String, Spread> {
    type Figure = (&'static str, fn(&RankSummary) -> Option<f64>);
    let figures: [Figure; 9] = [
        ("cpu_user_s", |rank| Some(rank.cpu_user_s)),
        ("cpu_system_s", |rank| Some(rank.cpu_system_s)),
        ("cpu_us_per_message", |rank| rank.cpu_us_per_message),
        ("voluntary_switches", |rank| Some(rank.voluntary_switches as f64)),
        ("involuntary_switches", |rank| Some(rank.involuntary_switches as f64)),
        ("max_rss_bytes", |rank| rank.max_rss_bytes.map(|bytes| bytes as f64)),
        ("busiest_thread_of_core", |rank| rank.busiest_thread_of_core),
        ("cpu_wait_s", |rank| rank.cpu_wait_s),
        ("schedule_lag_p99_ns", |rank| rank.schedule_lag_p99_ns.map(|ns| ns as f64)),
    ];
    let at_work = || ranks.iter().filter(|rank| !rank.producers.is_empty() || !rank.consumers.is_empty());
    let spread = |(name, figure): Figure| Some((name.to_owned(), Spread::of(at_work().filter_map(figure))?));
    figures.into_iter().filter_map(spread).collect()
}

fn failure(rank: &RankReport) -> Option<Failure> {
    let fault = rank.fault.as_ref()?;
    Some(Failure { rank: rank.summary.rank, message: fault.to_string() })
}
