//! Faults in the record of a run: what each cost, and whether all were carried out.

use crate::{result::join::RunResult, run::phase::Phase};
use measure::{
    Disturbed, Exit, Record, Timeline,
    record::{Fault, Status},
};
use profile::{Plan, RunLength};

const NO_SCHEDULE: &str = "what it cost is not known: without a schedule, nothing tells what should have been delivered; set a \
     rate with --rate";

/// Adds to each fault what it cost, or why that is not known.
pub fn price(record: &mut Record, plan: &Plan, result: &RunResult) {
    let timelines: Vec<Timeline> = result.ranks.iter().flat_map(|rank| rank.timelines.iter().cloned()).collect();
    let streamed_s = result.phases.get(&Phase::Stream).copied().unwrap_or_default();
    let stopped_s = streamed_s.min(planned_s(plan));
    let mut begun: Vec<f64> = record.faults.iter().filter_map(|fault| fault.begun_s).collect();
    begun.sort_by(f64::total_cmp);
    // When workers noticed that a connection was lost.
    let connections = record.reconnection.iter().flat_map(|reconnection| &reconnection.connections);
    let lost_at: Vec<f64> = connections.flat_map(|lost| lost.first.iter().map(|outage| outage.at_s)).collect();
    let copies = f64::from(plan.flow.copies);
    let ns = |seconds: f64| (seconds * 1e9) as u64;
    let disturbed = Disturbed {
        timelines: &timelines,
        due_before: &|ns| plan.load.due_before(ns) * copies,
        integrity: &result.integrity,
        first_ns: ns(begun.first().copied().unwrap_or_default()),
        alone: begun.len() == 1,
        // Not by its user, who may end it long after a fault.
        cut_off_ns: (result.ending.is_fault() && streamed_s < planned_s(plan)).then_some(ns(streamed_s)),
    };
    for fault in &mut record.faults {
        let Some(begun_s) = fault.begun_s else { continue };
        if !plan.load.is_paced() {
            fault.no_cost = Some(NO_SCHEDULE.to_owned());
            continue;
        }
        let until_s = begun.iter().copied().find(|other| *other > begun_s).unwrap_or(stopped_s).max(begun_s);
        let mut cost = disturbed.cost(ns(begun_s), ns(until_s));
        let lost = lost_at.iter().filter(|at_s| (begun_s..until_s).contains(*at_s)).map(|at_s| at_s - begun_s);
        cost.noticed_s = cost.noticed_s.into_iter().chain(lost).reduce(f64::min);
        fault.cost = Some(cost);
    }
}

/// How long producers send.
fn planned_s(plan: &Plan) -> f64 {
    match &plan.length {
        RunLength::Window(window) => window.total_ns() as f64 / 1e9,
        RunLength::Messages(_) => f64::INFINITY,
    }
}

/// A run without one of its faults is not the run of its plan.
pub fn judge(record: &mut Record) {
    let failed = |fault: &Fault| Some(format!("fault `{}` failed: {}", fault.fault, fault.failure.as_ref()?));
    if let Some(reason) = record.faults.iter().find_map(failed).filter(|_| record.status.pass) {
        record.status = Status::new(Exit::Partial, reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_run_in_which_a_fault_failed_does_not_pass() {
        let failed =
            Fault { fault: "at 1s: kill node 1".into(), failure: Some("it is gone".into()), ..Fault::default() };
        let mut record = Record { status: Status::new(Exit::Pass, String::new()), ..Record::default() };
        record.faults = vec![Fault::default()];
        judge(&mut record);
        assert!(record.status.pass);
        record.faults.push(failed);
        judge(&mut record);
        assert_eq!((record.status.pass, record.status.exit_code), (false, 7));
        assert_eq!(record.status.reason, "fault `at 1s: kill node 1` failed: it is gone");
    }
}
