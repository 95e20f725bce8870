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
  --seed N     what is drawn [default: 1]
  --minutes M  no run begins later [default: 10]
  --runs R     at most so many
  --only K     run K of this seed and no other";
/// However many minutes are given.
const RUNS_MAX: u64 = 10_000;

/// What was asked for.
struct Asked {
    seed: u64,
    time: Duration,
    runs: u64,
    only: Option<u64>,
}

impl Asked {
    fn read(words: impl Iterator<Item = String>) -> Option<Self> {
        let mut asked = Self { seed: 1, time: Duration::from_secs(600), runs: RUNS_MAX, only: None };
        let words: Vec<String> = words.collect();
        for pair in words.chunks(2) {
            let [flag, value] = pair else { return None };
            let number: u64 = value.parse().ok()?;
            match flag.as_str() {
                "--seed" => asked.seed = number,
                "--minutes" => asked.time = Duration::from_secs(60 * number),
                "--runs" => asked.runs = number.min(RUNS_MAX),
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
