//! The runs of one plan, one or several: a lead and a directory for each, and their summary.

use crate::{
    cli::{arguments::Around, flags},
    launch::{
        Ranks,
        agenda::{self, Agenda, Assignment},
        part,
        signals::Signals,
        world::Stop,
    },
    rank0::{
        before::Before,
        demands::Demands,
        lead::{self, Lead},
        output::Output,
        repeat::{Next, Repeat},
        shown,
        summary::{Done, Summary},
    },
    terminal::{
        exit::{Exit, Failure},
        stderr, stdout,
    },
};
use measure::record::{Hop, Repetition};
use profile::{Plan, Profile};
use std::time::{Duration, Instant};

/// How often rank 0 looks for signals while nothing runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The runs of one launch.
pub struct Runs {
    /// Contains the addresses.
    profile: Profile,
    plan: Plan,
    /// The run that is repeated, of a rerun.
    before: Option<Before>,
    world: usize,
    demands: Demands,
    owns_the_service: bool,
    live: Option<live::Live>,
    repeat: Repeat,
    output: Output,
    /// Of the run in progress.
    lead: Option<Lead>,
    done: Vec<Done>,
    first_run_id: String,
    ended: String,
    /// Whether all requested runs were carried out.
    complete: bool,
    exit: Result<Exit, Failure>,
}

impl Runs {
    /// No run yet. Options around the plan are checked before `read` reads the profile, or a record and its profile.
    pub fn new(
        arguments: &Around,
        ranks: &Ranks,
        read: impl FnOnce() -> Result<(Profile, Option<Before>), Failure>,
    ) -> Result<Self, Failure> {
        let (repeat, demands) = (Repeat::from_arguments(arguments)?, Demands::from_arguments(arguments)?);
        let (mut profile, before) = read()?;
        part::place(&mut profile, &ranks.roles)?;
        let plan = match &before {
            Some(before) => before.plan.clone(),
            None => Plan::resolve_on(&profile, &ranks.hosts, 0).map_err(flags::failure)?,
        };
        Ok(Self {
            output: arguments.out.clone().map_or_else(|| Output::named_after(&plan), Output::into_dir),
            profile,
            plan,
            before,
            world: ranks.hosts.len(),
            demands,
            owns_the_service: arguments.i_own_this_service,
            live: shown::start(&arguments.shown)?,
            repeat,
            lead: None,
            done: Vec::new(),
            first_run_id: String::new(),
            ended: "before their time".to_owned(),
            complete: false,
            exit: Err(Failure::new(Exit::Partial, "the run left no result")),
        })
    }

    /// Whether another run follows; waits until it is time for it.
    fn goes_on(&mut self, signals: &Signals) -> Result<bool, Failure> {
        let stopped = self.lead.as_ref().is_some_and(Lead::was_stopped);
        self.take_in();
        if !self.repeat.is_repeated() {
            return Ok(false);
        }
        let estimate = self.repeat.until.and_then(|until| self.summary().estimate(until.quantity));
        let next = self.repeat.next(self.done.len() as u32, estimate.as_ref());
        if stopped {
            self.ended = "early: stopped by a signal".to_owned();
            return Ok(false);
        }
        if let Next::End(why) = next {
            (self.ended, self.complete) = (why, true);
            return Ok(false);
        }
        self.output.write_summary(&self.summary().json())?;
        let since = Instant::now();
        while since.elapsed() < self.repeat.idle && signals.requested().is_none() {
            std::thread::sleep(LOOK_EVERY.min(self.repeat.idle.saturating_sub(since.elapsed())));
        }
        if let Some(signal) = signals.requested() {
            self.ended = format!("early: stopped by {signal}");
            return Ok(false);
        }
        Ok(true)
    }

    /// Takes in the result of the run in progress.
    fn take_in(&mut self) {
        let Some(mut lead) = self.lead.take() else { return };
        lead.over();
        self.exit = lead.exit();
        if !self.repeat.is_repeated() {
            return;
        }
        if let Err(failure) = &self.exit {
            // The other runs go on; the failure is reported nowhere else.
            lead.say(&failure.sentence);
        }
        let number = self.done.len() as u32 + 1;
        self.done.extend(lead.into_record().map(|(dir, record)| Done { number, run: figures::Run { dir, record } }));
    }

    fn summary(&self) -> Summary<'_> {
        Summary { done: &self.done, ended: &self.ended, complete: self.complete, until: self.repeat.until }
    }
}

impl Agenda for Runs {
    const APART: bool = false;

    fn next(&mut self, signals: &Signals) -> Result<Option<Assignment>, Failure> {
        if self.lead.is_some() && !self.goes_on(signals)? {
            return Ok(None);
        }
        let run = agenda::draw()?;
        self.plan = self.plan.with_run(run);
        Ok(Some(Assignment {
            profile: self.profile.clone(),
            plan: self.before.as_ref().map(|before| serde_json::to_string(&before.plan).expect("a plan is plain data")),
            run,
            next_within: self.plan.limits.collective + self.repeat.idle,
        }))
    }

    /// Makes the directory for the results before the run, so that an unwritable one costs no run. The first run announces the
    /// plan.
    fn begin(&mut self) -> Result<&mut Lead, Failure> {
        let first = self.first_run_id.is_empty();
        if first {
            self.output.prepare()?;
        }
        let mut facts = lead::facts(&self.plan, self.world);
        if first {
            self.first_run_id.clone_from(&facts.run_id);
        }
        let mut output = self.output.clone();
        if self.repeat.is_repeated() {
            let number = self.done.len() as u32 + 1;
            facts.repetition = Some(Repetition { number, first_run_id: self.first_run_id.clone() });
            output = self.output.of_run(number);
            output.prepare()?;
        }
        let lead =
            Lead::new(facts, output, self.demands.clone()).of_owner(self.owns_the_service).shown(self.live.as_ref());
        let lead = self.lead.insert(lead);
        if first {
            lead.announce();
        }
        if first && self.repeat.is_repeated() {
            let most = if self.repeat.until.is_some() { "at most " } else { "" };
            lead.say(&format!(
                "{most}{} runs of it, {} s apart",
                self.repeat.runs.end(),
                self.repeat.idle.as_secs_f64()
            ));
        }
        Ok(lead)
    }

    fn lead(&mut self) -> Option<&mut Lead> {
        self.lead.as_mut()
    }

    /// Reports how the service differs from that of the repeated run.
    fn opened(&mut self, hops: &[Hop]) {
        if let (Some(before), Some(lead)) = (&self.before, &mut self.lead) {
            before.differs(hops).iter().for_each(|difference| lead.say(difference));
        }
    }

    fn end(&mut self) -> Result<Exit, Failure> {
        self.take_in();
        if !self.repeat.is_repeated() {
            return self.exit.clone();
        }
        let summary = self.summary();
        let printed = stdout::print(&summary.table());
        let written = self.output.write_summary(&summary.json());
        let (exit, sentence) = summary.verdict();
        stderr::say(format_args!("{sentence}; results in {}", self.output.dir().display()));
        written.and(printed).and(Ok(exit))
    }

    /// A first run that failed to open its route has nothing to summarize.
    fn cut_short(&mut self, stop: &Stop) {
        if matches!(stop, Stop::Alone(_)) || !self.done.is_empty() {
            // The launch has another reason to fail.
            let _ = self.end();
        }
    }
}
