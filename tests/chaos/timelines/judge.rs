//! What must hold after a timeline besides what holds after every run: its faults were carried out and undone, what was
//! promised arrived, and the counts of workers and ranks add up to the record.

use super::draw::{Drawn, Timeline};
use crate::{
    invariant::{is_partial, read},
    run::Finished,
};
use measure::{Record, record::Fault};

/// Times are rounded to less than this.
const ROUNDED_S: f64 = 1e-6;

/// All that does not hold.
pub fn broken(timeline: &Timeline, finished: &Finished) -> Vec<String> {
    let files = &finished.ended.outcome.files;
    let find = |name: &str| files.iter().find(|(path, _)| path.starts_with("results/") && path.ends_with(name));
    // Where there is none, that is found already.
    let Some(Ok((record, _))) = find("/record.json").map(|(_, bytes)| read(bytes)) else { return Vec::new() };
    let mut wrong = Vec::new();
    faults(timeline, &record, &mut wrong);
    promise(timeline, &record, &mut wrong);
    connections(&record, &mut wrong);
    let ranks = find("/ranks.csv").map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    logs(&record, ranks.as_deref(), &mut wrong);
    wrong
}

/// Each was begun when it was due, was complete and, where there is something to undo, undone, in this order.
fn faults(timeline: &Timeline, record: &Record, wrong: &mut Vec<String>) {
    if record.faults.len() != timeline.faults.len() {
        wrong.push(format!("{} of {} faults are in the record", record.faults.len(), timeline.faults.len()));
        return;
    }
    let cut_short = record.status.exit_code != 0;
    for (drawn, fault) in timeline.faults.iter().zip(&record.faults) {
        let never = fault.begun_s.is_none() && cut_short;
        if never && fault.failure.as_deref().is_some_and(|why| why.contains("the run ended before")) {
            continue;
        }
        // Another fault may have ended all connections before.
        let nothing_left = drawn.verb == "close" && timeline.faults.len() > 1;
        if nothing_left && fault.failure.as_deref().is_some_and(|why| why.contains("no connection to close")) {
            continue;
        }
        // What carries it out, or undoes it, may be what another fault holds back just then; the run says so.
        if fault.failure.is_some() && cut_short && is_held_back(drawn, fault, &timeline.faults, &record.faults) {
            continue;
        }
        if let Some(why) = out_of_order(drawn, fault, cut_short) {
            wrong.push(format!("{why}: {fault:?}"));
        } else if fault.cost.is_none() && !is_partial(record) {
            wrong.push(format!("it has no cost: {fault:?}"));
        }
    }
}

/// Whether another fault was in force when this one was to begin, or to be undone.
fn is_held_back(drawn: &Drawn, fault: &Fault, all_drawn: &[Drawn], all: &[Fault]) -> bool {
    let lasts_s = drawn.for_ms.unwrap_or_default() as f64 / 1e3;
    let times = [fault.due_s, fault.complete_s.unwrap_or(fault.due_s) + lasts_s];
    let mut others = all_drawn.iter().zip(all).filter(|(_, other)| other.fault != fault.fault);
    others.any(|(drawn, other)| {
        let is_lasting = drawn.for_ms.is_some() || drawn.verb == "kill";
        let over_s = other.undone_s.or(other.complete_s.filter(|_| !is_lasting)).unwrap_or(f64::INFINITY);
        other.begun_s.is_some_and(|begun_s| times.iter().any(|at_s| (begun_s..=over_s).contains(at_s)))
    })
}

fn out_of_order(drawn: &Drawn, fault: &Fault, cut_short: bool) -> Option<&'static str> {
    if fault.failure.is_some() {
        return Some("it failed");
    }
    let (Some(begun_s), Some(complete_s)) = (fault.begun_s, fault.complete_s) else {
        return Some("it was not carried out");
    };
    if (fault.due_s * 1e3).round() as u64 != drawn.at_ms || begun_s < fault.due_s || complete_s < begun_s {
        return Some("its times are not in order");
    }
    let lasts_s = drawn.for_ms.unwrap_or_default() as f64 / 1e3;
    let to_undo = drawn.for_ms.is_some() || drawn.verb == "kill";
    match fault.undone_s {
        None if to_undo => Some("it is not undone"),
        Some(_) if !to_undo => Some("it is undone without need"),
        // A run that ends early undoes it at once.
        Some(undone_s) if !cut_short && undone_s + ROUNDED_S < complete_s + lasts_s => {
            Some("it did not last for its time")
        }
        Some(undone_s) if undone_s < complete_s => Some("it was undone before it was complete"),
        _ => None,
    }
}

/// What a replicated queue has confirmed arrives.
fn promise(timeline: &Timeline, record: &Record, wrong: &mut Vec<String>) {
    if timeline.keeps_its_promise() && record.integrity.lost > 0 {
        let (lost, queue) = (record.integrity.lost, timeline.plan.queue_type);
        wrong.push(format!(
            "{lost} messages that a {queue} queue had confirmed are lost: {:?}",
            record.integrity.first_lost
        ));
    }
}

