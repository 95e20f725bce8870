//! Joins what came together on rank 0 to the result of a run.

use crate::{
    ports::{CorruptionKind, Service},
    result::{cpu_pressure, reduced::Reduced, report::RankReport, suspension},
    run::{control::Ending, phase::Phase},
    time::clocks::ClockError,
    worker::{ceiling::OwnCost, inspections::CorruptSample},
};
use measure::{
    ConsumerSpan, Counters, Deliveries, FirstCorrupt, Handed, Histograms, Integrity, Metric, Pacing, Replies,
    SentSummary, Throughput, Volume,
    record::{Completion, RankSummary},
};
use profile::{Flow, Plan, RunLength};
use std::collections::BTreeMap;

/// One-way latency is reported only where the clocks' error is at most this part of its median.
const CLOCK_ERROR_MAX: f64 = 0.05;

/// The result of a run, on rank 0.
#[derive(Debug)]
pub struct RunResult {
    /// Why streaming ended.
    pub ending: Ending,
    /// Counts of all ranks, summed by reduce.
    pub counters: Counters,
    /// Latencies of all ranks, summed by reduce. One-way latency is there only where the clocks
    /// allow it.
    pub histograms: Histograms,
    /// The ledgers of all ranks, joined.
    pub integrity: Integrity,
    /// The first body that was not what was sent.
    pub first_corrupt: Option<CorruptSample>,
    /// Rates.
    pub throughput: Throughput,
    /// How long all of it took.
    pub completion: Completion,
    /// The report of each rank.
    pub ranks: Vec<RankReport>,
    /// How well clocks agree.
    pub clock_error: ClockError,
    /// How senders kept their schedule; none where there was none.
    pub pacing: Option<Pacing>,
    /// Whether clients were short of CPU: then this is no claim about the broker.
    pub client_cpu_high: bool,
    /// Whether more ranks worked on a host than may use its cores.
    pub oversubscribed: bool,
    /// What the loops cost by themselves, the mean over ranks.
    pub own_cost: OwnCost,
    /// Messages per second that the harness could reach if network and service cost nothing.
    pub ceiling_messages_per_second: Option<f64>,
    /// The service's report about itself.
    pub service: Service,
    /// Seconds that each phase took on rank 0.
    pub phases: BTreeMap<Phase, f64>,
    /// Warnings about a valid run.
    pub warnings: Vec<String>,
}

/// Joins what came together on rank 0.
pub(crate) fn join(plan: &Plan, reduced: Reduced, service: Service, phases: BTreeMap<Phase, f64>) -> RunResult {
    let Reduced {
        ending,
        measured_ns,
        notes,
        clock_error,
        counters,
        mut histograms,
        ranks,
        mut integrity,
        first_corrupt,
        ..
    } = reduced;
    let mut warnings = [service.notes.clone(), notes, window_warnings(plan, &ranks, measured_ns)].concat();
    warnings.extend(suspension::sentences(&ranks, &ending, plan.service.heartbeat_s));
    let jumped = clock_error.jumped_ns > 0;
    let pacing = (plan.load.is_paced() && !jumped).then(|| {
        let judged = pacing(&counters, &histograms, plan.placement.producers);
        let broken = ending.is_fault() || ranks.iter().any(|rank| rank.fault.is_some());
        if broken || were_cut_off(judged, &counters, &ranks) { judged.cut_short() } else { judged }
    });
    warnings.extend(pacing.and_then(Pacing::warning).map(str::to_owned));
    if jumped {
        histograms = Histograms::new();
        warnings.push(jump_warning(clock_error));
    }
    withhold_one_way(&mut histograms, clock_error, &mut warnings);

    // A rank counts by its clock what is inside of the window.
    let throughput = if jumped { Throughput::default() } else { throughput(plan, &counters, &ranks, measured_ns) };
    integrity.corrupt_by_kind = corrupt_by_kind(&counters);
    integrity.count_inspected(&counters);
    if plan.placement.producers == 0 {
        integrity.redelivered = counters.redelivered;
    }
    integrity.first_corrupt = first_corrupt.as_ref().map(example_of);
    let (own_cost, ceiling_messages_per_second) = own_cost(&ranks);
    let client_cpu_high =
        cpu_pressure::client_cpu_high(&ranks, throughput.messages_per_second, ceiling_messages_per_second);
    let oversubscribed = cpu_pressure::oversubscribed(&ranks);
    // Both name parts of a window that nobody knows where a clock jumped.
    warnings.extend(client_cpu_high.iter().chain(&oversubscribed).filter(|_| !jumped).cloned());
    RunResult {
        ending,
        counters,
        histograms,
        integrity,
        first_corrupt,
        throughput,
        completion: if jumped { Completion::default() } else { completion(&ranks) },
        ranks,
        clock_error,
        pacing,
        client_cpu_high: client_cpu_high.is_some(),
        oversubscribed: oversubscribed.is_some(),
        own_cost,
        ceiling_messages_per_second,
        service,
        phases,
        warnings,
    }
}

