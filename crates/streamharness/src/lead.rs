//! What rank 0 does besides: tells people how the run goes, and writes its files.

use crate::{
    environment,
    exit::{Exit, Failure},
    links::Links,
    output::Output,
    progress::View,
    record,
    series::Series,
    stdout,
};
use engine::{RunResult, Snapshot, control::Ending};
use management::{Access, Watcher};
use measure::{
    into_series,
    record::{Environment, Hop, Link, ServiceView},
    tables::{SeriesRow, osu_table},
};
use profile::{Events, Format, Message, Plan, RunLength};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

/// What is known before the run and goes into its record.
#[derive(Debug, Clone)]
pub struct Facts {
    /// The plan.
    pub plan: Plan,
    /// Names the run.
    pub run_id: String,
    /// When it began.
    pub started: jiff::Timestamp,
    /// Where it runs.
    pub environment: Environment,
    /// Legs of the route.
    pub hops: Vec<Hop>,
    /// What the testbed's links carried, once the stream is over.
    pub links: Vec<Link>,
    /// What the service told of itself, once the stream is over.
    pub service: Option<ServiceView>,
}

impl Facts {
    /// What is known once the plan is resolved.
    pub fn new(plan: &Plan, run: u32, world: usize) -> Self {
        let started = jiff::Timestamp::now();
        let mut environment = environment::describe(world);
        environment.seed = plan.seed;
        Self {
            plan: plan.clone(),
            run_id: format!("{}-{run:08x}", started.strftime("%Y%m%dT%H%M%SZ")),
            started,
            environment,
            hops: Vec::new(),
            links: Vec::new(),
            service: None,
        }
    }
}

/// The size of a body, exact where all have one size that is known without building it.
fn size(message: &Message) -> String {
    match (message.events, message.format) {
        (Events::Fixed(_), Format::GebRaw | Format::GebDecomposed | Format::Variables | Format::Adara) => {
            format!("{} B", message.body_bytes)
        }
        _ => format!("about {:.0} kB", message.mean_body_bytes() / 1e3),
    }
}

/// Rank 0's side of the run.
pub struct Lead {
    facts: Facts,
    output: Output,
    view: View,
    series: Series,
    links: Links,
    service: Option<Watcher>,
    told: bool,
    strict: bool,
    exit: Result<Exit, Failure>,
}

impl Lead {
    /// Leads a run whose results go to `out`, or to a directory named after the run.
    /// `strict` fails one whose senders could not keep their schedule.
    pub fn new(facts: Facts, out: Option<PathBuf>, strict: bool) -> Self {
        Self {
            view: View::new(&facts.plan),
            output: out.map_or_else(|| Output::named_after(&facts.plan), Output::into_dir),
            facts,
            series: Series::default(),
            links: Links::default(),
            service: None,
            told: false,
            strict,
            exit: Err(Failure::new(Exit::Partial, "the run left no result")),
        }
    }

    /// Makes room for the results; what cannot be written is better known before the run than after.
    pub fn prepare_output(&mut self) -> Result<(), Failure> {
        self.output.prepare()
    }

    /// Says what will be done.
    pub fn announce(&mut self, plan: &Plan) {
        let length = match plan.length {
            RunLength::Messages(messages) => format!("{messages} messages"),
            RunLength::Window(window) => {
                let most = if window.is_timed() { "" } else { "at most " };
                format!("messages for {most}{} s", Duration::from_nanos(window.total_ns()).as_secs_f64())
            }
        };
        let placement = &plan.placement;
        self.say(&format!(
            "{} over {}: {length} of {} from {} producer(s) to {} consumer(s) on {} rank(s), {}",
            plan.workload,
            plan.architecture,
            size(&plan.message),
            placement.producers,
            placement.consumers,
            placement.world,
            plan.pattern
        ));
    }

    /// One line for people.
    pub fn say(&mut self, line: &str) {
        self.view.say(line);
    }

    /// The route is open. The service is watched where there is access to its management API.
    pub fn route(&mut self, hops: &[Hop], management: Option<Access>) {
        self.facts.hops = hops.to_vec();
        self.service = management.map(Watcher::start);
    }

    /// A phase begins.
    pub fn phase(&mut self, name: &str) {
        self.view.phase(name);
        match (&mut self.service, name) {
            (Some(service), "stream") => service.begin(),
            (Some(service), "finish") => service.end(),
            _ => {}
        }
        let counted = match name {
            "clocks" => self.links.begin(),
            "finish" => self.links.end().map(|links| self.facts.links = links),
            _ => Ok(()),
        };
        if let Err(error) = counted {
            self.view.say(&error.to_string());
        }
    }

    /// Ten times a second while streaming.
    pub fn progress(&mut self, snapshot: &Snapshot) {
        self.series.take(snapshot);
        self.view.progress(snapshot);
    }

    /// Takes what the service has told by now into the facts; the series with it.
    fn see_service(&mut self) -> Vec<SeriesRow> {
        let mut rows = self.series.rows();
        if let Some(seen) = self.service.as_ref().map(Watcher::seen) {
            into_series(&seen.samples, &mut rows);
            let view = ServiceView::of(&seen.samples);
            self.facts.service =
                Some(ServiceView { management: seen.url, interval_s: seen.interval_s, notes: seen.notes, ..view });
            self.facts.environment.service = seen.settings;
        }
        rows
    }

    /// Saves what is known: what follows may not be reached.
    pub fn cut_short(&mut self, snapshot: &Snapshot, ending: &Ending) {
        self.view.say(&ending.to_string());
        self.told = true;
        let rows = self.see_service();
        let record = record::partial(&self.facts, snapshot, ending);
        if let Err(failure) = self.output.write_partial(&record, rows) {
            self.view.say(&failure.sentence);
        }
        if matches!(ending, Ending::Silent(_)) {
            // No reduce follows, and so no other table.
            stdout::print(&osu_table(&record));
        }
        self.exit = Ok(Exit::from_code(record.status.exit_code));
    }

    /// Everything is known: writes the files, prints the table.
    pub fn result(&mut self, result: &RunResult) {
        self.view.finish();
        let rows = self.see_service();
        let mut record = record::complete(&self.facts, result, self.strict);
        if let (Some(exhibit), Some(first)) = (&result.exhibit, &mut record.integrity.first_corrupt) {
            match self.output.write_exhibit(&exhibit.body, self.facts.plan.message.format.extension()) {
                Ok(file) => first.file = Some(file),
                Err(failure) => self.view.say(&failure.sentence),
            }
        }
        let stream = Duration::from_secs_f64(result.phases.get("stream").copied().unwrap_or_default());
        let written =
            self.output.write(&record, &result.histograms, rows, SystemTime::from(self.facts.started), stream);
        stdout::print(&osu_table(&record));
        for warning in &record.warnings {
            self.view.say(warning);
        }
        if !record.status.pass && !self.told && !record.warnings.contains(&record.status.reason) {
            self.view.say(&record.status.reason);
        }
        self.exit = match written {
            Ok(()) => {
                self.view.say(&format!("results in {}", self.output.dir().display()));
                Ok(Exit::from_code(record.status.exit_code))
            }
            Err(failure) => Err(failure),
        };
    }

    /// What the program exits with.
    pub fn exit(&self) -> Result<u8, Failure> {
        self.exit.clone().map(|exit| exit as u8)
    }
}
