//! `streamharness predict`: what `run` or `sweep` would measure over a described testbed, by the model. Connects to nothing.

use crate::{
    cli::{arguments, flags},
    rank0::{lead, output::Output},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::input;
use measure::{
    Record,
    record::{self, Labels},
    tables::osu_table,
};
use model::{Assumed, Hypothesis, ModelError, Testbed};
use profile::{Experiment, Layer, Origin, Plan, Profile, combine};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// One prediction to make.
struct Task {
    point: Option<record::Point>,
    profile: Profile,
    plan: Plan,
}

/// Predicts one run, or every cell of an experiment. All are resolved before anything is written.
pub fn predict(arguments: &arguments::Predict) -> Result<Exit, Failure> {
    let around = &arguments.run.around;
    if around.strict || around.repeat.is_some() || around.until.is_some() || !around.assertions.is_empty() {
        let sentence = "a prediction is made once, and asserts nothing: leave --repeat, --until, --strict and --assert out, and \
                        use `streamharness assert DIR EXPR` on its record";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let hypotheses: Result<Vec<Hypothesis>, ModelError> =
        arguments.hypothesis.iter().map(|text| Hypothesis::read(text, |path| input::profile(path))).collect();
    let hypotheses = hypotheses.map_err(refused)?;
    let testbed = Testbed::named(&arguments.testbed, &hypotheses, arguments.scale, |path| input::profile(path));
    let testbed = testbed.map_err(refused)?;
    let tasks = match &arguments.experiment {
        None => vec![single(arguments, &hypotheses)?],
        Some(name) => cells(arguments, name, &hypotheses)?,
    };
    let mut predicted = Vec::new();
    for task in &tasks {
        let named = |failure: Failure| match &task.point {
            Some(point) => Failure::new(failure.exit, format!("{}: {}", point.name, failure.sentence)),
            None => failure,
        };
        predicted.push(one(task, arguments, &testbed, &hypotheses).map_err(named)?);
    }
    let mut exit = Exit::Pass;
    for (task, (record, histograms)) in tasks.iter().zip(predicted) {
        let mut output = match (&arguments.run.around.out, &arguments.experiment, &task.point) {
            (out, Some(name), Some(point)) => {
                let top = out.clone().unwrap_or_else(|| PathBuf::from("results").join(format!("{name}-predicted")));
                Output::into_dir(top).of_point(&point.name).of_run(1)
            }
            (Some(out), ..) => Output::into_dir(out.clone()),
            (None, ..) => Output::named_after(&task.plan),
        };
        output.prepare()?;
        let stream = Duration::from_secs_f64(record.completion.total_s.unwrap_or_default());
        // The epoch: a prediction was made at no time.
        output.write(&record, &histograms, Vec::new(), SystemTime::UNIX_EPOCH, stream)?;
        stdout::print(&text(task, &record, tasks.len() > 1))?;
        exit = if exit == Exit::Pass { Exit::from_code(record.status.exit_code) } else { exit };
    }
    Ok(exit)
}

/// The run of the command line.
fn single(arguments: &arguments::Predict, hypotheses: &[Hypothesis]) -> Result<Task, Failure> {
    let profile = flags::profile_under(&arguments.run, &layers(hypotheses)?)?;
    let plan = Plan::resolve(&profile, arguments.ranks, 0).map_err(flags::failure)?;
    Ok(Task { point: None, profile, plan })
}

/// Each cell of an experiment once: a repetition would be the same to the byte.
fn cells(arguments: &arguments::Predict, name: &str, hypotheses: &[Hypothesis]) -> Result<Vec<Task>, Failure> {
    let mut experiment = Experiment::read(name, |path| input::profile(path)).map_err(flags::failure)?;
    for only in &arguments.only {
        experiment.keep(only).map_err(flags::failure)?;
    }
    let (assumed, set) = (layers(hypotheses)?, flags::given(&arguments.run).map_err(flags::failure)?);
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for point in experiment.points(1) {
        if !seen.insert(point.name.clone()) {
            continue;
        }
        let mut layers = vec![point.base.clone()];
        layers.extend(assumed.iter().cloned());
        layers.extend(set.iter().cloned());
        layers.push(point.cell.clone());
        let resolved = combine(&layers, |path| input::profile(path))
            .and_then(|profile| Ok((Plan::resolve(&profile, arguments.ranks, 0)?, profile)));
        let (plan, profile) = resolved.map_err(|error| {
            let failure = flags::failure(error);
            Failure::new(failure.exit, format!("{}: {}", point.name, failure.sentence))
        })?;
        let point = record::Point { experiment: experiment.name.clone(), name: point.name };
        tasks.push(Task { point: Some(point), profile, plan });
    }
    Ok(tasks)
}

/// What the hypotheses set in a profile, below what the command line sets.
fn layers(hypotheses: &[Hypothesis]) -> Result<Vec<Layer>, Failure> {
    let layer =
        |one: &Hypothesis| Layer::new(Origin::File(one.name.clone()), one.profile.clone()).map_err(flags::failure);
    hypotheses.iter().map(layer).collect()
}

fn one(
    task: &Task,
    arguments: &arguments::Predict,
    testbed: &Testbed,
    hypotheses: &[Hypothesis],
) -> Result<(Record, measure::Histograms), Failure> {
    let Task { point, profile, plan } = task;
    let Some(route) = &profile.route.testbed else {
        let sentence = format!(
            "the model knows routes of testbeds only, and {} has none: use one of `streamharness profiles`",
            plan.architecture
        );
        return Err(Failure::new(Exit::Profile, sentence));
    };
    let outcome = model::simulate(plan, &arguments.testbed, testbed, route).map_err(refused)?;
    let facts = lead::facts(plan, plan.placement.world);
    let labels = Labels {
        architecture: profile.route.title.clone(),
        workload: profile.message.title.clone(),
        colour: profile.route.colour.map(|colour| colour.to_string()),
        marker: profile.route.marker.map(|marker| marker.to_string()),
    };
    let empty = Record {
        run_id: facts.run_id,
        started: facts.started,
        environment: facts.environment,
        point: point.clone(),
        labels,
        ..Record::default()
    };
    let assumed = Assumed {
        name: &arguments.testbed,
        testbed,
        scale: arguments.scale,
        route,
        hypotheses: hypotheses.iter().map(|one| one.name.clone()).collect(),
    };
    Ok((model::record(plan, &outcome, &assumed, empty), outcome.histograms))
}

/// The table of a run, or a line for each of several.
fn text(task: &Task, record: &Record, is_one_of_many: bool) -> String {
    let prediction = record.prediction.as_ref().expect("it was predicted");
    let bottleneck = &prediction.bottleneck;
    if let Some(point) = task.point.as_ref().filter(|_| is_one_of_many) {
        let rate = record
            .throughput
            .messages_per_second
            .map_or_else(|| "no rate".to_owned(), |rate| format!("{rate:.0} msg/s"));
        let rtt = record.latency.get("rtt_from_sent").and_then(|rtt| rtt.p50_ns);
        let rtt = rtt.map_or_else(String::new, |ns| format!(", rtt_from_sent p50 {:.2} ms", ns as f64 / 1e6));
        return format!("{:40} {rate}{rtt}; {bottleneck}\n", point.name);
    }
    let mut text = format!("# PREDICTION over {}: {bottleneck}\n", prediction.testbed);
    for one in prediction.utilisation.iter().take(8) {
        text += &format!("# {:>5.1} %  {}\n", one.share * 100.0, one.part);
    }
    text + &osu_table(record)
}

fn refused(error: ModelError) -> Failure {
    Failure::new(Exit::Profile, error)
}
