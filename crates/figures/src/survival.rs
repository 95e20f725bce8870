//! What survives what: the cost of each fault by route, queue type and confirms, and whether quorum queues kept their promise.

use crate::{
    Estimate, Key, Run,
    axis::short,
    dimension::done,
    points::{first_delivery_s, text},
};
use measure::record::{Fault, FaultCost};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the columns mean.
pub const NOTE: &str = "Medians over runs; the lowest and the highest where they differ. Survived: runs that streamed to their end. First \
                        delivery: from when the fault began until the last consumer that it stalled got a message; 0 if it stalled \
                        none, - if one of them never got another. Missed: deliveries that were missing against the schedule at the \
                        worst moment. Failed runs are counted, too.";

/// Exit codes of runs that a fault cut off: the route or the service ended them.
const CUT_OFF: u8 = 3;
/// What RabbitMQ documents of quorum queues.
const PROMISE: &str = "A quorum queue loses no message that it has confirmed";
/// Runs that are named where the promise is broken.
const NAMED_MAX: usize = 5;

/// What runs of one row have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Setting {
    fault: String,
    queue: String,
    confirms: String,
    architecture: String,
}

/// A fault in a run that it was carried out in.
struct Suffered<'a> {
    run: &'a Run,
    cost: Option<&'a FaultCost>,
}

impl Suffered<'_> {
    fn survived(&self) -> bool {
        self.run.record.failures.is_empty() && self.run.record.status.exit_code != CUT_OFF
    }

    fn first_delivery_s(&self) -> Option<f64> {
        first_delivery_s(self.cost?)
    }
}

/// As a table with its head, and whether the promise of quorum queues was kept; `None` without faults. `failed` are runs that
/// had faults and are in nothing else.
pub fn table(runs: &[Run], failed: &[Run]) -> Option<(Vec<Vec<String>>, String)> {
    let mut rows: BTreeMap<Setting, Vec<Suffered>> = BTreeMap::new();
    for run in runs.iter().chain(failed) {
        for fault in run.record.faults.iter().filter(|fault| was_carried_out(fault)) {
            let setting = Setting {
                fault: done(&fault.fault),
                queue: kind(run),
                confirms: text(&run.record.plan, "/service/confirms"),
                architecture: Key::of(run).architecture,
            };
            rows.entry(setting).or_default().push(Suffered { run, cost: fault.cost.as_ref() });
        }
    }
    if rows.is_empty() {
        return None;
    }
    let head = [
        "fault",
        "queue",
        "confirms",
        "route",
        "survived",
        "first delivery, s",
        "longest stall, s",
        "missed",
        "lost",
        "undetermined",
        "came twice",
    ];
    let head = std::iter::once(head.map(str::to_owned).to_vec());
    let none = || format!("{PROMISE}: no run here had quorum queues, confirms and acknowledgements.");
    Some((head.chain(rows.iter().map(row)).collect(), promise(runs, failed).unwrap_or_else(none)))
}

fn row((setting, suffered): (&Setting, &Vec<Suffered>)) -> Vec<String> {
    let Setting { fault, queue, confirms, architecture } = setting.clone();
    let survived = suffered.iter().filter(|one| one.survived()).count();
    let costs = |of: &dyn Fn(&Suffered) -> Option<f64>| spread(&suffered.iter().filter_map(of).collect::<Vec<_>>());
    let count = |of: fn(&FaultCost) -> Option<u64>| costs(&|one| of(one.cost?).map(|count| count as f64));
    vec![
        fault,
        queue,
        confirms,
        architecture,
        format!("{survived} of {}", suffered.len()),
        costs(&|one| one.first_delivery_s()),
        costs(&|one| one.cost.map(|cost| cost.longest_stall_s.unwrap_or_default())),
        count(|cost| Some(cost.missed)),
        count(|cost| cost.lost),
        count(|cost| cost.undetermined),
        count(|cost| cost.duplicated),
    ]
}

