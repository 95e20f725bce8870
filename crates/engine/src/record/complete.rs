//! The record of a run that came to its end.

use crate::{
    ports::ConnectionFacts,
    record::{Facts, verdict::verdict},
    result::{join::RunResult, report::RankReport},
    time::clocks::ClockError,
};
use measure::{
    Counters, Metric, Pacing, Record, Volume,
    record::{
        Backpressure, Broker, Clocks, Connection, Environment, Failure, Harness, Machine, RankSummary, Route,
        ServiceView, Spread, Tls, Totals,
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The record of a run that came to its end.
pub fn complete(facts: &Facts, result: &RunResult) -> Record {
    let mut record = facts.record();
    let fault = result.ranks.iter().find_map(|rank| rank.fault.as_ref());
    record.status = verdict(&result.ending, fault, &result.integrity);
    record.route = route(facts, result);
    record.environment = Environment {
        hosts: result.ranks.iter().map(|rank| rank.host.clone()).collect::<BTreeSet<_>>().into_iter().collect(),
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
    record.backpressure = Backpressure {
        rejected: result.counters.rejected,
        blocked_times: result.counters.blocked_times,
        blocked_s: result.counters.blocked_ns as f64 / 1e9,
    };
    record.harness = harness(result);
    record.phases = result.phases.clone();
    record.ranks = result.ranks.iter().map(summary).collect();
    record.failures = result.ranks.iter().filter_map(failure).collect();
    record.harness.over_ranks = over_ranks(&record.ranks);
    record.warnings = result.warnings.clone();
    record.warnings.extend(facts.service.iter().flat_map(ServiceView::warnings));
    record
}

fn clocks(error: &ClockError) -> Option<Clocks> {
    let ClockError { hosts, pair_bound_ns: pair_error_ns, residual_ns, drift_ppb, .. } = *error;
    (hosts > 1).then_some(Clocks { hosts, pair_error_ns, residual_ns, drift_ppb })
}

fn totals(counters: &Counters) -> Totals {
    let Counters { sent, bytes_sent, events_sent, received, bytes_received, events_received, .. } = *counters;
    Totals {
        sent: Volume { messages: sent, bytes: bytes_sent, events: events_sent },
        received: Volume { messages: received, bytes: bytes_received, events: events_received },
    }
}

fn route(facts: &Facts, result: &RunResult) -> Route {
    let first = |side: fn(&RankReport) -> &Vec<ConnectionFacts>| result.ranks.iter().flat_map(side).next();
    let (producer, consumer) = (first(|rank| &rank.producer_facts), first(|rank| &rank.consumer_facts));
    let (producers, consumers) = (producer.and_then(tls), consumer.and_then(tls));
    let mut hops = facts.hops.clone();
    for hop in &mut hops {
        // What proxies agreed on among themselves is known already, by their own logs.
        match hop.from.as_str() {
            "producer" => hop.tls = producers.clone(),
            "consumer" => hop.tls = consumers.clone(),
            _ => {}
        }
    }
    Route {
        architecture: facts.plan.architecture.clone(),
        hops,
        tls: producers,
        broker: Some(Broker { product: result.service.product.clone(), version: result.service.version.clone() }),
        provisioned: facts.provisioned.clone(),
        producer_connection: producer.map(connection),
        consumer_connection: consumer.map(connection),
    }
}

fn connection(facts: &ConnectionFacts) -> Connection {
    let ConnectionFacts {
        nodelay, send_buffer_bytes, receive_buffer_bytes, congestion_control, frame_max_bytes, ..
    } = facts.clone();
    Connection { nodelay, send_buffer_bytes, receive_buffer_bytes, congestion_control, frame_max_bytes }
}

/// Each host once, with the interfaces that connections of its ranks used.
fn machines(ranks: &[RankReport]) -> Vec<Machine> {
    let mut machines: BTreeMap<&str, (Machine, BTreeSet<String>)> = BTreeMap::new();
    for rank in ranks {
        let (_, used) = machines.entry(&rank.host).or_insert_with(|| (rank.machine.clone(), BTreeSet::new()));
        let facts = rank.producer_facts.iter().chain(&rank.consumer_facts);
        used.extend(facts.filter_map(|facts| facts.local_address).map(|address| address.to_string()));
    }
    let used = |(mut machine, used): (Machine, BTreeSet<String>)| {
        machine.interfaces.retain(|interface| used.contains(&interface.address));
        machine
    };
    machines.into_values().map(used).collect()
}

fn tls(facts: &ConnectionFacts) -> Option<Tls> {
    Some(Tls { version: facts.tls_version.clone()?, cipher: facts.tls_cipher.clone()? })
}

fn harness(result: &RunResult) -> Harness {
    let cpu_s: f64 = result.ranks.iter().map(|rank| rank.usage.cpu_s()).sum();
    let handled = result.counters.sent + result.counters.received;
    Harness {
        ceiling_messages_per_second: result.ceiling_messages_per_second,
        own_producer_us_per_message: result.own_cost.producer_ns.map(|ns| ns / 1e3),
        own_consumer_us_per_message: result.own_cost.consumer_ns.map(|ns| ns / 1e3),
        cpu_us_per_message: per_message(cpu_s, handled),
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
        max_rss_bytes: result.ranks.iter().map(|rank| rank.usage.max_rss_bytes).max(),
        ..Harness::default()
    }
}

fn per_message(cpu_s: f64, messages: u64) -> Option<f64> {
    (messages > 0).then(|| cpu_s * 1e6 / messages as f64)
}

fn summary(rank: &RankReport) -> RankSummary {
    let (counters, busy, lag) = (&rank.counters, rank.busy.as_ref(), rank.schedule_lag.as_ref());
    RankSummary {
        rank: rank.rank as u32,
        host: rank.host.clone(),
        pid: rank.pid,
        role: rank.role.clone(),
        producers: rank.producers.clone(),
        consumers: rank.consumers.clone(),
        sent: counters.sent,
        confirmed: counters.confirmed,
        rejected: counters.rejected,
        received: counters.received,
        bytes: counters.bytes_sent + counters.bytes_received,
        cpu_us_per_message: per_message(rank.usage.cpu_s(), counters.sent + counters.received),
        cpu_s: rank.usage.cpu_s(),
        wall_s: rank.stream_s,
        max_rss_bytes: Some(rank.usage.max_rss_bytes),
        cpu_user_s: rank.usage.user_s,
        cpu_system_s: rank.usage.system_s,
        voluntary_switches: rank.usage.voluntary_switches,
        involuntary_switches: rank.usage.involuntary_switches,
        cores: rank.allowed.count(),
        busiest_thread: busy.map(|busy| busy.thread.clone()),
        busiest_thread_of_core: rank.of_core(),
        cpu_wait_s: busy.map(|busy| busy.waited_s),
        schedule_lag_p50_ns: lag.and_then(|lag| lag.p50_ns),
        schedule_lag_p99_ns: lag.and_then(|lag| lag.p99_ns),
        schedule_lag_max_ns: lag.and_then(|lag| lag.max_ns),
        failure: rank.fault.as_ref().map(ToString::to_string),
    }
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
    Some(Failure { rank: rank.rank as u32, message: fault.to_string() })
}