/// Warnings about the measured window.
fn window_warnings(plan: &Plan, ranks: &[RankReport], measured_ns: u64) -> Vec<String> {
    let late = ranks.iter().filter(|rank| rank.late_window).count();
    let late = (late > 0)
        .then(|| format!("{late} rank(s) received the window after its start: their first samples are missing"));
    let empty = matches!(plan.length, RunLength::Window(_)) && measured_ns == 0;
    let empty = empty.then(|| "streaming ended before the measured window began: nothing was measured".to_owned());
    late.into_iter().chain(empty).collect()
}

/// The rate of delivery.
fn throughput(plan: &Plan, counters: &Counters, ranks: &[RankReport], measured_ns: u64) -> Throughput {
    if plan.placement.consumers == 0 {
        // Rates are of deliveries, and none is to this run.
        return Throughput::default();
    }
    let spans: Vec<ConsumerSpan> = ranks.iter().flat_map(|rank| rank.spans.iter().copied()).collect();
    let rates = match plan.length {
        RunLength::Messages(_) => {
            let Counters { received, bytes_received, events_received, .. } = *counters;
            let total = Volume { messages: received, bytes: bytes_received, events: events_received };
            Throughput::over_span(&spans, &total)
        }
        RunLength::Window(_) => {
            let Counters { in_window_messages, in_window_bytes, in_window_events, .. } = *counters;
            let inside = Volume { messages: in_window_messages, bytes: in_window_bytes, events: in_window_events };
            Throughput::in_window(measured_ns, &inside, &spans)
        }
    };
    // How many events are in messages of others is not known.
    if plan.placement.producers == 0 { Throughput { events_per_second: None, ..rates } } else { rates }
}

/// A corrupt body, as the record names it.
fn example_of(sample: &CorruptSample) -> FirstCorrupt {
    FirstCorrupt {
        producer: sample.arrival.producer,
        sequence: sample.arrival.sequence,
        consumer: sample.arrival.consumer,
        kind: sample.corruption.kind.name().to_owned(),
        detail: sample.corruption.detail.clone(),
        file: None,
    }
}

/// What the loops cost by themselves, the mean over ranks, and the rate that they could reach.
fn own_cost(ranks: &[RankReport]) -> (OwnCost, Option<f64>) {
    let hosts: BTreeMap<&str, u32> =
        ranks.iter().map(|rank| (rank.summary.host.as_str(), rank.machine.cores)).collect();
    let costs: Vec<OwnCost> = ranks.iter().map(|rank| rank.own_cost).collect();
    let own_cost = OwnCost::mean(&costs);
    let ranks_with = |workers: fn(&RankSummary) -> &Vec<u32>| {
        ranks.iter().filter(|rank| !workers(&rank.summary).is_empty()).count() as u32
    };
    let (producing, consuming) = (ranks_with(|rank| &rank.producers), ranks_with(|rank| &rank.consumers));
    (own_cost, own_cost.ceiling(producing, consuming, hosts.values().sum()))
}

/// How long it took from the first publish on.
fn completion(ranks: &[RankReport]) -> Completion {
    let first_ns = ranks.iter().filter_map(|rank| rank.first_sent_ns).min();
    let done_ns = |rank: &RankReport| rank.last_arrival_ns.max(rank.last_sent_ns);
    let since = |at_ns: Option<u64>| Some(at_ns?.saturating_sub(first_ns?) as f64 / 1e9);
    Completion {
        total_s: since(ranks.iter().filter_map(|rank| rank.last_arrival_ns).max()),
        first_rank_s: since(ranks.iter().filter_map(done_ns).min()),
    }
}

