//! A sweep: the points that are left, the results of the others, and the time for the rest.

mod again;
mod cell;
mod earlier;
mod plan;
mod search;
mod summary;

use crate::{
    cli::{arguments, flags},
    launch::{
        Ranks,
        agenda::{self, Agenda, Assignment},
        signals::Signals,
        world::RESOLVE_LIMIT,
    },
    rank0::{
        demands::Demands,
        faults,
        lead::{self, Lead},
        output::Output,
        shown,
        sweep::{
            again::{Again, PAUSE_MAX},
            cell::{Cell, Common, Searched, Unresolved},
            plan::rounded,
            search::Searches,
            summary::{Outcome, Summary},
        },
    },
    route::{
        CLOSE_LIMIT,
        source::{Source, running_testbed},
    },
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use figures::input;
use measure::{Record, record::Repetition};
use profile::{Experiment, Layer};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    path::PathBuf,
    time::{Duration, Instant},
};

/// How often a sweep that waits looks for a signal.
const NAP: Duration = Duration::from_millis(50);

/// The points of an experiment.
pub struct Sweep {
    common: Common,
    out: PathBuf,
    searches: Option<Searches>,
    demands: Demands,
    left: VecDeque<Cell>,
    all: usize,
    lead: Option<(Cell, Lead, Instant)>,
    done: Vec<Outcome>,
    /// Points that an earlier launch has done.
    found: usize,
    /// Points whose route or queues do not have their fault, by the reason.
    without_fault: BTreeMap<String, usize>,
    /// Whether the user owns the service that faults are caused on.
    owns_the_service: bool,
    live: Option<live::Live>,
    /// The first run of each cell.
    first: BTreeMap<String, String>,
    /// The time that points took, and their shortest possible time: the ratio gives the estimate for the rest.
    took: [Duration; 2],
    again: Again,
    /// When the next point may begin, if it is one that is tried again.
    due: Option<Instant>,
    stopped: Option<&'static str>,
}

impl Sweep {
    /// Reads the experiment and resolves every point, so that an impossible point is reported before the first run.
    pub fn new(arguments: &arguments::Sweep, ranks: &Ranks) -> Result<Self, Failure> {
        let read = |path: &str| input::profile(path);
        let mut experiment = Experiment::read(&arguments.experiment, read).map_err(flags::failure)?;
        for only in &arguments.only {
            experiment.keep(only).map_err(flags::failure)?;
        }
        if let Some(repetitions) = arguments.repeat {
            experiment.repeat(repetitions);
        }
        let set = arguments.set.iter().map(|text| Layer::assignment(text));
        let set: Result<_, _> = set.collect();
        let mut sweep = Self {
            out: arguments.out.clone().unwrap_or_else(|| PathBuf::from("results").join(&experiment.name)),
            common: Common {
                experiment: experiment.name.clone(),
                about: experiment.about.clone(),
                hosts: ranks.hosts.clone(),
                roles: ranks.roles.clone(),
                set: set.map_err(flags::failure)?,
            },
            searches: Searches::of(&experiment)?,
            demands: Demands::of_experiment(&experiment)?,
            all: 0,
            left: VecDeque::new(),
            lead: None,
            done: Vec::new(),
            found: 0,
            without_fault: BTreeMap::new(),
            owns_the_service: arguments.i_own_this_service,
            live: shown::start(&arguments.shown)?,
            first: BTreeMap::new(),
            took: [Duration::ZERO; 2],
            again: Again::default(),
            due: None,
            stopped: None,
        };
        for point in experiment.points(arguments.order) {
            match &mut sweep.searches {
                Some(searches) => {
                    let searched = searches.begin(point);
                    sweep.search_on(&searched)?;
                }
                None => match sweep.common.resolve(&point, None) {
                    Ok(cell) => sweep.add(cell),
                    Err(Unresolved::FaultElsewhere(why)) => *sweep.without_fault.entry(why).or_default() += 1,
                    Err(Unresolved::Failed(failure)) => return Err(failure),
                },
            }
        }
        match sweep.without_fault.keys().next() {
            Some(why) if sweep.all == 0 => Err(Failure::new(Exit::Profile, why)),
            _ => Ok(sweep),
        }
    }

    fn add(&mut self, cell: Cell) {
        self.left.push_back(cell);
        self.all += 1;
    }

    /// Queues the next try of a search, if there is one, behind all others, so that the searches of all cells take turns.
    fn search_on(&mut self, searched: &Searched) -> Result<(), Failure> {
        let searches = self.searches.as_ref().expect("it is one of a search");
        if let Some((point, value)) = searches.next(searched) {
            let tried = self.common.resolve(point, Some((&searches.search, value)));
            self.add(tried.map_err(Unresolved::failure)?);
        }
        Ok(())
    }

