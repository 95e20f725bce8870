//! Random faults at random times on random plans, on real parts, until the time is over: after each run, what must hold
//! whatever was done to it is checked. `cargo xtask chaos` starts it.

mod api;
mod fault;
mod faults;
mod invariant;
mod plan;
mod report;
mod run;
mod stage;
mod timelines;
mod watch;
mod wire;

use fault::After;
use plan::Plan;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use report::Report;
use stage::Stages;
use std::{
    env,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use tests::support::workspace;

const USAGE: &str = "usage: cargo xtask chaos [--seed N] [--minutes M] [--runs R] [--only K]
       cargo xtask chaos --timelines N [--seed N] [--only K]
  --seed N     what is drawn [default: 1]
  --minutes M  no run begins later [default: 10]
  --runs R     at most so many
  --only K     run K of this seed and no other
  --timelines N  runs that cause N timelines of random faults themselves; those that were carried out before are not repeated";
/// However many minutes are given.
const RUNS_MAX: u64 = 10_000;

/// What was asked for.
struct Asked {
    seed: u64,
    time: Duration,
    runs: u64,
    only: Option<u64>,
    /// How many, in place of runs to which faults are done from outside.
    timelines: Option<u64>,
}

impl Asked {
    fn read(words: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self { seed: 1, time: Duration::from_secs(600), runs: RUNS_MAX, only: None, timelines: None };
        let words: Vec<String> = words.collect();
        for pair in words.chunks(2) {
            let [flag, value] = pair else { return None };
            let number: u64 = value.parse().ok()?;
            match flag.as_str() {
                "--seed" => asked.seed = number,
                "--minutes" => asked.time = Duration::from_secs(60 * number),
                "--runs" => asked.runs = number.min(RUNS_MAX),
                "--timelines" => asked.timelines = Some(number),
                "--only" => asked.only = Some(number),
                _ => return None,
            }
        }
        Some(asked)
    }

    fn numbers(&self) -> std::ops::RangeInclusive<u64> {
        self.only.map_or(1..=self.runs, |only| only..=only)
    }
}

fn main() -> ExitCode {
    let Some(asked) = Asked::read(env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::FAILURE;
    };
    if let Some(most) = asked.timelines {
        let dir = workspace().join(format!("target/chaos/timelines-{}", asked.seed));
        return match timelines::run(asked.seed, most, asked.only, &dir) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("what was done cannot be kept in {}: {error}", dir.display());
                ExitCode::FAILURE
            }
        };
    }
    let end = Instant::now() + asked.time;
    let dir = workspace().join(format!("target/chaos/seed-{}", asked.seed));
    let (mut stages, mut report) = (Stages::default(), Report::default());
    for number in asked.numbers() {
        if Instant::now() > end {
            break;
        }
        one(&asked, number, &mut stages, &mut report, &dir);
    }
    report.print();
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Run `number` of a seed: the same plan and the same faults, whatever ran before.
fn draw(seed: u64, number: u64) -> (Plan, Vec<fault::Timed>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let mut plan = Plan::draw(&mut rng);
    let faults = fault::draw(&mut rng, &mut plan);
    (plan, faults)
}

fn one(asked: &Asked, number: u64, stages: &mut Stages, report: &mut Report, dir: &Path) {
    let (plan, faults) = draw(asked.seed, number);
    let repeat_by = format!("cargo xtask chaos --seed {} --only {number}", asked.seed);
    println!("run {number}: {plan}\n  {repeat_by}");
    for timed in &faults {
        println!("  {}: {}", timed.when, timed.fault);
    }
    let finished = match stages.get(plan.service).and_then(|stage| {
        if stage.is_ready() {
            run::carry_out(&plan, &faults, stage)
        } else {
            Err("the service is not ready".to_owned())
        }
    }) {
        Ok(finished) => finished,
        Err(why) => {
            println!("  not set up: {why}");
            report.not_set_up(number, &why);
            stages.discard(plan.service);
            return;
        }
    };
    for done in &finished.done {
        println!("  at {:.1} s: {}", done.after.as_secs_f64(), done.what);
    }
    for missed in &finished.missed {
        println!("  missed: {missed}");
    }
    let wrong = invariant::broken(&finished);
    let elapsed = finished.ended.outcome.elapsed.as_secs_f64();
    println!("  {} after {elapsed:.1} s, limit {} s", report::ending(&finished), finished.limit.as_secs());
    for what in &wrong {
        println!("  VIOLATED: {what}");
    }
    report.take(number, &finished, &wrong, dir, &repeat_by);
    if finished.after == After::Ruined {
        stages.discard(plan.service);
    }
}

#[cfg(test)]
mod drawn {
    use super::*;
    use payload::Workload;
    use profile::{Layer, combine};
    use std::collections::BTreeSet;

    #[test]
    fn a_run_is_the_same_whatever_was_drawn_before_it() {
        let told = |seed, number| {
            let (plan, faults) = draw(seed, number);
            let faults: Vec<String> = faults.iter().map(|timed| format!("{} {}", timed.when, timed.fault)).collect();
            format!("{plan} {faults:?}")
        };
        let all: Vec<String> = (1..20).map(|number| told(7, number)).collect();
        assert_eq!(told(7, 11), all[10]);
        assert_ne!(told(8, 11), all[10]);
    }

    #[test]
    fn every_plan_that_is_drawn_can_be_carried_out() {
        for number in 1..120 {
            let (plan, _) = draw(1, number);
            let settings = plan.settings.iter().map(|(key, value)| format!("{key}={value}"));
            let layers: Result<Vec<_>, _> = settings.map(|setting| Layer::assignment(&setting)).collect();
            let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
            let profile = layers.and_then(|layers| combine(&layers, nothing));
            let resolved = profile.and_then(|profile| profile::Plan::resolve(&profile, plan.ranks, 7));
            let resolved = resolved.unwrap_or_else(|error| panic!("{plan}: {error}"));
            assert!(Workload::new(&resolved).is_ok(), "{plan}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn() {
        let drawn: BTreeSet<&str> =
            (1..2000).flat_map(|number| draw(1, number).1).map(|timed| timed.fault.kind()).collect();
        // Some draws choose between two kinds.
        assert!(drawn.len() >= faults::KINDS.len(), "{drawn:?}");
    }
}
