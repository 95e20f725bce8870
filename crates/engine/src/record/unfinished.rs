//! The record of a run that has no result: refused, cut short, or killed.

use crate::{
    record::{
        Facts,
        counts::{backpressure, confirmed, of_rank, totals},
        left::if_killed,
        verdict::verdict,
    },
    result::left::left_by_killed,
    run::{control::Ending, observer::Snapshot},
};
use measure::{
    Exit, Integrity, Record, Replies,
    record::{RankSummary, ServiceView, Status},
};
use profile::Plan;

/// The record of a run that ended before it streamed.
pub fn refused(facts: &Facts, status: Status) -> Record {
    Record { status, ..facts.record() }
}

/// The record of a run that was cut short, from the last sums that rank 0 heard. Replaced by the
/// complete one, if the run gets that far.
pub fn cut_short(facts: &Facts, snapshot: &Snapshot, ending: &Ending) -> Record {
    let (total, flow) = (&snapshot.total.counters, &facts.plan.flow);
    let (copies, replies) = (u64::from(flow.copies), u64::from(flow.replies));
    let missing = |expected: u64, arrived: u64| expected.saturating_sub(arrived);
    let mut integrity = Integrity {
        sent: total.sent,
        confirmed: confirmed(&facts.plan, total),
        unconfirmed: if facts.plan.service.confirms.wanted() {
            missing(total.sent, total.accepted + total.abandoned)
        } else {
            0
        },
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
    integrity.count_inspected(total);
    let mut record = facts.record();
    record.status = verdict(&facts.plan, ending, None, &integrity);
    record.integrity = integrity;
    record.totals = totals(total);
    record.backpressure = backpressure(total);
    let ranks = snapshot.ranks.iter().enumerate().map(|(rank, sums)| RankSummary {
        wall_s: snapshot.elapsed.as_secs_f64(),
        failure: sums.fault.as_ref().map(ToString::to_string),
        ..of_rank(&facts.plan, rank, &sums.counters)
    });
    record.ranks = ranks.collect();
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
        Some(Snapshot { elapsed, total, .. }) if facts.plan.external.is_some() => format!(
            "cut off while it streamed: {why}; {} messages had been sent and {} received {:.0} s after its start",
            total.counters.sent,
            total.counters.received,
            elapsed.as_secs_f64()
        ),
        Some(Snapshot { elapsed, total, .. }) => format!(
            "cut off while it streamed: {why}; {} of {} messages had been delivered {:.0} s after its start",
            total.counters.distinct,
            total.counters.sent * u64::from(facts.plan.flow.copies),
            elapsed.as_secs_f64()
        ),
    };
    let mut record = broken(facts, latest, Status::new(Exit::Partial, reason));
    if declared {
        leaves_all(&mut record, &facts.plan);
    }
    record
}

/// The run ended without a chance to delete what it had declared.
pub fn leaves_all(record: &mut Record, plan: &Plan) {
    record.left_behind = left_by_killed(plan);
    record.warnings.push(if_killed(plan));
}

/// The record of a run that ended without a result, of the last sums that rank 0 heard if it streamed.
pub fn broken(facts: &Facts, latest: Option<&Snapshot>, status: Status) -> Record {
    match latest {
        None => refused(facts, status),
        Some(snapshot) => Record { status, ..cut_short(facts, snapshot, &Ending::Stopped(String::new())) },
    }
}