    /// Takes the result of a try into its search, if the cell is one; returns the result in a few words.
    fn tried(&mut self, cell: &Cell, record: Option<&Record>) -> Result<String, Failure> {
        let (Some(tries), Some(searches)) = (&cell.tries, &mut self.searches) else { return Ok(String::new()) };
        let result = searches.tried(tries, record);
        self.search_on(&tries.0)?;
        Ok(result)
    }

    /// The plan of the sweep: points, bytes, memory and time.
    pub fn plan(&self) -> String {
        let cells: Vec<&Cell> = self.left.iter().collect();
        let mut text = plan::text(&self.common, &cells, self.searches.as_ref().map(|searches| &searches.search));
        self.without_fault().for_each(|line| text += &format!("# {line}\n"));
        text
    }

    /// What is left out because the route or the queues do not have the fault, a line for each reason.
    fn without_fault(&self) -> impl Iterator<Item = String> {
        let are = |points: &usize| if *points == 1 { "1 point is".to_owned() } else { format!("{points} points are") };
        self.without_fault.iter().map(move |(why, points)| format!("{} left out: {why}", are(points)))
    }

    /// Takes out points of an earlier launch; without `resume` there must be none.
    pub fn find_done(&mut self, resume: bool) -> Result<(), Failure> {
        let mut left = VecDeque::new();
        while let Some(cell) = self.left.pop_front() {
            let Some(record) = self.output(&cell).record()? else {
                left.push_back(cell);
                continue;
            };
            earlier::check(&record, &cell, &self.out, resume)?;
            self.first.entry(cell.point.name.clone()).or_insert_with(|| record.run_id.clone());
            if !record.status.pass {
                // A failed point is tried again: the cause may have been temporary.
                left.push_back(cell);
                continue;
            }
            self.found += 1;
            self.tried(&cell, Some(&record))?;
        }
        self.left = left;
        Ok(())
    }

    /// Takes out points of routes that this machine cannot have, and says which. A route that could be built, and is missing
    /// in a running testbed, fails instead.
    pub fn leave_out(&mut self) -> Result<(), Failure> {
        let running = running_testbed()?;
        let spread = self.common.hosts.iter().any(|host| *host != self.common.hosts[0]);
        let reason = |name: &str| match &running {
            Some(testbed) => {
                testbed.left_out().iter().find(|(route, _)| route == name).map(|(_, reason)| reason.clone())
            }
            None => testbed::check_route(name, spread).err().map(|error| error.to_string()),
        };
        let mut reasons = BTreeMap::new();
        for cell in &self.left {
            if let Source::Testbed(name) = Source::of(&cell.profile)? {
                reasons.entry(name.to_owned()).or_insert_with(|| reason(name));
            }
        }
        for (name, reason) in reasons.into_iter().filter_map(|(name, reason)| Some((name, reason?))) {
            let before = self.left.len();
            self.left.retain(|cell| cell.profile.route.testbed.as_deref() != Some(name.as_str()));
            let points = before - self.left.len();
            self.all -= points;
            if self.all == 0 {
                return Err(Failure::new(Exit::Route, reason));
            }
            stderr::say(format_args!("{points} points over {name} are left out: {reason}"));
        }
        Ok(())
    }

    /// Refuses faults of points that the service does not have, before the first run.
    pub fn check_faults(&self) -> Result<(), Failure> {
        let Self { common: Common { hosts, .. }, owns_the_service, .. } = self;
        self.left.iter().try_for_each(|cell| faults::check(&cell.profile, &cell.plan, None, hosts, *owns_the_service))
    }

    /// Reports what will be done.
    pub fn announce(&self) {
        self.without_fault().for_each(|line| stderr::say(format_args!("{line}")));
        let Common { experiment, about, hosts, .. } = &self.common;
        let found = if self.found > 0 { format!(", {} of them done before", self.found) } else { String::new() };
        stderr::say(format_args!(
            "{experiment} ({about}): {} points on {} rank(s){found}; at least {}; results in {}",
            self.all,
            hosts.len(),
            rounded(self.least_left()),
            self.out.display()
        ));
    }

    fn output(&self, cell: &Cell) -> Output {
        Output::into_dir(self.out.clone()).of_point(&cell.point.name).of_run(cell.repetition)
    }

