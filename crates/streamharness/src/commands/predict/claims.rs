//! `streamharness predict --claims`: the paper's claims under every hypothesis, and the assumptions that explain most of them.

use super::{Assumptions, Task, all, cells};
use crate::{
    cli::arguments,
    terminal::{
        exit::{Exit, Failure},
        stderr::say,
        stdout,
    },
};
use figures::{
    Claims, Distribution, FiguresError, Measured, Run, Verdict,
    assumed::{Search, Set, Trial, axis, search},
    shipped,
};
use measure::Histogram;
use model::{assumption_sets, hypotheses};
use std::path::PathBuf;

/// As many ranks as the published runs had workers at most.
const RANKS: usize = 128;
const TESTBED: &str = "olcf-ace";

/// Predicts, judges, searches and prints.
pub fn predict(arguments: &arguments::Predict) -> Result<Exit, Failure> {
    let known = hypotheses();
    let mut axes: Vec<&str> = known.iter().map(|value| axis(value)).collect();
    axes.dedup();
    if let Some(unknown) = arguments.axis.iter().find(|axis| !axes.contains(&axis.as_str())) {
        let sentence = format!("no hypothesis has the axis `{unknown}`: use one of {}", axes.join(", "));
        return Err(Failure::new(Exit::Profile, sentence));
    }
    let fixed: Vec<&str> = arguments.hypothesis.iter().map(|value| axis(value)).collect();
    let chosen = |value: &&String| {
        let axis = axis(value);
        !fixed.contains(&axis) && (arguments.axis.is_empty() || arguments.axis.iter().any(|one| one == axis))
    };
    let claims = Claims::read(shipped::CLAIMS).map_err(unusable)?;
    let worlds = Worlds { arguments, claims: &claims };
    let without = worlds.world(&Set::new())?;
    let (mut values, mut readings) = (Vec::new(), Vec::new());
    for value in known.iter().filter(chosen) {
        let with = worlds.world(&vec![value.clone()])?;
        // What is so anyway explains nothing. Values that change no run come last: one prediction is enough for all of them.
        if !with.is_run_as(&without) {
            values.push(value.clone());
        } else if with.claims != without.claims {
            readings.push(value.clone());
        }
    }
    values.extend(readings);
    // What a search once found may be a better place to begin than the best pair; what is not asked for is left out of it.
    let asked = |set: Vec<String>| set.into_iter().filter(|value| values.contains(value)).collect();
    let starts: Vec<Set> = assumption_sets().into_iter().map(|(_, set)| asked(set)).collect();
    let (mut tried, mut last): (usize, Option<(World, Measured)>) = (0, None);
    let found = search(&values, &starts, |set| {
        tried += 1;
        let what = if set.is_empty() { "no assumptions".to_owned() } else { set.join(", ") };
        let world = worlds.world(set)?;
        let measured = match last.take() {
            Some((known, measured)) if world.is_run_as(&known) => measured,
            _ => measured(&world)?,
        };
        let judged = world.claims.judge(&measured).map_err(unusable)?;
        last = Some((world, measured));
        say(format!("set {tried}: {} claims hold under {what}", Trial::of(set.clone(), &judged).held()));
        Ok(judged)
    })?;
    stdout::print(&text(&found, &claims))?;
    Ok(Exit::Pass)
}

/// What a set of assumptions makes of the testbed, of the runs, and of the claims.
struct World {
    assumed: Assumptions,
    tasks: Vec<Task>,
    claims: Claims,
}

impl World {
    /// Whether runs are the same as in another one, however they are judged.
    fn is_run_as(&self, other: &Self) -> bool {
        self.assumed.testbed == other.assumed.testbed
            && self.tasks.len() == other.tasks.len()
            && self.tasks.iter().zip(&other.tasks).all(|(one, other)| one.plan == other.plan)
    }
}

/// Worlds under the assumptions that the command line fixes.
struct Worlds<'a> {
    arguments: &'a arguments::Predict,
    claims: &'a Claims,
}

