//! A run that an earlier launch of a sweep left: whether the sweep may go on from it.

use crate::{
    host::environment,
    rank0::sweep::cell::Cell,
    terminal::exit::{Exit, Failure},
};
use measure::{
    Record,
    record::{Environment, differences},
};
use serde_json::Value;
use std::path::Path;

/// Settings that are named where a run has others: one that is no setting, such as the expiry of queues, is in every queue.
const DIFFERENCES_MAX: usize = 3;

/// Rejects earlier results without `resume`, and runs with other settings.
pub fn check(record: &Record, cell: &Cell, out: &Path, resume: bool) -> Result<(), Failure> {
    let out = out.display();
    if !resume {
        let sentence = format!(
            "{out} holds results already, of {} and maybe others: add --resume to go on, or give another --out",
            record.started
        );
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let run = record.plan["run"].as_u64().and_then(|run| run.try_into().ok()).unwrap_or_default();
    let mine = serde_json::to_value(cell.plan.with_run(run)).expect("a plan is plain data");
    let Some(others) = set_otherwise(&mine, &record.plan) else { return Ok(()) };
    let sentence = format!(
        "{out} holds a run of {} with other settings: {others}{}; resume it with the settings and as many ranks as before, \
         or give another --out",
        cell.title(),
        of_another_build(&record.environment),
    );
    Err(Failure::new(Exit::Usage, sentence))
}

/// The fields in which the plan of a run differs from the wanted plan, with both values; `None` if they are alike.
fn set_otherwise(wanted: &Value, found: &Value) -> Option<String> {
    let shown = |value: &Value| if value.is_null() { "absent".to_owned() } else { value.to_string() };
    let mut all = Vec::new();
    differences(wanted, found, "", &mut |path, wanted, found| {
        all.push(format!("`{path}` is {} there and {} here", shown(found), shown(wanted)));
    });
    let more = all.len().saturating_sub(DIFFERENCES_MAX);
    all.truncate(DIFFERENCES_MAX);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    (!all.is_empty()).then(|| all.join(", ") + &more)
}

/// Names the other build that made a run, if another build made it: a difference may come from it and not from a setting.
fn of_another_build(found: &Environment) -> String {
    let mine = environment::describe(0);
    let named = |one: &Environment| {
        let commit = one.git_commit.as_deref().map_or_else(String::new, |commit| format!(" ({commit})"));
        format!("streamharness {}{commit}", one.harness_version)
    };
    let (there, here) = (named(found), named(&mine));
    if there == here { String::new() } else { format!("; {there} made it, and this is {here}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_differs_from_an_earlier_run_is_named_with_both_values() {
        let plan = |expires: u64, prefetch: Value| {
            let queue = json!({"expires": {"secs": expires, "nanos": 0}});
            json!({"service": {"queues": [queue, queue, queue], "prefetch": prefetch}})
        };
        assert_eq!(set_otherwise(&plan(300, json!(4)), &plan(300, json!(4))), None);
        assert_eq!(
            set_otherwise(&plan(300, json!(4)), &plan(600, Value::Null)).unwrap(),
            "`service.prefetch` is absent there and 4 here, `service.queues.0.expires.secs` is 600 there and 300 here, \
             `service.queues.1.expires.secs` is 600 there and 300 here, and 1 more"
        );
    }

    #[test]
    fn a_run_of_another_build_is_reported_as_one() {
        let mine = environment::describe(1);
        assert_eq!(of_another_build(&mine), "");
        let other = Environment { git_commit: Some("abc".to_owned()), ..mine };
        assert!(of_another_build(&other).contains("(abc) made it, and this is streamharness"), "{other:?}");
    }
}
