//! A sweep as rank 0 sees it: which points are left, what became of the others, and how long the rest will take.

use crate::{
    cli::{arguments, flags},
    files::whole,
    host::environment,
    launch,
    rank0::{
        demands::Demands,
        lead::{self, Lead},
        output::Output,
    },
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::input;
use measure::{
    Assertion, Record,
    record::{Environment, Point, Repetition, differences},
};
use profile::{Experiment, Layer, Plan, Profile, RunLength, Search, combine};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    time::{Duration, Instant},
};

/// The version of `sweep.json`. New fields do not change it.
const SCHEMA: &str = "streamharness/sweep/1";
/// The link of the paper's data streaming nodes, for what a plan says of time.
const LINK_BITS_PER_SECOND: f64 = 1e9;
/// What a point takes besides streaming, measured over loopback.
const BESIDES: Duration = Duration::from_millis(700);

/// Settings that are named where a run has others: one that is no setting, such as the expiry of queues, is in every queue.
const DIFFERENCES_MAX: usize = 3;

/// What rank 0 tells of a point; every rank resolves it.
#[derive(Serialize, Deserialize)]
pub struct Written {
    /// The profile.
    pub profile: Profile,
    /// The run's number.
    pub run: u32,
}

/// A point and what it comes to.
struct Cell {
    point: Point,
    repetition: u32,
    profile: Profile,
    plan: Plan,
    /// Of a search: what it belongs to, and the value that it tries.
    tries: Option<(Searched, f64)>,
}

/// Which search of a sweep: the cell's name and the repetition.
type Searched = (String, u32);

impl Cell {
    /// Bytes of bodies that producers send, and that the service delivers, answers included; of a run that ends by time,
    /// none.
    fn bytes(&self) -> [f64; 2] {
        let RunLength::Messages(messages) = self.plan.length else { return [0.0, 0.0] };
        let sent = messages as f64 * self.plan.message.mean_body_bytes();
        let delivered = sent * f64::from(self.plan.flow.copies);
        let answers = if self.plan.flow.replies == 0 { 0.0 } else { delivered };
        [sent, delivered + answers]
    }

    /// The least that it takes over a link of a gigabit per second in each direction.
    fn least_time(&self) -> Duration {
        let streaming = match self.plan.length {
            RunLength::Messages(_) => {
                let [sent, delivered] = self.bytes();
                Duration::from_secs_f64(sent.max(delivered) * 8.0 / LINK_BITS_PER_SECOND)
            }
            RunLength::Window(window) => Duration::from_nanos(window.total_ns()),
        };
        streaming + BESIDES
    }

    /// Memory for bodies of all its workers.
    fn memory(&self) -> u64 {
        let (producer, consumer) = self.plan.body_memory();
        let placement = &self.plan.placement;
        producer * u64::from(placement.producers) + consumer * u64::from(placement.consumers)
    }

    fn title(&self) -> String {
        format!("{} {}", self.point.name, self.repetition)
    }
}

/// What became of a point.
struct Outcome {
    title: String,
    exit: Exit,
    reason: String,
}

/// A search of one cell.
struct Searching {
    cell: profile::Point,
    /// Each value with whether what was asked for held.
    tried: Vec<(f64, bool)>,
    /// Why there is no answer: a run did not tell whether it held, and none before it did.
    unknown: Option<String>,
}

/// The points of an experiment.
pub struct Sweep {
    name: String,
    about: String,
    out: PathBuf,
    /// For each rank the number of its host.
    hosts: Vec<u32>,
    /// What was set for all points.
    set: Vec<Layer>,
    search: Option<(Search, Assertion)>,
    searching: BTreeMap<Searched, Searching>,
    left: VecDeque<Cell>,
    all: usize,
    lead: Option<(Cell, Lead, Instant)>,
    done: Vec<Outcome>,
    /// Points that an earlier launch has done.
    found: usize,
    /// The first run of each cell.
    first: BTreeMap<String, String>,
    /// What points took, and the least that they could have taken: by it the rest is estimated.
    took: [Duration; 2],
    stopped: Option<&'static str>,
}