/// The median, and the lowest and the highest if they differ.
fn spread(values: &[f64]) -> String {
    let Some(Estimate { median, values, .. }) = Estimate::of(values) else { return "-".to_owned() };
    let [low, high] = [values[0], values[values.len() - 1]].map(|value| short(value, 3));
    if low == high { low } else { format!("{} ({low} to {high})", short(median, 3)) }
}

fn was_carried_out(fault: &Fault) -> bool {
    fault.begun_s.is_some() && fault.failure.is_none()
}

/// The type of the queues, all of which are alike.
fn kind(run: &Run) -> String {
    text(&run.record.plan, "/service/queues/0/kind")
}

/// Whether confirmed messages of a run have to arrive: its queues are quorum queues that drop none for a limit, producers
/// wait for confirms, and consumers acknowledge what they have got.
fn is_promised(run: &Run) -> bool {
    let record = &run.record;
    let set = |name: &str| text(&record.plan, &format!("/service/{name}"));
    let queues = record.plan.pointer("/service/queues").and_then(Value::as_array);
    let keeps = |queue: &Value| {
        let limit = queue["max_length"].as_u64().unwrap_or(u64::MAX);
        let drops =
            queue["overflow"] == "drop-head" && (record.integrity.sent >= limit || !queue["max_bytes"].is_null());
        queue["kind"] == "quorum" && queue["ttl"].is_null() && !drops
    };
    record.prediction.is_none()
        && record.faults.iter().any(was_carried_out)
        && queues.is_some_and(|queues| !queues.is_empty() && queues.iter().all(keeps))
        && !["", "none"].contains(&set("confirms").as_str())
        && !["", "auto"].contains(&set("acks").as_str())
}

