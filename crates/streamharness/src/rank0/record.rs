//! The record of a run, from what was known before it and what it came to.

use crate::{
    rank0::lead::Facts,
    terminal::exit::{self, Exit},
};
use engine::{
    RankReport, RunResult, Snapshot,
    clocks::ClockError,
    control::{Ending, Status as Sums},
    ports::{ConnectionFacts, Fault},
};
use measure::{
    Counters, Integrity, Metric, Pacing, Record, Replies, Throughput, Volume,
    record::{
        Backpressure, Broker, Clocks, Completion, Connection, Environment, Failure, Harness, LeftBehind, Machine,
        RankSummary, Route, SCHEMA, ServiceView, Spread, Status, Tls, Totals,
    },
};
use profile::Plan;
use std::collections::{BTreeMap, BTreeSet};

/// The record of a run that came to its end.
pub fn complete(facts: &Facts, result: &RunResult) -> Record {
    let mut record = known_before(facts);
    let fault = result.ranks.iter().find_map(|rank| rank.fault.as_ref());
    record.status = status(&result.ending, fault, &result.integrity);
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

/// The record of a run that was cut short, from the last sums that rank 0 heard. Replaced by the
/// complete one, if the run gets that far.
pub fn partial(facts: &Facts, snapshot: &Snapshot, ending: &Ending) -> Record {
    let (total, flow) = (&snapshot.total, &facts.plan.flow);
    let (copies, replies) = (u64::from(flow.copies), u64::from(flow.replies));
    let missing = |expected: u64, arrived: u64| expected.saturating_sub(arrived);
    let confirmed = |sums: &Sums| if facts.plan.service.confirms.wanted() { sums.accepted } else { 0 };
    let integrity = Integrity {
        sent: total.sent,
        confirmed: confirmed(total),
        rejected: total.rejected,
        abandoned: total.abandoned,
        delivered: total.distinct,
        expected: total.accepted * copies,
        undetermined: missing(total.accepted * copies, total.distinct),
        in_service: snapshot.held.messages,
        corrupt: total.corrupt,
        redelivered: total.redelivered,
        foreign: total.foreign,
        unexpected: total.unexpected,
        copies,
        replies: (replies > 0).then(|| Replies {
            delivered: total.distinct_replies,
            expected: total.accepted * replies,
            undetermined: missing(total.accepted * replies, total.distinct_replies),
            in_service: snapshot.held.replies,
            ..Replies::default()
        }),
        ..Integrity::default()
    };
    let mut record = known_before(facts);
    record.status = status(ending, None, &integrity);
    record.integrity = integrity;
    record.backpressure = Backpressure {
        rejected: total.rejected,
        blocked_times: total.alarms.times,
        blocked_s: total.alarms.blocked.as_secs_f64(),
    };
    record.ranks = snapshot
        .ranks
        .iter()
        .enumerate()
        .map(|(rank, sums)| RankSummary {
            rank: rank as u32,
            role: facts.plan.placement.role(rank).to_string(),
            sent: sums.sent,
            confirmed: confirmed(sums),
            rejected: sums.rejected,
            received: sums.received,
            bytes: sums.bytes,
            wall_s: snapshot.elapsed.as_secs_f64(),
            failure: sums.fault.as_ref().map(ToString::to_string),
            ..RankSummary::default()
        })
        .collect();
    record.warnings.extend(facts.service.iter().flat_map(ServiceView::warnings));
    record.warnings.push("cut short: these are the last sums that rank 0 heard, without latencies".to_owned());
    record
}

/// The record of a run that goes on, as it is kept in case nothing follows: of the last sums that rank 0 heard, once it
/// streams. `declared`: something of it may be on the service.
pub fn kept(facts: &Facts, latest: Option<&Snapshot>, declared: bool) -> Record {
    let why = "the run was killed, its node died, or its results could not be written";
    let reason = match latest {
        None => format!("cut off before it streamed: {why}"),
        Some(Snapshot { elapsed, total, .. }) => format!(
            "cut off while it streamed: {why}; {} of {} messages had been delivered {:.0} s after its start",
            total.distinct,
            total.sent * u64::from(facts.plan.flow.copies),
            elapsed.as_secs_f64()
        ),
    };
    let mut record = broken(facts, latest, &exit::Failure::new(Exit::Partial, reason));
    if declared {
        leaves_all(&mut record, &facts.plan);
    }
    record
}

/// The run ended without a chance to delete what it had declared.
pub fn leaves_all(record: &mut Record, plan: &Plan) {
    record.left_behind = engine::left_by_killed(plan);
    record.warnings.push(left_behind(plan));
}

/// The record of a run that ended without a result, of the last sums that rank 0 heard if it streamed.
pub fn broken(facts: &Facts, latest: Option<&Snapshot>, failure: &exit::Failure) -> Record {
    let refused = refused(facts, failure);
    match latest {
        None => refused,
        Some(snapshot) => {
            Record { status: refused.status, ..partial(facts, snapshot, &Ending::Stopped(String::new())) }
        }
    }
}

/// Files of the run are missing: it does not pass, whatever it measured.
pub fn unwritten(record: &mut Record, failure: &exit::Failure) {
    if record.status.pass {
        record.status = Status { pass: false, reason: failure.sentence.clone(), exit_code: failure.exit as u8 };
    }
}

/// What a run that is killed leaves on the service, and for how long.
pub fn left_behind(plan: &Plan) -> String {
    let all = engine::left_by_killed(plan);
    let (expiring, staying): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.expires_s.is_some());
    let exchanges = |all: &[&LeftBehind]| all.iter().any(|one| one.kind == "exchange");
    let last = expiring.iter().filter_map(|one| one.expires_s).reduce(f64::max);
    let service = &plan.service;
    let exclusive = service.queues.iter().any(|queue| queue.exclusive) || plan.flow.replies > 0;
    let parts = [
        // What has no expiry is a stream, or an exchange that one holds.
        (!staying.is_empty()).then(|| {
            let all = if exchanges(&staying) { "streams and exchanges" } else { "streams" };
            format!("its {all} stay, with all messages, until somebody deletes them")
        }),
        last.map(|s| {
            let with_them = if exchanges(&expiring) { ", and its exchanges with them" } else { "" };
            format!("the service deletes its queues {s} s after their last use{with_them}")
        }),
        exclusive.then(|| {
            let all = if all.is_empty() { "all that it declares" } else { "all else that it declares" };
            format!("{all} goes with its connections")
        }),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}; all their names begin with {}", parts.join("; "), plan.name_prefix())
}

