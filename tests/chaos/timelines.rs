//! Timelines of random faults that runs cause themselves and live through, one after another on one testbed.

mod draw;
mod judge;
mod progress;

use crate::{
    fault::After,
    invariant,
    plan::{Plan, Way},
    report,
    run::{self, Done, Finished},
    stage::{Stage, Stages},
};
use draw::{Timeline, draw};
use progress::Progress;
use serde_json::json;
use std::{
    io,
    path::Path,
    time::{Duration, Instant},
};
use tests::support::within;

/// What a part that was started again may take until `testbed status` has it well.
const WELL_LIMIT: Duration = Duration::from_secs(30);

/// Carries out timelines 1 to `most` of a seed that were not before, or `only` one; whether nothing is wrong with any.
pub fn run(seed: u64, most: u64, only: Option<u64>, dir: &Path) -> io::Result<bool> {
    let mut progress = Progress::open(dir)?;
    let mut stages = Stages::default();
    let numbers = only.map_or(1..=most, |only| only..=only);
    for number in numbers {
        if only.is_none() && progress.has(number) {
            continue;
        }
        let began = Instant::now();
        let timeline = draw(seed, number);
        let repeat_by = format!("cargo xtask chaos --timelines {most} --seed {seed} --only {number}");
        println!("timeline {number}: {}\n  {repeat_by}", timeline.plan);
        let (finished, wrong) = match one(&timeline, &mut stages) {
            Ok(done) => done,
            Err(why) => {
                println!("  not set up: {why}");
                stages.discard(timeline.plan.service);
                continue;
            }
        };
        let ending = report::ending(&finished);
        let seconds = began.elapsed().as_secs_f64();
        println!("  {ending} after {seconds:.1} s, limit {} s", finished.limit.as_secs());
        for what in &wrong {
            println!("  VIOLATED: {what}");
        }
        if !wrong.is_empty() {
            let folder = dir.join(format!("timeline-{number}"));
            match report::keep(&folder, &finished, &wrong, &repeat_by) {
                Ok(()) => println!("  kept in {}", folder.display()),
                Err(error) => println!("  not kept: {error}"),
            }
        }
        if finished.after == After::Ruined {
            stages.discard(timeline.plan.service);
        }
        progress.add(number, entry(&timeline, &ending, seconds, &wrong))?;
    }
    progress.print(most.max(only.unwrap_or_default()));
    Ok(progress.violations(most).is_empty())
}

fn entry(timeline: &Timeline, ending: &str, seconds: f64, wrong: &[String]) -> serde_json::Value {
    let Plan { way, queue_type, pattern, .. } = &timeline.plan;
    let route = if let Way::Testbed(route) = way { route } else { "?" };
    let verbs: Vec<&str> = timeline.faults.iter().map(|fault| fault.verb).collect();
    json!({
        "route": route, "queue": queue_type, "confirms": timeline.confirms, "pattern": pattern, "faults": verbs,
        "ending": ending, "seconds": seconds, "wrong": wrong,
    })
}

/// Carries out one: all that is known of it, and what does not hold.
fn one(timeline: &Timeline, stages: &mut Stages) -> Result<(Finished, Vec<String>), String> {
    let stage = stages.get(timeline.plan.service)?;
    if !stage.is_ready() {
        return Err("the service is not ready".to_owned());
    }
    let users = stage.api.users()?;
    let mut finished = run::carry_out(&timeline.plan, &[], stage)?;
    for fault in &timeline.plan.faults {
        finished.done.push(Done {
            kind: "timeline",
            what: fault.clone(),
            after: Duration::ZERO,
            permits: timeline.permits(),
            certain: true,
            flowed: Some(Duration::ZERO),
        });
    }
    let mut wrong = invariant::broken(&finished);
    wrong.extend(judge::broken(timeline, &finished));
    let left = left_behind(stage, &users);
    if !left.is_empty() {
        // The next one gets parts that are whole.
        finished.after = After::Ruined;
    }
    wrong.extend(left);
    Ok((finished, wrong))
}

/// Parts that do not work again, and users that a managed cluster has left.
fn left_behind(stage: &Stage, users: &[String]) -> Vec<String> {
    let unwell = || stage.broker.unwell();
    let mut wrong: Vec<String> = match within(WELL_LIMIT, || unwell().is_empty().then_some(())) {
        Some(()) => Vec::new(),
        None => unwell().into_iter().map(|part| format!("a part is not as before: {part}")).collect(),
    };
    match stage.api.users() {
        Ok(now) => {
            wrong.extend(now.iter().filter(|user| !users.contains(user)).map(|user| format!("user {user} is left")))
        }
        Err(error) => wrong.push(format!("the broker does not list its users: {error}")),
    }
    wrong
}