/// The verdict on how senders kept their schedule.
fn pacing(counters: &Counters, histograms: &Histograms, producers: u32) -> Pacing {
    let summary = |metric| histograms.get(metric).map(|histogram| histogram.summary());
    let response = summary(Metric::RttFromDue).or_else(|| summary(Metric::ConfirmFromDue));
    Pacing::judge(
        &summary(Metric::ScheduleLag).unwrap_or_default(),
        response.and_then(|response| response.p50_ns).unwrap_or_default(),
        counters,
        producers,
    )
}

/// Whether senders were late because they had lost their connections, and not for reasons of their own.
fn were_cut_off(judged: Pacing, counters: &Counters, ranks: &[RankReport]) -> bool {
    let of_senders = ranks.iter().flat_map(|rank| &rank.lost).filter(|lost| lost.publishes());
    let without_ns = (of_senders.map(|lost| lost.all.total_s).sum::<f64>() * 1e9) as u64;
    let held_back_ns = counters.backpressure_ns.saturating_add(without_ns);
    judged == Pacing::GeneratorLimited && without_ns > 0 && held_back_ns.saturating_mul(2) > counters.late_ns
}

/// Joins the ledgers of all ranks; `deliveries` are the consumers' side, encoded, in rank order, and `handed` is what they
/// handed over before.
pub(crate) fn join_ledgers(
    flow: &Flow,
    ranks: &[RankReport],
    handed: Handed,
    deliveries: impl Iterator<Item = Vec<u8>>,
) -> Integrity {
    let same_build = "ranks run the same binary";
    let sent: Vec<(u32, SentSummary)> = ranks
        .iter()
        .flat_map(|rank| &rank.sent)
        .map(|(producer, bytes)| (*producer, SentSummary::decode(bytes).expect(same_build)))
        .collect();
    let decode = |bytes: &Vec<u8>| Deliveries::decode(bytes).expect(same_build);
    let deliveries = deliveries.map(|bytes| decode(&bytes));
    let mut integrity = if flow.copies != 1 {
        measure::join_each(&sent, deliveries, flow.copies as usize)
    } else {
        measure::join_with(handed, &sent, deliveries)
    };
    if flow.replies > 0 {
        let collected = ranks.iter().flat_map(|rank| &rank.replies);
        let collected = collected.map(|ledgers| ledgers.iter().map(decode).collect()).collect();
        let resent = ranks.iter().map(|rank| rank.resent).sum();
        let joined = measure::join_replies(&sent, collected, flow.replies as usize);
        integrity.replies = Some(Replies { resent, ..joined });
    }
    integrity
}

/// The kinds that occurred, with how often.
fn corrupt_by_kind(counters: &Counters) -> BTreeMap<String, u64> {
    [
        (CorruptionKind::Length, counters.corrupt_length),
        (CorruptionKind::Checksum, counters.corrupt_checksum),
        (CorruptionKind::Structure, counters.corrupt_structure),
        (CorruptionKind::Content, counters.corrupt_content),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(kind, count)| (kind.name().to_owned(), count))
    .collect()
}

fn jump_warning(clock_error: ClockError) -> String {
    format!(
        "rates, latencies and the time of completion are withheld: after streaming the clock of a rank was off by {:.3} s, which \
         is more than a clock drifts, so it jumped (a machine that was suspended or moved, a clock that was set); run it again",
        clock_error.jumped_ns as f64 / 1e9
    )
}

fn withhold_one_way(histograms: &mut Histograms, clock_error: ClockError, warnings: &mut Vec<String>) {
    let Some(median_ns) = histograms.get(Metric::OneWay).and_then(|histogram| histogram.summary().p50_ns) else {
        return;
    };
    if clock_error.pair_bound_ns as f64 > CLOCK_ERROR_MAX * median_ns as f64 {
        histograms.remove(Metric::OneWay);
        warnings.push(format!(
            "one-way latency is withheld: clocks agree to {} ns only, which is over 5 % of its median of {median_ns} ns",
            clock_error.pair_bound_ns
        ));
    }
}