    /// Takes in the result of the point in progress, and reports it in one line.
    fn take_in(&mut self) -> Result<(), Failure> {
        let Some((cell, mut lead, since)) = self.lead.take() else { return Ok(()) };
        lead.over();
        self.took[0] += since.elapsed();
        self.took[1] += cell.least_time();
        if lead.was_stopped() {
            self.stopped = self.stopped.or(Some("a signal"));
        }
        let (exit, mut reason) = match lead.exit() {
            Ok(exit) => (exit, String::new()),
            Err(failure) => (failure.exit, failure.sentence),
        };
        let sent = lead.record().map_or(0, |record| record.integrity.sent);
        let wait = self.again.take(&cell.plan.architecture, exit, sent).filter(|_| self.stopped.is_none());
        if let Some(wait) = wait {
            let reason = lead.record().map_or(reason, |record| record.status.reason.clone());
            let seconds = wait.as_secs();
            lead.say(&format!("{reason}; the route worked before, so this point is tried again in {seconds} s"));
            self.due = Some(Instant::now() + wait);
            self.left.push_front(cell);
            return Ok(());
        }
        let kept = self.tried(&cell, lead.record())?;
        let record = lead.record();
        if reason.is_empty()
            && let Some(record) = record
        {
            reason.clone_from(&record.status.reason);
        }
        let result = match record {
            Some(record) if exit == Exit::Pass => in_short(record) + &kept,
            _ => format!("FAILED: {reason}"),
        };
        self.done.push(Outcome { title: cell.title(), exit, reason });
        let failed = self.done.iter().filter(|done| done.exit != Exit::Pass).count();
        let (left, time) = (self.left.len(), rounded(self.time_left()));
        lead.say(&format!("{result}; {failed} failed, {left} left, about {time}"));
        Ok(())
    }

    fn least_left(&self) -> Duration {
        self.left.iter().map(Cell::least_time).sum()
    }

    /// The shortest possible time of the rest, scaled by the slowness of the points so far.
    fn time_left(&self) -> Duration {
        let [took, could] = self.took.map(|time| time.as_secs_f64());
        if could > 0.0 { self.least_left().mul_f64(took / could) } else { self.least_left() }
    }
}

impl Agenda for Sweep {
    const APART: bool = true;

    /// The point has a lead from now on, so that any failure of it is recorded.
    fn next(&mut self, signals: &Signals) -> Result<Option<Assignment>, Failure> {
        self.take_in()?;
        self.stopped = self.stopped.or(signals.requested());
        let due = self.due.take();
        while self.stopped.is_none() && due.is_some_and(|due| Instant::now() < due) {
            std::thread::sleep(NAP);
            self.stopped = signals.requested();
        }
        if self.stopped.is_some() {
            return Ok(None);
        }
        let Some(mut cell) = self.left.pop_front() else { return Ok(None) };
        let run = agenda::draw()?;
        cell.plan = cell.plan.with_run(run);
        let mut output = self.output(&cell);
        output.prepare()?;
        let mut facts = lead::facts(&cell.plan, self.common.hosts.len());
        let first_run_id = self.first.entry(cell.point.name.clone()).or_insert(facts.run_id.clone()).clone();
        facts.repetition = Some(Repetition { number: cell.repetition, first_run_id });
        facts.point = Some(cell.point.clone());
        let number = self.found + self.done.len() + 1;
        let lead = Lead::new(facts, output, self.demands.clone())
            .of_owner(self.owns_the_service)
            .of_many(format!("[{number}/{}] {}", self.all, cell.title()))
            .shown(self.live.as_ref());
        let profile = cell.profile.clone();
        self.lead = Some((cell, lead, Instant::now()));
        // The route of this one may have to be closed first.
        Ok(Some(Assignment { profile, plan: None, run, next_within: RESOLVE_LIMIT + CLOSE_LIMIT + PAUSE_MAX }))
    }

    fn begin(&mut self) -> Result<&mut Lead, Failure> {
        Ok(self.lead().expect("a point goes on"))
    }

    fn lead(&mut self) -> Option<&mut Lead> {
        self.lead.as_mut().map(|(_, lead, _)| lead)
    }

    fn end(&mut self) -> Result<Exit, Failure> {
        let summary = Summary {
            name: &self.common.experiment,
            about: &self.common.about,
            points: self.all,
            found: self.found,
            done: &self.done,
            searches: self.searches.as_ref(),
            stopped: self.stopped,
        };
        summary.write(&self.out)?;
        summary.print(&self.out)?;
        Ok(summary.exit())
    }

    fn routes(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.left.iter().filter_map(|cell| cell.profile.route.testbed.clone()).collect();
        // The direct ones are always there.
        names.into_iter().filter(|name| !matches!(name.as_str(), "dts" | "dts-plain")).collect()
    }
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