/// Times without a connection have the same sums by cause and by connection, and a run that passes has all made again.
fn connections(record: &Record, wrong: &mut Vec<String>) {
    let Some(lost) = &record.reconnection else {
        wrong.push("the record has no times without a connection, though the plan has a limit for them".to_owned());
        return;
    };
    let by_cause: u64 = lost.by_cause.values().map(|cause| cause.times).sum();
    let by_connection: u64 = lost.connections.iter().map(|one| one.all.times).sum();
    if by_cause != lost.all.times || by_connection != lost.all.times || lost.all.made_again > lost.all.times {
        wrong.push(format!("the sums of lost connections differ: {lost:?}"));
    }
}

/// What consumers and producers counted, rank by rank, is what the ledger says of all.
fn logs(record: &Record, ranks: Option<&str>, wrong: &mut Vec<String>) {
    let all = &record.integrity;
    let received = record.totals.received.messages;
    if is_partial(record) {
        return;
    }
    if all.delivered + all.duplicated != received {
        let (delivered, duplicated) = (all.delivered, all.duplicated);
        wrong
            .push(format!("consumers received {received}, and {delivered} were delivered and {duplicated} came twice"));
    }
    let Some(ranks) = ranks else {
        wrong.push("there is no ranks.csv".to_owned());
        return;
    };
    for (name, expected) in [("sent", all.sent), ("confirmed", all.confirmed), ("received", received)] {
        let sum = sum(ranks, name);
        if sum != Some(expected) {
            wrong.push(format!("ranks have {sum:?} {name}, and the record has {expected}"));
        }
    }
    if all.duplicated_by_reconnection > all.duplicated || all.republished_after_loss > all.republished {
        wrong.push("more is explained by lost connections than there is".to_owned());
    }
}

fn sum(table: &str, name: &str) -> Option<u64> {
    let mut lines = table.lines();
    let at = lines.next()?.split(',').position(|column| column == name)?;
    lines.map(|line| line.split(',').nth(at)?.parse::<u64>().ok().or(Some(0))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(due_s: f64, begun_s: f64, complete_s: f64, undone_s: Option<f64>) -> Fault {
        Fault { due_s, begun_s: Some(begun_s), complete_s: Some(complete_s), undone_s, ..Fault::default() }
    }

    #[test]
    fn times_of_a_fault_that_are_not_in_order_are_found() {
        let kill = |for_ms| Drawn { verb: "kill", object: "node 1".to_owned(), at_ms: 2000, for_ms };
        for (of, fault, cut_short, expected) in [
            (kill(Some(500)), fault(2.0, 2.1, 2.2, Some(2.8)), false, None),
            (kill(Some(500)), fault(2.0, 1.9, 2.2, Some(2.8)), false, Some("not in order")),
            (kill(Some(500)), fault(2.0, 2.1, 2.2, Some(2.6)), false, Some("did not last")),
            (kill(Some(500)), fault(2.0, 2.1, 2.2, Some(2.6)), true, None),
            (kill(None), fault(2.0, 2.1, 2.2, None), false, Some("not undone")),
            (Drawn { verb: "close", ..kill(None) }, fault(2.0, 2.1, 2.2, None), false, None),
            (Drawn { verb: "close", ..kill(None) }, fault(2.0, 2.1, 2.2, Some(3.0)), false, Some("without need")),
        ] {
            let found = out_of_order(&of, &fault, cut_short);
            assert!(
                found.is_some() == expected.is_some() && found.unwrap_or("").contains(expected.unwrap_or("")),
                "{found:?}"
            );
        }
        let failed = Fault { failure: Some("gone".to_owned()), ..Fault::default() };
        assert_eq!(out_of_order(&kill(None), &failed, true), Some("it failed"));
    }

    #[test]
    fn a_fault_may_fail_only_while_another_is_in_force() {
        let drawn = |verb, for_ms| Drawn { verb, object: "ingress".to_owned(), at_ms: 0, for_ms };
        let named = |name: &str, fault: Fault| Fault { fault: name.to_owned(), ..fault };
        let kill = (drawn("kill", Some(2000)), named("kill", fault(2.0, 2.0, 2.1, Some(6.0))));
        let held_back = |due_s| {
            let expire = (drawn("expire", None), named("expire", Fault { due_s, ..Fault::default() }));
            let (all_drawn, all) = ([kill.0.clone(), expire.0.clone()], [kill.1.clone(), expire.1.clone()]);
            is_held_back(&expire.0, &expire.1, &all_drawn, &all)
        };
        assert_eq!([1.0, 3.0, 5.9, 6.1].map(held_back), [false, true, true, false]);
    }

    #[test]
    fn columns_are_summed_and_empty_cells_are_none() {
        let table = "rank,sent,received\n0,24,\n1,,20\n2,3,4\n";
        assert_eq!((sum(table, "sent"), sum(table, "received"), sum(table, "lost")), (Some(27), Some(24), None));
    }
}