impl Sweep {
    /// Reads the experiment and resolves every point, so that what cannot be carried out is known before anything is.
    pub fn new(arguments: &arguments::Sweep, hosts: &[u32]) -> Result<Self, Failure> {
        let read = |path: &str| input::profile(path);
        let mut experiment = Experiment::read(&arguments.experiment, read).map_err(flags::failure)?;
        for only in &arguments.only {
            experiment.keep(only).map_err(flags::failure)?;
        }
        if let Some(repetitions) = arguments.repeat {
            experiment.repeat(repetitions);
        }
        let set = arguments.set.iter().map(|text| Layer::assignment(text)).collect::<Result<_, _>>();
        let search = experiment.search.clone().map(|search| {
            let keeps = Assertion::parse(&search.keeps)
                .map_err(|error| Failure::new(Exit::Profile, format!("{}: search.keeps: {error}", experiment.name)))?;
            Ok((search, keeps))
        });
        let mut sweep = Self {
            out: arguments.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&experiment.name)),
            name: experiment.name.clone(),
            about: experiment.about.clone(),
            hosts: hosts.to_vec(),
            set: set.map_err(flags::failure)?,
            search: search.transpose()?,
            searching: BTreeMap::new(),
            all: 0,
            left: VecDeque::new(),
            lead: None,
            done: Vec::new(),
            found: 0,
            first: BTreeMap::new(),
            took: [Duration::ZERO; 2],
            stopped: None,
        };
        for point in experiment.points(arguments.order) {
            if sweep.search.is_some() {
                let searched = (point.name.clone(), point.repetition);
                sweep.searching.insert(searched.clone(), Searching { cell: point, tried: Vec::new(), unknown: None });
                sweep.search_on(&searched)?;
            } else {
                let cell = sweep.cell(&point, None)?;
                sweep.left.push_back(cell);
            }
        }
        sweep.all = sweep.left.len();
        Ok(sweep)
    }

    /// A point, or one try of its search, resolved.
    fn cell(&self, point: &profile::Point, tries: Option<(Searched, f64)>) -> Result<Cell, Failure> {
        let mut name = point.name.clone();
        let mut layers = vec![point.base.clone()];
        layers.extend_from_slice(&self.set);
        layers.push(point.cell.clone());
        if let (Some((_, value)), Some((search, _))) = (&tries, &self.search) {
            let key = search.key.rsplit('.').next().unwrap_or(&search.key);
            name += &format!("_{key}-{value}");
            layers.push(search.layer(*value).map_err(flags::failure)?);
        }
        let read = |path: &str| input::profile(path);
        let resolved =
            combine(&layers, read).and_then(|profile| Ok((Plan::resolve_on(&profile, &self.hosts, 0)?, profile)));
        let (plan, profile) = resolved.map_err(|error| {
            let failure = flags::failure(error);
            Failure::new(failure.exit, format!("{name}: {}", failure.sentence))
        })?;
        let of = Point { experiment: self.name.clone(), name };
        Ok(Cell { point: of, repetition: point.repetition, profile, plan, tries })
    }

    /// Puts the next try of a search behind all others, if there is one, so that searches of all cells go on in turns.
    fn search_on(&mut self, searched: &Searched) -> Result<bool, Failure> {
        let (search, _) = self.search.as_ref().expect("it is one of a search");
        let searching = &self.searching[searched];
        if searching.unknown.is_some() {
            return Ok(false);
        }
        let Some(value) = search.next(&searching.tried) else { return Ok(false) };
        let cell = self.cell(&searching.cell, Some((searched.clone(), value)))?;
        self.left.push_back(cell);
        Ok(true)
    }

    /// Keeps what a try came to, and says it in a few words.
    fn tried(&mut self, (searched, value): &(Searched, f64), record: Option<&Record>) -> String {
        let (search, keeps) = self.search.as_ref().expect("it is one of a search");
        let one = self.searching.get_mut(searched).expect("it was begun");
        let sound = record.filter(|record| record.status.pass);
        let came_to = sound.map(|record| keeps.of(record));
        let measured = came_to.as_ref().map_or("", |outcome| &outcome.measured);
        // Above a value that held, a run that has too few samples has fallen behind.
        if sound.is_some_and(|record| !keeps.is_known(record)) && !one.tried.iter().any(|(_, held)| *held) {
            one.unknown = Some(format!("with {}, {measured}", search.word(*value)));
            return format!(" ({measured})");
        }
        let held = came_to.as_ref().is_some_and(|outcome| outcome.holds);
        one.tried.push((*value, held));
        if held { " (holds)".to_owned() } else { format!(" (does not hold: {measured})") }
    }

    /// What would be done: points, bytes, memory and time.
    pub fn plan(&self) -> String {
        let mut text = format!("# {}: {}\n# point, runs, bytes to send, bytes to deliver\n", self.name, self.about);
        let mut cells: BTreeMap<&str, (u32, &Cell)> = BTreeMap::new();
        for cell in &self.left {
            cells.entry(&cell.point.name).or_insert((0, cell)).0 += 1;
        }
        let mebibytes = |bytes: f64| bytes / f64::from(1 << 20);
        for (name, (runs, cell)) in &cells {
            let [sent, delivered] = cell.bytes().map(mebibytes);
            let bytes = if sent > 0.0 { format!("{sent:10.1} MiB {delivered:10.1} MiB") } else { "by time".to_owned() };
            text += &format!("{name:40} {runs:3} x {bytes}\n");
        }
        let [sent, delivered] = [0, 1].map(|which| self.left.iter().map(|cell| cell.bytes()[which]).sum::<f64>());
        let least: Duration = self.left.iter().map(Cell::least_time).sum();
        let memory = self.left.iter().map(Cell::memory).max().unwrap_or_default();
        if let Some((search, _)) = &self.search {
            let Search { key, from, to, keeps, .. } = search;
            text += &format!(
                "# and from these on a search for the highest {key}, up to {to}, with {keeps}; first {from}\n"
            );
        }
        text += &format!(
            "# {} points on {} ranks: {:.1} GiB to send, {:.1} GiB to deliver; at least {} over links of 1 Gbit/s\n\
             # bodies of the largest point take {:.1} MiB in all\n",
            self.all,
            self.hosts.len(),
            mebibytes(sent) / 1024.0,
            mebibytes(delivered) / 1024.0,
            rounded(least),
            mebibytes(memory as f64)
        );
        text
    }

    /// Routes of a testbed that points may need.
    pub fn routes(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.left.iter().filter_map(|cell| cell.profile.route.testbed.clone()).collect();
        // The direct ones are always there.
        names.into_iter().filter(|name| !matches!(name.as_str(), "dts" | "dts-plain")).collect()
    }

    /// Takes out what an earlier launch has done; without `resume` there must be nothing.
    pub fn find_done(&mut self, resume: bool) -> Result<(), Failure> {
        let mut left = VecDeque::new();
        while let Some(cell) = self.left.pop_front() {
            let Some(record) = self.output(&cell).record()? else {
                left.push_back(cell);
                continue;
            };
            if !resume {
                let sentence = format!(
                    "{} holds results already, of {} and maybe others: add --resume to go on, or give another --out",
                    self.out.display(),
                    record.started
                );
                return Err(Failure::new(Exit::Usage, sentence));
            }
            let run = record.plan["run"].as_u64().and_then(|run| run.try_into().ok()).unwrap_or_default();
            let mine = serde_json::to_value(cell.plan.with_run(run)).expect("a plan is plain data");
            if let Some(others) = set_otherwise(&mine, &record.plan) {
                let sentence = format!(
                    "{} holds a run of {} with other settings: {others}{}; resume it with the settings and as many ranks \
                     as before, or give another --out",
                    self.out.display(),
                    cell.title(),
                    of_another_build(&record.environment),
                );
                return Err(Failure::new(Exit::Usage, sentence));
            }
            self.first.entry(cell.point.name.clone()).or_insert_with(|| record.run_id.clone());
            if !record.status.pass {
                // It may have been the moment.
                left.push_back(cell);
                continue;
            }
            self.found += 1;
            if let Some(tries) = &cell.tries {
                self.tried(tries, Some(&record));
                if self.search_on(&tries.0)? {
                    self.all += 1;
                }
            }
        }
        self.left = left;
        Ok(())
    }

    /// Says what will be done.
    pub fn announce(&self, ranks: usize) {
        let found = if self.found > 0 { format!(", {} of them done before", self.found) } else { String::new() };
        let least = rounded(self.left.iter().map(Cell::least_time).sum());
        crate::terminal::stderr::say(format_args!(
            "{} ({}): {} points on {ranks} rank(s){found}; at least {least}; results in {}",
            self.name,
            self.about,
            self.all,
            self.out.display()
        ));
    }

    fn output(&self, cell: &Cell) -> Output {
        Output::into_dir(self.out.clone()).of_point(&cell.point.name).of_run(cell.repetition)
    }

    /// The next point, led from now on; none where there is none, or somebody wants the sweep to end.
    pub fn next(&mut self, requested: Option<&'static str>) -> Result<Option<Written>, Failure> {
        self.take_in()?;
        self.stopped = self.stopped.or(requested);
        if self.stopped.is_some() {
            return Ok(None);
        }
        let Some(mut cell) = self.left.pop_front() else { return Ok(None) };
        let run = launch::draw()?;
        cell.plan = cell.plan.with_run(run);
        let mut output = self.output(&cell);
        output.prepare()?;
        let mut facts = lead::facts(&cell.plan, self.hosts.len());
        let first_run_id = self.first.entry(cell.point.name.clone()).or_insert(facts.run_id.clone()).clone();
        facts.repetition = Some(Repetition { number: cell.repetition, first_run_id });
        facts.point = Some(cell.point.clone());
        let number = self.found + self.done.len() + 1;
        let lead =
            Lead::new(facts, output, Demands::default()).of_many(format!("[{number}/{}] {}", self.all, cell.title()));
        let written = Written { profile: cell.profile.clone(), run };
        self.lead = Some((cell, lead, Instant::now()));
        Ok(Some(written))
    }

    /// Who leads the point that goes on.
    pub fn lead(&mut self) -> &mut Lead {
        &mut self.lead.as_mut().expect("a point goes on").1
    }

    /// The point could not be carried out.
    pub fn refused(&mut self, failure: Failure) {
        self.lead().refused(failure);
    }

    /// Keeps what the point that went on came to, and says it in one line.
    fn take_in(&mut self) -> Result<(), Failure> {
        let Some((cell, mut lead, since)) = self.lead.take() else { return Ok(()) };
        self.took[0] += since.elapsed();
        self.took[1] += cell.least_time();
        if lead.was_stopped() {
            self.stopped = self.stopped.or(Some("a signal"));
        }
        let exit = lead.exit();
        let mut kept = String::new();
        if let Some(tries) = &cell.tries {
            kept = self.tried(tries, lead.record());
            if self.search_on(&tries.0)? {
                self.all += 1;
            }
        }
        let mut outcome = Outcome { title: cell.title(), exit: Exit::Partial, reason: String::new() };
        match &exit {
            Ok(exit) => outcome.exit = *exit,
            Err(failure) => (outcome.exit, outcome.reason) = (failure.exit, failure.sentence.clone()),
        }
        let failed = self.done.iter().filter(|done| done.exit != Exit::Pass).count();
        let failed = failed + usize::from(outcome.exit != Exit::Pass);
        let left = self.time_left();
        let after = format!("; {failed} failed, {} left, about {}", self.left.len(), rounded(left));
        let record = lead.record();
        if outcome.reason.is_empty()
            && let Some(record) = record
        {
            outcome.reason.clone_from(&record.status.reason);
        }
        let said = match record {
            Some(record) if outcome.exit == Exit::Pass => in_short(record) + &kept,
            _ => format!("FAILED: {}", outcome.reason),
        };
        lead.say(&(said + &after));
        self.done.push(outcome);
        Ok(())
    }

    /// What the searches found: for each the highest value that held, if there is one, or why that is not known.
    fn answers(&self) -> impl Iterator<Item = (&Searched, Result<Option<String>, &str>)> {
        let search = self.search.as_ref().map(|(search, _)| search);
        self.searching.iter().filter_map(move |(of, one)| {
            let search = search?;
            let found = || search.found(&one.tried).map(|value| search.word(value));
            Some((of, one.unknown.as_deref().map_or_else(|| Ok(found()), Err)))
        })
    }

    /// As those before took, by the least that they could have taken.
    fn time_left(&self) -> Duration {
        let least: Duration = self.left.iter().map(Cell::least_time).sum();
        let [took, could] = self.took.map(|time| time.as_secs_f64());
        if could > 0.0 { least.mul_f64(took / could) } else { least }
    }

    /// There will be no other point: writes `sweep.json`, says what failed.
    pub fn end(&mut self) -> Result<Exit, Failure> {
        self.take_in()?;
        let failed: Vec<&Outcome> = self.done.iter().filter(|done| done.exit != Exit::Pass).collect();
        let passed = self.found + self.done.len() - failed.len();
        let undone = self.all - self.found - self.done.len();
        let summary = json!({
            "schema": SCHEMA,
            "experiment": self.name,
            "about": self.about,
            "points": self.all,
            "passed": passed,
            "failed": failed.iter().map(|one| json!({"point": one.title, "reason": one.reason})).collect::<Vec<_>>(),
            "left": undone,
            "searched": self.answers().map(|((cell, repetition), answer)| match answer {
                Ok(highest) => json!({"cell": cell, "repetition": repetition, "highest": highest}),
                Err(why) => json!({"cell": cell, "repetition": repetition, "highest": null, "unknown": why}),
            }).collect::<Vec<_>>(),
            "ended": jiff::Timestamp::now().to_string(),
        });
        let text = serde_json::to_string_pretty(&summary).expect("plain data") + "\n";
        let path = self.out.join("sweep.json");
        std::fs::create_dir_all(&self.out)
            .and_then(|()| whole::write(&path, text.as_bytes()))
            .map_err(|error| Failure::new(Exit::Partial, format!("cannot write {}: {error}", path.display())))?;
        let mut printed = Ok(());
        if let Some((Search { key, keeps, .. }, _)) = &self.search {
            let mut text = format!("# the highest {key} with {keeps}\n");
            for ((cell, repetition), answer) in self.answers() {
                let answer = match answer {
                    Ok(highest) => highest.unwrap_or_else(|| "none".to_owned()),
                    Err(why) => format!("unknown: {why}"),
                };
                text += &format!("{cell:32} {repetition:3}  {answer}\n");
            }
            printed = stdout::print(&text);
        }
        let all_known = self.answers().all(|(_, answer)| answer.is_ok());
        if !all_known {
            let remedy = "a longer base.duration or a higher search.from gives a point more samples";
            crate::terminal::stderr::say(format_args!("not every search has an answer: {remedy}"));
        }
        for one in &failed {
            crate::terminal::stderr::say(format_args!("failed: {}: {}", one.title, one.reason));
        }
        let stopped = self
            .stopped
            .map(|by| format!(", stopped by {by} with {undone} left: --resume goes on"))
            .unwrap_or_default();
        crate::terminal::stderr::say(format_args!(
            "{passed} of {} points passed{stopped}; results in {}",
            self.all,
            self.out.display()
        ));
        printed?;
        let alike = failed.windows(2).all(|pair| pair[0].exit == pair[1].exit);
        Ok(match failed.first() {
            None if undone == 0 && all_known => Exit::Pass,
            Some(first) if alike && passed == 0 && undone == 0 => first.exit,
            _ => Exit::Partial,
        })
    }
}