/// In how many runs with faults the promise of quorum queues was kept, and in which it was broken; `None` if no run tells.
pub fn promise(runs: &[Run], failed: &[Run]) -> Option<String> {
    let promised: Vec<&Run> = runs.iter().chain(failed).filter(|run| is_promised(run)).collect();
    if promised.is_empty() {
        return None;
    }
    let broken: Vec<&&Run> = promised.iter().filter(|run| run.record.integrity.lost > 0).collect();
    let open =
        promised.iter().filter(|run| run.record.integrity.lost == 0 && run.record.integrity.undetermined > 0).count();
    let all = promised.len();
    let mut sentence = format!("{PROMISE}: kept in {} of {all} runs", all - broken.len() - open);
    if open > 0 {
        sentence += &format!(", not known in {open} (undetermined messages)");
    }
    if !broken.is_empty() {
        let named = broken.iter().take(NAMED_MAX).map(|run| {
            let (dir, integrity) = (run.dir.display(), &run.record.integrity);
            format!("{dir} ({} of {} messages)", integrity.lost, integrity.expected)
        });
        let more = broken.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        sentence += &format!(", BROKEN in {}: {}{more}", broken.len(), named.collect::<Vec<_>>().join(", "));
    }
    Some(sentence + ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// A run over a route whose fault stalled consumers for so long, and that lost so many of 1,000 messages.
    fn run(architecture: &str, kind: &str, confirms: &str, stall_s: f64, lost: u64) -> Run {
        let mut record = sample::record(architecture, 2, 100.0);
        let queue = serde_json::json!({ "kind": kind, "overflow": "drop-head", "max_length": 5000 });
        record.plan["service"] = serde_json::json!({ "confirms": confirms, "acks": "each", "queues": [queue] });
        (record.integrity.sent, record.integrity.expected, record.integrity.lost) = (1000, 1000, lost);
        record.faults = vec![Fault {
            fault: "at 7s: kill node 1 for 5s".to_owned(),
            begun_s: Some(7.0),
            cost: Some(FaultCost {
                consumers: 2,
                stalled: if stall_s > 0.0 { 2 } else { 0 },
                recovered: 2,
                first_delivery_median_s: Some(stall_s / 2.0),
                first_delivery_last_s: Some(stall_s),
                longest_stall_s: (stall_s > 0.0).then_some(stall_s),
                missed: 40,
                lost: Some(lost),
                duplicated: Some(3),
                undetermined: Some(0),
                ..FaultCost::default()
            }),
            ..Fault::default()
        }];
        Run { dir: format!("{architecture}-{kind}-{confirms}-{stall_s}-{lost}").into(), record }
    }

    #[test]
    fn each_fault_has_a_row_for_each_route_queue_and_confirms_with_medians_over_its_runs() {
        let mut cut_off = run("mss", "quorum", "each", 0.0, 0);
        cut_off.record.status.exit_code = CUT_OFF;
        cut_off.record.faults[0].cost = None;
        let mut undone = run("mss", "quorum", "each", 9.0, 9);
        undone.record.faults[0].failure = Some("it was not complete after 60 s".to_owned());
        let runs = [
            run("dts", "quorum", "each", 3.0, 0),
            run("dts", "quorum", "each", 5.0, 0),
            run("dts", "quorum", "each", 3.5, 0),
            run("dts", "classic", "none", 0.0, 7),
            run("mss", "quorum", "each", 1.0, 0),
            undone,
        ];
        let (rows, _) = table(&runs, &[cut_off]).unwrap();
        let rows: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
        assert_eq!(
            rows[1..],
            [
                "kill node 1 for 5s | classic | none | dts | 1 of 1 | 0 | 0 | 40 | 7 | 0 | 3",
                "kill node 1 for 5s | quorum | each | dts | 3 of 3 | 3.5 (3 to 5) | 3.5 (3 to 5) | 40 | 0 | 0 | 3",
                "kill node 1 for 5s | quorum | each | mss | 1 of 2 | 1 | 1 | 40 | 0 | 0 | 3",
            ]
        );
        assert!(rows[0].starts_with("fault | queue | confirms | route"), "{rows:?}");
        let mut never = run("dts", "quorum", "each", 5.0, 0);
        let cost = never.record.faults[0].cost.as_mut().unwrap();
        (cost.recovered, cost.first_delivery_last_s) = (1, None);
        assert_eq!(table(&[never], &[]).unwrap().0[1][4..7], ["1 of 1", "-", "5"]);
    }

    #[test]
    fn runs_without_faults_have_no_table() {
        assert_eq!(table(&[Run { dir: "a".into(), record: sample::record("dts", 1, 1.0) }], &[]), None);
    }

    #[test]
    fn a_broken_promise_names_its_record_and_nothing_else_is_one() {
        let told = |runs: &[Run]| table(runs, &[]).unwrap().1;
        let kept = run("dts", "quorum", "each", 1.0, 0);
        let broken = run("mss", "quorum", "window:64", 1.0, 2);
        let sentence = told(&[kept.clone(), broken.clone()]);
        let expected = "kept in 1 of 2 runs, BROKEN in 1: mss-quorum-window:64-1-2 (2 of 1000 messages).";
        assert!(sentence.ends_with(expected), "{sentence}");
        let mut open = kept.clone();
        open.record.integrity.undetermined = 4;
        assert!(told(&[open]).contains("kept in 0 of 1 runs, not known in 1"));
        // Of these nobody has promised anything.
        let change = |change: fn(&mut Run)| {
            let mut run = broken.clone();
            change(&mut run);
            run
        };
        let others = [
            run("dts", "classic", "each", 1.0, 2),
            run("dts", "quorum", "none", 1.0, 2),
            change(|run| run.record.plan["service"]["acks"] = "auto".into()),
            change(|run| run.record.plan["service"]["queues"][0]["max_length"] = 100.into()),
            change(|run| run.record.plan["service"]["queues"][0]["ttl"] = 5.into()),
        ];
        assert!(told(&others).contains("no run here had"), "{}", told(&others));
        let (_, sentence) = table(&[kept], &[broken]).unwrap();
        assert!(sentence.contains("BROKEN in 1"), "a failed run counts: {sentence}");
    }
}