impl Worlds<'_> {
    fn world(&self, set: &Set) -> Result<World, Failure> {
        let assumed = assume(self.arguments, set)?;
        let mut claims = self.claims.clone();
        for (key, value) in assumed.hypotheses.iter().flat_map(|hypothesis| &hypothesis.claims) {
            claims = claims.read_as(key, value.as_str().unwrap_or_default()).map_err(unusable)?;
        }
        let architectures = claims.architectures();
        let mut tasks: Vec<Task> = Vec::new();
        for predicted in &claims.predicted {
            let mut run = self.arguments.run.clone();
            run.messages.get_or_insert_with(|| predicted.messages.to_string());
            tasks.extend(cells(&predicted.experiment, &[], &run, &assumed)?);
        }
        tasks.retain(|task| architectures.contains(&task.plan.architecture));
        Ok(World { assumed, tasks, claims })
    }
}

/// What the runs of a world measure, by prediction.
fn measured(World { assumed, tasks, .. }: &World) -> Result<Measured, Failure> {
    let (mut runs, mut distributions) = (Vec::new(), Vec::new());
    for (number, (record, histograms)) in all(tasks, assumed)?.into_iter().enumerate() {
        runs.push(Run { dir: PathBuf::from(number.to_string()), record });
        let recorded = histograms.recorded().into_iter();
        distributions.push(recorded.map(|(metric, histogram)| (metric, distribution(histogram))).collect());
    }
    let mut measured = Measured::of(runs);
    distributions.into_iter().enumerate().for_each(|(number, of_run)| measured.remember(number, of_run));
    Ok(measured)
}

fn assume(arguments: &arguments::Predict, set: &Set) -> Result<Assumptions, Failure> {
    let names: Vec<String> = arguments.hypothesis.iter().chain(set).cloned().collect();
    let testbed = arguments.testbed.as_deref().unwrap_or(TESTBED);
    Assumptions::read(testbed, arguments.scale, arguments.ranks.unwrap_or(RANKS), &names)
}

fn distribution(histogram: &Histogram) -> Distribution {
    let mut before = 0;
    let buckets = histogram.cdf().map(|(value_ns, below)| (value_ns, below - std::mem::replace(&mut before, below)));
    Distribution::of(&buckets.collect())
}

/// The matrix, and what follows from it.
fn text(found: &Search, claims: &Claims) -> String {
    let Search { base, alone, best, tried, never, apart } = found;
    let named = |set: &Set| if set.is_empty() { "no assumptions".to_owned() } else { set.join(", ") };
    let mut text = format!("Claims that hold, of {}, by prediction\n", base.verdicts.len());
    for trial in std::iter::once(base).chain(alone).chain([best]) {
        let changed = |holds: bool| -> Vec<&str> {
            let changed =
                base.verdicts.iter().filter(|(claim, _)| base.holds(claim) != holds && trial.holds(claim) == holds);
            changed.map(|(claim, _)| claim.as_str()).collect()
        };
        let flips = [("+", changed(true)), ("-", changed(false))]
            .into_iter()
            .filter(|(_, claims)| !claims.is_empty())
            .map(|(sign, claims)| format!("{sign} {}", claims.join(" ")))
            .collect::<Vec<_>>();
        text += &format!("{:>4}  {:40} {}\n", trial.held(), named(&trial.set), flips.join("  "));
    }
    text += &format!("\nMost claims hold under: {} ({} sets were tried)\n\n", named(&best.set), tried);
    let columns: Vec<&Trial> = std::iter::once(base).chain(alone).chain([best]).collect();
    text += "Claim by claim: + holds, - does not, . cannot be judged; columns in the order of the list above\n";
    for (id, _) in &base.verdicts {
        let marks: String = columns.iter().map(|trial| mark(trial.verdict(id))).collect();
        text += &format!("{id:<4} {marks}  {}\n", claims.text_of(id).unwrap_or_default());
    }
    if !never.is_empty() {
        text += &format!("\nUnder none of the sets: {}\n", never.join(" "));
    }
    if !apart.is_empty() {
        let pairs: Vec<String> = apart.iter().map(|(one, other)| format!("{one} and {other}")).collect();
        text += &format!("Each under some set, both under none: {}\n", pairs.join("; "));
    }
    text
}

fn mark(verdict: Option<Verdict>) -> char {
    match verdict {
        Some(Verdict::Reproduced) => '+',
        Some(Verdict::NotReproduced) => '-',
        Some(Verdict::NotTestable) | None => '.',
    }
}

fn unusable(error: FiguresError) -> Failure {
    Failure::new(Exit::Usage, error)
}
