//! Sections of a record that are counts, of all ranks or of one.

use measure::{
    Counters, Volume,
    record::{Backpressure, RankSummary, Totals},
};
use profile::Plan;

/// How much was sent and delivered.
pub(super) fn totals(counters: &Counters) -> Totals {
    let Counters { sent, bytes_sent, events_sent, received, bytes_received, events_received, .. } = *counters;
    Totals {
        sent: Volume { messages: sent, bytes: bytes_sent, events: events_sent },
        received: Volume { messages: received, bytes: bytes_received, events: events_received },
    }
}

/// How the service held producers back.
pub(super) fn backpressure(counters: &Counters) -> Backpressure {
    let Counters { rejected, blocked_times, blocked_ns, .. } = *counters;
    Backpressure { rejected, blocked_times, blocked_s: blocked_ns as f64 / 1e9 }
}

/// The counts of one rank.
pub(crate) fn of_rank(plan: &Plan, rank: usize, counters: &Counters) -> RankSummary {
    let Counters { sent, rejected, received, bytes_sent, bytes_received, .. } = *counters;
    let role = plan.placement.role(rank);
    RankSummary {
        rank: rank as u32,
        role: role.to_string(),
        producers: role.producers,
        consumers: role.consumers,
        sent,
        confirmed: confirmed(plan, counters),
        rejected,
        received,
        bytes: bytes_sent + bytes_received,
        ..RankSummary::default()
    }
}

/// Messages that the service confirmed: what is accepted without its confirm is only written.
pub(super) fn confirmed(plan: &Plan, counters: &Counters) -> u64 {
    if plan.service.confirms.wanted() { counters.accepted } else { 0 }
}

/// Processor time of one message, in microseconds.
pub(crate) fn per_message(cpu_s: f64, messages: u64) -> Option<f64> {
    (messages > 0).then(|| cpu_s * 1e6 / messages as f64)
}
