//! Rank 0's second task: it reports the progress of the run, and writes its files.

use crate::{
    host::environment,
    launch::signals::Signals,
    rank0::{
        balancing::Watch,
        congestion,
        demands::Demands,
        faults::{Faults, Means},
        keeper::Keeper,
        neighbours::Neighbours,
        output::Output,
        progress::View,
        series::Series,
    },
    route::{
        Connect, effort::Passed, limits::Limits, links::Links, own::OwnTestbed, source::running_testbed,
        spread::BETWEEN_PARTS, ways::Ways,
    },
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use engine::{
    Phase, RunResult, Snapshot,
    clock::Clock,
    control::Ending,
    ports::Fault,
    record::{self, Facts},
};
use management::{Access, Watcher};
use measure::{
    Record, ServiceSample, into_series,
    record::{Labels, LeftBehind, ServiceView},
    tables::{SeriesRow, osu_table},
};
use profile::{Events, Format, Message, Plan, Profile, RunLength, Side};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

/// The facts of a run that are known once its plan is resolved.
pub fn facts(plan: &Plan, world: usize) -> Facts {
    let started = jiff::Timestamp::now();
    let run_id = format!("{}-{:08x}", started.strftime("%Y%m%dT%H%M%SZ"), plan.run);
    Facts::new(plan, run_id, started.to_string(), environment::describe(world))
}

/// The size of a body: exact if all bodies have one size that is known without building them.
fn size(message: &Message) -> String {
    match (message.events, message.format) {
        (Events::Fixed(_), Format::GebRaw | Format::GebDecomposed | Format::Variables | Format::Adara) => {
            format!("{} B", message.body_bytes)
        }
        _ => format!("about {:.0} kB", message.mean_body_bytes() / 1e3),
    }
}

/// Workers of one end, which may be programs of others.
fn workers(count: u32, word: &str) -> String {
    if count == 0 { format!("external {word}s") } else { format!("{count} {word}(s)") }
}

/// Rank 0's side of the run.
pub struct Lead {
    facts: Facts,
    output: Output,
    view: View,
    series: Series,
    /// When watching the service began, and how far ahead of the common start that was.
    watched_from: Option<Instant>,
    watched_ahead: Option<Duration>,
    links: Links,
    limits: Limits,
    /// Where programs of others connect to, and how they log in.
    ways: Ways,
    service: Option<Watcher>,
    /// The load balancer of EJFAT.
    balancing: Option<Watch>,
    keeper: Keeper,
    /// The latest sums that were received.
    latest: Option<Snapshot>,
    /// Whether the reason of a failed run is on stderr already.
    reported: bool,
    /// Why streaming was cut short, as reported at that moment: counting what the service still holds may reveal more.
    cut_by: Option<Ending>,
    /// Whether it is one of many runs, so that its table is in its files only.
    brief: bool,
    demands: Demands,
    /// Other tenants of the service, while they stream.
    neighbours: Option<Neighbours>,
    /// Whether the user owns a service that is no testbed of the run's own.
    owns_the_service: bool,
    /// What faults are carried out by, until it streams.
    means: Option<Means>,
    /// Faults while it streams.
    faults: Option<Faults>,
    /// Whether a signal stopped it.
    stopped: bool,
    record: Option<Record>,
    exit: Result<Exit, Failure>,
}

impl Lead {
    /// Leads a run whose results go to `output`, which is prepared.
    pub fn new(facts: Facts, output: Output, demands: Demands) -> Self {
        let series = Series::new(facts.plan.service.confirms.wanted());
        let keeper = Keeper::new(output.clone());
        keeper.begin(&facts);
        Self {
            keeper,
            latest: None,
            view: View::new(&facts.plan),
            output,
            facts,
            series,
            watched_from: None,
            watched_ahead: None,
            links: Links::default(),
            limits: Limits::default(),
            ways: Ways::default(),
            service: None,
            balancing: None,
            reported: false,
            cut_by: None,
            brief: false,
            demands,
            neighbours: None,
            owns_the_service: false,
            means: None,
            faults: None,
            stopped: false,
            record: None,
            exit: Err(Failure::new(Exit::Partial, "the run left no result")),
        }
    }

    /// It is one of many runs; `title` is the prefix of its lines.
    pub fn of_many(mut self, title: String) -> Self {
        self.view.entitle(title);
        self.brief = true;
        self
    }

    /// It is shown while it streams.
    pub fn shown(mut self, live: Option<&live::Live>) -> Self {
        if let Some(live) = live {
            let plan = &self.facts.plan;
            self.view.show_on(
                live.view(),
                live::Run {
                    run_id: self.facts.run_id.clone(),
                    workload: plan.workload.clone(),
                    architecture: plan.architecture.clone(),
                    pattern: plan.pattern.to_string(),
                    title: String::new(),
                },
            );
        }
        self
    }

    /// Whether the user owns a service that is no testbed of the run's own, and so may harm it.
    pub fn of_owner(mut self, owns_the_service: bool) -> Self {
        self.owns_the_service = owns_the_service;
        self
    }

    /// Whether the user has said so.
    pub fn owns_the_service(&self) -> bool {
        self.owns_the_service
    }

    /// A signal that ends the process before it streams is put in the record.
    pub fn hear(&self, signals: &Signals) {
        signals.before_exit(self.keeper.farewell(&self.facts));
    }

    /// Reports what will be done.
    pub fn announce(&mut self) {
        let plan = self.facts.plan.clone();
        let length = match plan.length {
            RunLength::Messages(messages) => format!("{messages} messages"),
            RunLength::Window(window) => {
                let most = if window.is_timed() { "" } else { "at most " };
                format!("messages for {most}{} s", Duration::from_nanos(window.total_ns()).as_secs_f64())
            }
        };
        let placement = &plan.placement;
        self.say(&format!(
            "{} over {}: {length}{} from {} to {} on {} rank(s), {}",
            plan.workload,
            plan.architecture,
            // The size of messages of others is not known.
            if placement.producers == 0 { String::new() } else { format!(" of {}", size(&plan.message)) },
            workers(placement.producers, "producer"),
            workers(placement.consumers, "consumer"),
            placement.world,
            plan.pattern
        ));
    }

    /// One line on stderr.
    pub fn say(&mut self, line: &str) {
        self.view.say(line);
    }

    /// The service can be watched.
    pub fn manage(&mut self, access: Option<Access>) {
        let queues = self.facts.plan.name_prefix();
        self.service = access.map(|access| Watcher::start(Access { queues, ..access }));
    }

    /// Where programs of others find the service.
    pub fn show(&mut self, ways: &Ways) {
        self.ways = ways.clone();
    }

    /// The run waits for programs of others.
    pub fn awaits(&mut self, side: Side, queues: &[String], limit: Duration) {
        let sentence = self.ways.awaited(side, queues, limit);
        self.say(&sentence);
    }

    /// The labels of figures, from the profiles.
    pub fn label(&mut self, labels: Labels) {
        self.facts.labels = labels;
    }

    /// The firewall that the route passes, and the effort behind it.
    pub fn passed(&mut self, passed: &Passed) {
        self.facts.firewall.clone_from(&passed.firewall);
        self.facts.effort.clone_from(&passed.effort);
    }

    /// The route is open, to a provisioned cluster if there is one.
    pub fn route(&mut self, connect: &Connect) {
        self.facts.hops.clone_from(&connect.hops);
        self.view.hops(connect.hops.iter().map(|hop| live::Place {
            from: hop.from.to_string(),
            to: hop.to.to_string(),
            protocol: hop.protocol.clone(),
            address: hop.address.clone(),
        }));
        self.balancing = connect.ejfat.as_ref().map(Watch::start);
        self.facts.provisioned.clone_from(&connect.provisioned);
        self.facts.parts.clone_from(&connect.parts);
        self.facts.between_parts = (!connect.parts.is_empty()).then(|| BETWEEN_PARTS.to_owned());
        self.keeper.begin(&self.facts);
    }

    /// Other tenants stream from now on, by the route of this run.
    pub fn meet(&mut self, profile: &Profile, own: &OwnTestbed) -> Result<(), Failure> {
        if running_testbed()?.is_some_and(|testbed| testbed.has_sites()) {
            let sentence = "a neighbour has a producer and a consumer in one rank, and the testbed has a site for each: start it \
                 without --sites";
            return Err(Failure::new(Exit::Usage, sentence));
        }
        let (plan, dir) = (self.facts.plan.clone(), self.output.dir().to_owned());
        self.say("waiting until the neighbours stream");
        self.neighbours = Some(Neighbours::start(profile, &plan, &dir, own.dir()?)?);
        Ok(())
    }

    /// Faults of the plan are carried out by this.
    pub fn disturb(&mut self, means: Means) {
        self.means = Some(means);
    }

    /// Streaming starts shortly: faults are carried out from then on.
    pub fn starts(&mut self, clock: Clock, start_ns: u64) {
        if let Some(means) = self.means.take() {
            self.faults = Some(Faults::start(&self.facts.plan.faults, means, clock, start_ns));
        }
    }

    /// Every fault is undone, and what became of it is known.
    fn mend(&mut self) {
        if let Some(faults) = self.faults.take() {
            self.facts.faults = faults.end();
        }
    }

    /// The tenants end, and what they achieved is known.
    fn part(&mut self) {
        let achieved = self.neighbours.take().map(Neighbours::end);
        self.facts.neighbours.extend(achieved.into_iter().flatten());
    }

    /// A phase before those of the engine has taken so long.
    pub fn took(&mut self, phase: &str, time: Duration) {
        self.facts.before.insert(phase.to_owned(), time.as_secs_f64());
    }

    /// A phase begins.
    pub fn phase(&mut self, phase: Phase) {
        self.view.phase(phase.name());
        if phase == Phase::Topology {
            self.keeper.declares(&self.facts);
        }
        if phase == Phase::Topology
            && !self.brief
            && self.facts.plan.shared_queues().any(|queue| queue.expires.is_none() && !queue.attached)
        {
            self.view.say(&format!("if this run is killed, {}", record::if_killed(&self.facts.plan)));
        }
        match (&mut self.service, phase) {
            (Some(service), Phase::Stream) => {
                service.begin();
                self.watched_from = Some(Instant::now());
            }
            (Some(service), Phase::Finish) => service.end(),
            _ => {}
        }
        match (&mut self.balancing, phase) {
            (Some(balancing), Phase::Stream) => balancing.begin(),
            (Some(balancing), Phase::Finish) => balancing.end(),
            _ => {}
        }
        if let (Some(faults), Phase::Finish) = (&self.faults, phase) {
            faults.stop();
        }
        if let (Some(neighbours), Phase::Finish) = (&self.neighbours, phase) {
            neighbours.stop();
        }
        let counted = match phase {
            Phase::Clocks => self.links.begin().and_then(|()| self.limits.begin()),
            Phase::Finish => {
                self.facts.cpu_limits = self.limits.end();
                self.links.end().map(|links| self.facts.links = links)
            }
            _ => Ok(()),
        };
        if let Err(error) = counted {
            self.view.say(&error.to_string());
        }
    }

    /// Ten times a second while streaming.
    pub fn progress(&mut self, snapshot: &Snapshot) {
        self.series.take(snapshot);
        if let Some(watched_from) =
            self.watched_from.filter(|_| self.watched_ahead.is_none() && !snapshot.elapsed.is_zero())
        {
            self.watched_ahead = Some(watched_from.elapsed().saturating_sub(snapshot.elapsed));
        }
        let service = self.service.as_ref();
        self.view.show(snapshot, || service.and_then(Watcher::latest));
        self.view.progress(snapshot);
        self.keep(snapshot);
    }

    /// Updates the interim record, which remains if the run is killed.
    fn keep(&mut self, snapshot: &Snapshot) {
        if self.keeper.is_due() {
            let rows = self.see_service();
            self.keeper.stream(&self.facts, snapshot, rows);
            self.latest = Some(snapshot.clone());
        }
        if let Some(failure) = self.keeper.failure() {
            self.view.say(&format!("the record is not kept up to date: {}", failure.sentence));
        }
    }

    /// Takes the samples of the service so far into the facts; returns the series with them.
    fn see_service(&mut self) -> Vec<SeriesRow> {
        let mut rows = self.series.rows();
        self.facts.load_balancer = self.balancing.as_ref().map(Watch::seen);
        if let Some(seen) = self.service.as_ref().map(Watcher::seen) {
            // The watch began a little before the start that ranks agreed on.
            let ahead_s = self.watched_ahead.unwrap_or_default().as_secs_f64();
            let shifted = |sample: &ServiceSample| ServiceSample { at_s: sample.at_s - ahead_s, ..sample.clone() };
            into_series(&seen.samples.iter().map(shifted).collect::<Vec<_>>(), &mut rows);
            let view = ServiceView::of(&seen.samples);
            self.facts.service =
                Some(ServiceView { management: seen.url, interval_s: seen.interval_s, notes: seen.notes, ..view });
            self.facts.environment.service = seen.settings;
        }
        rows
    }

    /// Saves what is known: the run may not get as far as a complete record.
    pub fn cut_short(&mut self, snapshot: &Snapshot, ending: &Ending) {
        self.view.say(&ending.to_string());
        // Whether anything is lost is known later.
        self.reported = !matches!(ending, Ending::Missing(_));
        self.cut_by = Some(ending.clone());
        self.save_partial(snapshot, ending);
        self.stopped = matches!(ending, Ending::Stopped(_));
    }

    /// A rank is lost and no result follows: saves what is known.
    pub fn rank_lost(&mut self, snapshot: &Snapshot, ending: &Ending) {
        self.save_partial(snapshot, ending);
        if let Some(Err(failure)) = self.record.as_ref().map(|record| self.print(record)) {
            self.view.say(&failure.sentence);
        }
    }

    fn save_partial(&mut self, snapshot: &Snapshot, ending: &Ending) {
        if let Some(faults) = &self.faults {
            faults.stop();
            self.facts.faults = faults.seen();
        }
        self.keeper.close();
        let rows = self.see_service();
        let mut record = record::cut_short(&self.facts, snapshot, ending);
        // Unless a complete record follows, nothing was deleted.
        record::leaves_all(&mut record, &self.facts.plan);
        if let Err(failure) = self.output.write_partial(&record, rows) {
            self.view.say(&failure.sentence);
        }
        self.exit = Ok(Exit::from_code(record.status.exit_code));
        self.record = Some(record);
    }

    /// Queues of the run are left on the service: that changes no number and no verdict.
    pub fn left_behind(&mut self, left: Vec<LeftBehind>, why: &Fault) {
        let sentence = record::undeleted(&left, why);
        self.view.say(&sentence);
        if let Some(record) = &mut self.record {
            record.left_behind.clone_from(&left);
            record.warnings.push(sentence.clone());
            if let Err(failure) = self.output.write_record(record) {
                self.view.say(&failure.sentence);
            }
        }
        self.facts.left = Some((left, sentence));
    }

    /// Ranks cannot communicate any more. If streaming had ended before, the record already contains the reason.
    pub fn lost(&mut self, failure: &Failure) {
        if self.record.is_none() {
            self.refused(failure.clone());
        }
    }

    /// The run ended without a result, for a reason other than its measurements.
    pub fn refused(&mut self, failure: Failure) {
        self.view.finish();
        self.mend();
        self.part();
        self.keeper.close();
        let rows = self.see_service();
        let record = record::broken(&self.facts, self.latest.as_ref(), failure.status());
        if let Err(unwritten) = self.output.write_partial(&record, rows) {
            self.view.say(&unwritten.sentence);
        }
        self.record = Some(record);
        self.exit = Err(failure);
    }

    /// The result is complete: writes the files, prints the table.
    pub fn result(&mut self, result: &RunResult) {
        self.reported &= self.cut_by.as_ref().is_none_or(|ending| *ending == result.ending);
        self.view.finish();
        self.mend();
        self.part();
        self.keeper.close();
        let rows = self.see_service();
        let mut record = record::complete(&self.facts, result);
        record.warnings.extend(congestion::differs(&record.environment.machines));
        self.demands.judge(&mut record);
        if let (Some(sample), Some(first)) = (&result.first_corrupt, &mut record.integrity.first_corrupt) {
            match self.output.write_corrupt(&sample.body, self.facts.plan.message.extension()) {
                Ok(file) => first.file = Some(file),
                Err(failure) => self.view.say(&failure.sentence),
            }
        }
        let stream = Duration::from_secs_f64(result.phases.get(&Phase::Stream).copied().unwrap_or_default());
        let started: jiff::Timestamp = record.started.parse().expect("it was written so");
        let written = self.output.write(&record, &result.histograms, rows, started.into(), stream);
        if let Err(failure) = &written {
            // A run without its files fails, whatever it measured.
            if record.status.pass {
                record.status = failure.status();
            }
            // The record takes less room than the file that failed.
            let _ = self.output.write_record(&record);
            self.reported = true;
        }
        let printed = self.print(&record);
        if !self.brief {
            for warning in &record.warnings {
                self.view.say(warning);
            }
        }
        if !record.status.pass && !self.reported && !self.brief && !record.warnings.contains(&record.status.reason) {
            self.view.say(&record.status.reason);
        }
        self.exit = match written {
            Ok(()) => {
                if !self.brief {
                    self.view.say(&format!("results in {}", self.output.dir().display()));
                }
                printed.map(|()| Exit::from_code(record.status.exit_code))
            }
            Err(failure) => Err(failure),
        };
        self.record = Some(record);
    }

    fn print(&self, record: &Record) -> Result<(), Failure> {
        if self.brief { Ok(()) } else { stdout::print(&osu_table(record)) }
    }

    /// Its record, if there is one.
    pub fn record(&self) -> Option<&Record> {
        self.record.as_ref()
    }

    /// Its directory and its record, if there is one.
    pub fn into_record(self) -> Option<(PathBuf, Record)> {
        Some((self.output.dir().to_owned(), self.record?))
    }

    /// Whether a signal stopped it.
    pub fn was_stopped(&self) -> bool {
        self.stopped
    }

    /// No more comes of it.
    pub fn over(&self) {
        self.view.over(matches!(self.exit, Ok(Exit::Pass)));
    }

    /// The exit of the program.
    pub fn exit(&self) -> Result<Exit, Failure> {
        self.exit.clone()
    }
}