/// The record of a run that ended before it streamed.
pub fn refused(facts: &Facts, failure: &exit::Failure) -> Record {
    let status = Status { pass: false, reason: failure.sentence.clone(), exit_code: failure.exit as u8 };
    Record { status, ..known_before(facts) }
}

fn known_before(facts: &Facts) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        run_id: facts.run_id.clone(),
        started: facts.started.to_string(),
        repetition: facts.repetition.clone(),
        point: facts.point.clone(),
        status: Status::default(),
        plan: serde_json::to_value(&facts.plan).expect("a plan is plain data"),
        route: Route {
            architecture: facts.plan.architecture.clone(),
            hops: facts.hops.clone(),
            provisioned: facts.provisioned.clone(),
            ..Route::default()
        },
        environment: facts.environment.clone(),
        throughput: Throughput::default(),
        completion: Completion::default(),
        totals: Totals::default(),
        latency: BTreeMap::new(),
        integrity: Integrity::default(),
        backpressure: Backpressure::default(),
        service: facts.service.clone(),
        labels: facts.labels.clone(),
        links: facts.links.clone(),
        harness: Harness::default(),
        phases: BTreeMap::new(),
        ranks: Vec::new(),
        assertions: Vec::new(),
        left_behind: facts.left.iter().flat_map(|(left, _)| left.clone()).collect(),
        failures: Vec::new(),
        warnings: facts.left.iter().map(|(_, sentence)| sentence.clone()).collect(),
    }
}

/// What a run could not delete, in one sentence.
pub fn left(left: &[LeftBehind], why: &Fault) -> String {
    let (expiring, staying): (Vec<_>, Vec<_>) = left.iter().partition(|one| one.expires_s.is_some());
    let named = |all: &[&LeftBehind]| {
        let more = if all.len() > 1 { format!(" and {} more", all.len() - 1) } else { String::new() };
        all.first().map(|one| format!("{} {}{more}", one.kind, one.name))
    };
    let longest_s = expiring.iter().filter_map(|one| one.expires_s).fold(0.0, f64::max);
    let expiring =
        named(&expiring).map(|all| format!("{all}, which the service deletes {longest_s} s after their last use"));
    let staying = named(&staying).map(|all| format!("{all}, with their messages, until somebody deletes them"));
    let all: Vec<String> = expiring.into_iter().chain(staying).collect();
    format!("left on the service: {} ({why})", all.join("; "))
}

