//! `streamharness predict`: what `run` or `sweep` would measure over a described testbed, by the model. Connects to nothing.

mod calibrate;
mod claims;

use crate::{
    cli::{arguments, flags},
    files::replayed,
    rank0::{lead, output::Output},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::input;
use measure::{
    Histograms, Record,
    record::{self, Labels},
    tables::osu_table,
};
use model::{Assumed, Hypothesis, ModelError, Testbed};
use profile::{Experiment, Layer, Origin, Plan, Profile};
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, SystemTime},
};

/// Ranks of a prediction that names none.
const RANKS: usize = 4;

/// The hypotheses of the command line, at the scale of the links.
fn assumed(names: &[String], scale: f64) -> Result<Vec<Hypothesis>, Failure> {
    let mut all = Vec::new();
    for name in names {
        for hypothesis in Hypothesis::read_all(name, |path| input::profile(path)).map_err(refused)? {
            all.push(hypothesis.at_scale(scale).map_err(refused)?);
        }
    }
    Ok(all)
}

/// One prediction to make.
struct Task {
    point: Option<record::Point>,
    profile: Profile,
    plan: Plan,
}

/// What predictions rest on.
struct Assumptions {
    name: String,
    testbed: Testbed,
    scale: f64,
    ranks: usize,
    hypotheses: Vec<Hypothesis>,
}

impl Assumptions {
    /// The testbed of that name with the hypotheses laid over it.
    fn read(name: &str, scale: f64, ranks: usize, hypotheses: &[String]) -> Result<Self, Failure> {
        let hypotheses = assumed(hypotheses, scale)?;
        let testbed = Testbed::named(name, &hypotheses, scale, |path| input::profile(path)).map_err(refused)?;
        Ok(Self { name: name.to_owned(), testbed, scale, ranks, hypotheses })
    }
}

/// Predicts one run, or every cell of an experiment. All are resolved before anything is written.
pub fn predict(arguments: &arguments::Predict) -> Result<Exit, Failure> {
    flags::without_role(arguments.run.role)?;
    let around = &arguments.run.around;
    if around.strict || around.repeat.is_some() || around.until.is_some() || !around.assertions.is_empty() {
        let sentence = "a prediction is made once, and asserts nothing: leave --repeat, --until, --strict and --assert out, and \
                        use `streamharness assert DIR EXPR` on its record";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    if arguments.claims {
        return claims::predict(arguments);
    }
    if let Some(of) = arguments.flags {
        return flags_of(&assumed(&arguments.hypothesis, arguments.scale)?, of);
    }
    if let Some(output) = &arguments.output {
        return calibrate::calibrate(arguments, output);
    }
    let testbed = arguments.testbed.as_deref().unwrap_or("facility-emulated");
    let assumed = Assumptions::read(testbed, arguments.scale, arguments.ranks.unwrap_or(RANKS), &arguments.hypothesis)?;
    let tasks = match &arguments.experiment {
        None => vec![single(&arguments.run, &assumed)?],
        Some(name) => cells(name, &arguments.only, &arguments.run, &assumed)?,
    };
    let predicted = all(&tasks, &assumed)?;
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

/// Prints the flags that make hypotheses real, one word in each line.
fn flags_of(hypotheses: &[Hypothesis], of: arguments::FlagsOf) -> Result<Exit, Failure> {
    let mut words = Vec::new();
    for hypothesis in hypotheses {
        let name = &hypothesis.name;
        let (flags, instead) = match of {
            arguments::FlagsOf::Run => {
                let instead =
                    format!("{name} has other settings for each experiment: give each its --messages, or predict it");
                (hypothesis.flags_run(), instead)
            }
            arguments::FlagsOf::Up => {
                (hypothesis.flags_up(), format!("no testbed can be built with {name}: leave it out, or predict it"))
            }
        };
        words.extend(flags.ok_or_else(|| Failure::new(Exit::Profile, instead))?);
    }
    stdout::print(&words.iter().map(|word| format!("{word}\n")).collect::<String>())?;
    Ok(Exit::Pass)
}

/// The run of the command line.
fn single(run: &arguments::Run, assumed: &Assumptions) -> Result<Task, Failure> {
    let profile = flags::profile_under(run, &layers(&assumed.hypotheses)?)?;
    let plan = Plan::resolve(&profile, assumed.ranks, 0).map_err(flags::failure)?;
    Ok(Task { point: None, profile, plan })
}

/// Each cell of an experiment once: a repetition would be the same to the byte.
fn cells(name: &str, only: &[String], run: &arguments::Run, assumed: &Assumptions) -> Result<Vec<Task>, Failure> {
    let mut experiment = Experiment::read(name, |path| input::profile(path)).map_err(flags::failure)?;
    for only in only {
        experiment.keep(only).map_err(flags::failure)?;
    }
    let (under, set) = (layers(&assumed.hypotheses)?, flags::given(run).map_err(flags::failure)?);
    let mut seen = BTreeSet::new();
    let mut tasks = Vec::new();
    for point in experiment.points(1) {
        if !seen.insert(point.name.clone()) {
            continue;
        }
        let mut layers = vec![point.base.clone()];
        layers.extend(under.iter().cloned());
        layers.extend(set.iter().cloned());
        layers.push(point.cell.clone());
        let resolved =
            replayed::combined(&layers).and_then(|profile| Ok((Plan::resolve(&profile, assumed.ranks, 0)?, profile)));
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

/// Predicts all tasks, on as many threads as there are cores. The results are in the order of the tasks.
fn all(tasks: &[Task], assumed: &Assumptions) -> Result<Vec<(Record, Histograms)>, Failure> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((index, task)) = {
            let index = next.fetch_add(1, Ordering::Relaxed);
            tasks.get(index).map(|task| (index, task))
        } {
            let named = |failure: Failure| match &task.point {
                Some(point) => Failure::new(failure.exit, format!("{}: {}", point.name, failure.sentence)),
                None => failure,
            };
            done.push((index, one(task, assumed).map_err(named)));
        }
        done
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(tasks.len().max(1));
    let mut done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a prediction does not panic")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, predicted)| predicted).collect()
}

fn one(task: &Task, assumed: &Assumptions) -> Result<(Record, Histograms), Failure> {
    let Task { point, profile, plan } = task;
    if plan.external.is_some() {
        let sentence =
            "how programs of others work at one end is not described: predict a run with producers and consumers";
        return Err(Failure::new(Exit::Profile, sentence));
    }
    if let Some(fault) = plan.faults.first() {
        let sentence = format!("fault `{fault}`: the model has no faults: leave it out, or measure it");
        return Err(Failure::new(Exit::Profile, sentence));
    }
    let Some(route) = &profile.route.testbed else {
        let sentence = format!(
            "the model knows routes of testbeds only, and {} has none: use one of `streamharness profiles`",
            plan.architecture
        );
        return Err(Failure::new(Exit::Profile, sentence));
    };
    let outcome = model::simulate(plan, &assumed.name, &assumed.testbed, route).map_err(refused)?;
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
    let rests_on = Assumed {
        name: &assumed.name,
        testbed: &assumed.testbed,
        scale: assumed.scale,
        route,
        hypotheses: assumed.hypotheses.iter().map(|one| one.name.clone()).collect(),
    };
    Ok((model::record(plan, &outcome, &rests_on, empty), outcome.histograms))
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
