//! A prediction as a record, so that whatever reads measurements reads it.

use crate::{Outcome, Testbed, outcome::Carried, tally::volume};
use measure::{
    Exit, Pacing, Record,
    record::{
        Completion, Hop, HopEnd, Link, LinkCount, Prediction, RankSummary, Route, SCHEMA, Status, Totals, Utilisation,
    },
};
use profile::Plan;

/// What was predicted, beside its plan.
#[derive(Debug, Clone)]
pub struct Assumed<'a> {
    /// The name of the testbed.
    pub name: &'a str,
    /// The testbed.
    pub testbed: &'a Testbed,
    /// Factor of the rate of its links.
    pub scale: f64,
    /// The route.
    pub route: &'a str,
    /// The hypotheses, each as `AXIS=VALUE`.
    pub hypotheses: Vec<String>,
}

/// The record of an outcome. `empty` has what identifies it: its `run_id`, when it was made, its point and labels.
pub fn record(plan: &Plan, outcome: &Outcome, assumed: &Assumed<'_>, empty: Record) -> Record {
    let status = match (outcome.cut_short, outcome.integrity.verdict()) {
        (true, _) => Status::new(
            Exit::Partial,
            format!(
                "the model streams for longer than the limit of {} s: give more time with --timeout, or fewer --messages",
                plan.limits.stream.as_secs()
            ),
        ),
        (false, Ok(())) => Status::new(Exit::Pass, delivered(outcome)),
        (false, Err(reason)) => Status::new(Exit::Integrity, reason),
    };
    let utilisation = outcome.uses.iter().map(|one| Utilisation { part: one.name.clone(), share: one.share });
    let mut record = Record {
        schema: SCHEMA.to_owned(),
        prediction: Some(Prediction {
            testbed: assumed.name.to_owned(),
            scale: assumed.scale,
            hypotheses: assumed.hypotheses.clone(),
            bottleneck: outcome.bottleneck.clone(),
            utilisation: utilisation.collect(),
            events: outcome.events,
        }),
        status,
        plan: serde_json::to_value(plan).expect("a plan is plain data"),
        route: Route { architecture: plan.architecture.clone(), hops: hops(assumed), ..Route::default() },
        throughput: outcome.throughput.clone(),
        completion: Completion { total_s: Some(outcome.total_s), first_rank_s: None },
        totals: Totals { sent: outcome.sent, received: outcome.received },
        latency: outcome.histograms.summaries(),
        integrity: outcome.integrity.clone(),
        ranks: ranks(plan, outcome),
        links: outcome.links.iter().map(|link| carried(link, assumed.testbed.wire.overhead)).collect(),
        warnings: vec!["this is a prediction of a model, not a measurement".to_owned()],
        ..empty
    };
    record.backpressure.rejected = outcome.integrity.rejected;
    pace(&mut record, outcome);
    record.harness.schedule_lag_p99_ns = record.latency.get("schedule_lag").and_then(|lag| lag.p99_ns);
    // Titles are what figures show.
    let title = record.labels.architecture.take().unwrap_or_else(|| plan.architecture.clone());
    record.labels.architecture = Some(format!("{title} (predicted)"));
    record
}

/// Whether the schedule was kept, if there was one.
fn pace(record: &mut Record, outcome: &Outcome) {
    let Some(pacing) = outcome.pacing else { return };
    let kept = &outcome.kept;
    let harness = &mut record.harness;
    harness.schedule = Some(pacing.name().to_owned());
    (harness.saturated, harness.generator_limited) = (pacing == Pacing::Saturated, pacing == Pacing::GeneratorLimited);
    (harness.due_messages, harness.in_time_messages) = (kept.in_window_due, kept.in_window_in_time);
    (harness.late_ns, harness.backpressure_ns) = (kept.late_ns, kept.backpressure_ns);
    harness.unsent_messages = kept.unsent;
    record.warnings.extend(pacing.warning().map(str::to_owned));
}

fn delivered(outcome: &Outcome) -> String {
    let integrity = &outcome.integrity;
    format!("{} of {} messages would be delivered, none lost", integrity.delivered, integrity.expected)
}

fn hops(assumed: &Assumed<'_>) -> Vec<Hop> {
    let Some(route) = assumed.testbed.routes.get(assumed.route) else { return Vec::new() };
    let protocol = if route.tls { "amqps" } else { "amqp" };
    let side = |client: HopEnd, parts: &[String]| {
        let ends: Vec<HopEnd> =
            std::iter::once(client).chain(parts.iter().map(|part| HopEnd::Part(part.clone()))).collect();
        let to = ends.iter().skip(1).cloned().chain([HopEnd::Part("service".to_owned())]);
        let hop = |(from, to): (&HopEnd, HopEnd)| Hop {
            from: from.clone(),
            to,
            protocol: protocol.to_owned(),
            ..Hop::default()
        };
        ends.iter().zip(to).map(hop).collect::<Vec<_>>()
    };
    [side(HopEnd::Producer, &route.producer), side(HopEnd::Consumer, &route.consumer)].concat()
}

/// A link with its headers. Packets of the network are not simulated, so their number stays 0.
fn carried(link: &Carried, overhead: f64) -> Link {
    let count =
        |bytes: u64| LinkCount { bytes: (bytes as f64 * (1.0 + overhead)).round() as u64, ..LinkCount::default() };
    Link {
        host: link.host.clone(),
        rate_bits_per_second: Some(link.bits_per_second.round() as u64),
        delay_s: link.delay_s,
        to_host: count(link.to_host),
        from_host: count(link.from_host),
        distance: None,
    }
}

fn ranks(plan: &Plan, outcome: &Outcome) -> Vec<RankSummary> {
    let summary = |rank: usize| {
        let role = plan.placement.role(rank);
        let sum =
            |which: usize| role.producers.iter().map(|index| outcome.producers[*index as usize][which]).sum::<u64>();
        let received = role.consumers.iter().map(|index| outcome.consumers[*index as usize]).sum::<u64>();
        RankSummary {
            rank: rank as u32,
            role: role.to_string(),
            sent: sum(0),
            confirmed: sum(1),
            rejected: sum(2),
            received,
            bytes: volume(plan, sum(0) + received).bytes,
            wall_s: outcome.total_s,
            producers: role.producers,
            consumers: role.consumers,
            ..RankSummary::default()
        }
    };
    (0..plan.placement.world).map(summary).collect()
}