/// The verdict: how the run ended comes before what the ledger says, since a run that was cut
/// short has messages on their way.
fn status(ending: &Ending, fault: Option<&Fault>, integrity: &Integrity) -> Status {
    let Integrity { delivered, copies, .. } = integrity;
    // A run that was cut short owes what it had sent, and a reply to each copy.
    let (owed, what) = (integrity.sent * copies.max(&1), if *copies > 1 { "copies" } else { "messages" });
    let replies = integrity.replies.as_ref();
    let replied = replies.map_or_else(String::new, |replies| format!(", {} of {owed} replies", replies.delivered));
    let had_been = format!("{delivered} of {owed} {what} had been delivered{replied}");
    let (findings, open) = (integrity.findings().join("; "), integrity.open());
    let sound = findings.is_empty() && open.is_none();
    let (exit, parts) = match (ending, fault) {
        (Ending::Complete, _) if sound => {
            (Exit::Pass, vec![format!("{delivered} of {owed} {what} delivered{replied}, none lost")])
        }
        (Ending::Complete | Ending::Missing(_), None) if !findings.is_empty() => (Exit::Integrity, vec![findings]),
        // What a worker that broke has not reported is not lost.
        (Ending::Complete | Ending::Missing(_), Some(fault)) => (Exit::Partial, vec![fault.to_string(), had_been]),
        (Ending::Fault(..), _) => (Exit::Route, vec![ending.to_string(), had_been]),
        _ => (Exit::Partial, vec![ending.to_string(), had_been]),
    };
    let reason = parts.into_iter().chain(open).collect::<Vec<_>>().join("; ");
    Status { pass: exit == Exit::Pass, reason, exit_code: exit as u8 }
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

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ports::FaultKind;
    use profile::{Layer, Origin, combine};
    use std::time::Duration;

    #[test]
    fn what_a_killed_run_leaves_is_named_with_how_long_it_stays() {
        let left = |text: &str| {
            let layer = Layer::parse(Origin::CommandLine, text).unwrap();
            let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
            let plan = Plan::resolve(&profile, 3, 7).unwrap();
            let sentence = left_behind(&plan);
            let (said, name) = sentence.split_once("; all their names begin with ").unwrap();
            assert_eq!(name, plan.name_prefix());
            said.to_owned()
        };
        let expire = "the service deletes its queues 300 s after their last use";
        for (pattern, kind, expected) in [
            ("work-sharing", "classic", expire.to_owned()),
            ("broadcast", "classic", "all that it declares goes with its connections".to_owned()),
            ("broadcast", "quorum", format!("{expire}, and its exchanges with them")),
            ("work-sharing", "stream", "its streams stay, with all messages, until somebody deletes them".to_owned()),
            (
                "broadcast-gather",
                "stream",
                "its streams and exchanges stay, with all messages, until somebody deletes them; all else that it \
                 declares goes with its connections"
                    .to_owned(),
            ),
            (
                "work-sharing-feedback",
                "classic",
                format!("{expire}; all else that it declares goes with its connections"),
            ),
        ] {
            assert_eq!(
                left(&format!("pattern = '{pattern}'\n[service]\nqueue_type = '{kind}'")),
                expected,
                "{pattern}"
            );
        }
    }

    #[test]
    fn what_is_lost_is_reported_as_lost_and_what_is_not_known_is_not() {
        let lost = Integrity { sent: 10, expected: 10, delivered: 9, lost: 1, ..Integrity::default() };
        let open = Integrity { lost: 0, undetermined: 1, in_service: Some(4), ..lost.clone() };
        let fault = Fault::new(FaultKind::Lost, "1 worker(s) did not stop within 5 s");
        let missing = Ending::Missing(Duration::from_secs(30));
        let undetermined = "1 of 10 messages is undetermined (the service still has 4)";
        for (ending, fault, integrity, exit_code, reason) in [
            (&missing, None, &lost, 4, "1 of 10 messages was lost"),
            (&Ending::Complete, None, &lost, 4, "1 of 10 messages was lost"),
            (
                &missing,
                None,
                &open,
                7,
                "nothing more has arrived for 30.0 s; 9 of 10 messages had been delivered; 1 of",
            ),
            (&Ending::Complete, None, &open, 7, undetermined),
            (&Ending::Complete, Some(&fault), &open, 7, "did not stop within 5 s; 9 of 10 messages had been delivered"),
            (&Ending::Complete, Some(&fault), &open, 7, undetermined),
            (&Ending::Deadline(Duration::from_secs(9)), None, &open, 7, "give more time with --timeout"),
            (&Ending::Deadline(Duration::from_secs(9)), None, &open, 7, undetermined),
            (&Ending::Fault(1, fault.clone()), None, &open, 3, undetermined),
        ] {
            let status = status(ending, fault, integrity);
            assert_eq!((status.pass, status.exit_code), (false, exit_code), "{ending:?}");
            assert!(status.reason.contains(reason), "{}", status.reason);
        }
        let all = Integrity { sent: 9, expected: 9, delivered: 9, ..Integrity::default() };
        let reason = "9 of 9 messages delivered, none lost".to_owned();
        assert_eq!(status(&Ending::Complete, None, &all), Status { pass: true, reason, exit_code: 0 });
    }
}