/// Fields in which the plan of a run differs from the one that is wanted, with both values; none where they are alike.
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

/// What no setting changes may be what another build does: which one that was, if it was another.
fn of_another_build(found: &Environment) -> String {
    let mine = environment::describe(0);
    let named = |one: &Environment| {
        let commit = one.git_commit.as_deref().map_or_else(String::new, |commit| format!(" ({commit})"));
        format!("streamharness {}{commit}", one.harness_version)
    };
    let (there, here) = (named(found), named(&mine));
    if there == here { String::new() } else { format!("; {there} made it, and this is {here}") }
}

/// A run in a line.
fn in_short(record: &Record) -> String {
    let rate = record.throughput.messages_per_second.map_or_else(String::new, |rate| format!("{rate:.0} msg/s"));
    let latency = ["rtt_from_sent", "one_way", "confirm"]
        .into_iter()
        .find_map(|metric| Some((metric, record.latency.get(metric)?.p50_ns?)))
        .map_or_else(String::new, |(metric, ns)| format!(", {metric} p50 {:.2} ms", ns as f64 / 1e6));
    rate + &latency
}

/// A time for people: `40 s`, `12 min`, `3.5 h`.
fn rounded(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        ..90.0 => format!("{seconds:.0} s"),
        ..5400.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_run_of_another_build_is_said_to_be_one() {
        let mine = environment::describe(1);
        assert_eq!(of_another_build(&mine), "");
        let other = Environment { git_commit: Some("abc".to_owned()), ..mine };
        assert!(of_another_build(&other).contains("(abc) made it, and this is streamharness"), "{other:?}");
    }
}
