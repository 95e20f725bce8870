//! The runs of one launch as rank 0 sees them: a lead and a directory for each, and what they came to together.

use crate::{
    cli::arguments::Around,
    launch::{self, signals::Signals},
    rank0::{
        demands::Demands,
        lead::{self, Lead},
        output::Output,
        repeat::{Next, Repeat},
        summary::{Done, Summary},
    },
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use management::Access;
use measure::record::Repetition;
use profile::Plan;
use std::time::{Duration, Instant};

/// How often rank 0 looks for signals while nothing runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The runs of one launch.
pub struct Runs {
    plan: Plan,
    world: usize,
    demands: Demands,
    repeat: Repeat,
    output: Output,
    /// Of the run that goes on, or of the last one.
    lead: Option<Lead>,
    management: Option<Access>,
    done: Vec<Done>,
    first_run_id: String,
    ended: String,
    /// Whether that was what was asked for.
    complete: bool,
    exit: Result<Exit, Failure>,
}

impl Runs {
    /// None has begun.
    pub fn new(plan: &Plan, world: usize, arguments: &Around, repeat: Repeat, demands: Demands) -> Self {
        Self {
            plan: plan.clone(),
            world,
            demands,
            repeat,
            output: arguments.out.clone().map_or_else(|| Output::named_after(plan), Output::into_dir),
            lead: None,
            management: None,
            done: Vec::new(),
            first_run_id: String::new(),
            ended: "before their time".to_owned(),
            complete: false,
            exit: Err(Failure::new(Exit::Partial, "the run left no result")),
        }
    }

    /// Makes room for the results (what cannot be written is better known before the runs than after), says what will be
    /// done, and leads the first run.
    pub fn begin(&mut self) -> Result<&mut Lead, Failure> {
        self.output.prepare()?;
        let run = self.plan.run;
        let (repeated, most, idle) = (self.repeat.is_repeated(), *self.repeat.runs.end(), self.repeat.idle);
        let until = self.repeat.until.is_some();
        let lead = self.lead_run(run)?;
        lead.announce();
        if repeated {
            let most = if until { format!("at most {most}") } else { most.to_string() };
            lead.say(&format!("{most} runs of it, {} s apart", idle.as_secs_f64()));
        }
        Ok(lead)
    }

    fn lead_run(&mut self, run: u32) -> Result<&mut Lead, Failure> {
        let plan = self.plan.with_run(run);
        let mut facts = lead::facts(&plan, self.world);
        let number = self.done.len() as u32 + 1;
        if number == 1 {
            self.first_run_id.clone_from(&facts.run_id);
        }
        let mut output = self.output.clone();
        if self.repeat.is_repeated() {
            facts.repetition = Some(Repetition { number, first_run_id: self.first_run_id.clone() });
            output = self.output.of_run(number);
            output.prepare()?;
        }
        Ok(self.lead.insert(Lead::new(facts, output, self.demands.clone())))
    }

    /// The service can be watched in every run from now on.
    pub fn manage(&mut self, access: Option<Access>) {
        if let Some(lead) = &mut self.lead {
            lead.manage(access.clone());
        }
        self.management = access;
    }

    /// Who leads the run that goes on.
    pub fn lead(&mut self) -> Option<&mut Lead> {
        self.lead.as_mut()
    }

    /// The number of the next run, once it is time for it; none where there is no next one.
    pub fn next(&mut self, signals: &Signals) -> Result<Option<u32>, Failure> {
        let stopped = self.lead.as_ref().is_some_and(Lead::was_stopped);
        self.take_in();
        if !self.repeat.is_repeated() {
            return Ok(None);
        }
        let estimate = self.repeat.until.and_then(|until| self.summary().estimate(until.quantity));
        let next = self.repeat.next(self.done.len() as u32, estimate.as_ref());
        if stopped {
            self.ended = "early: stopped by a signal".to_owned();
            return Ok(None);
        }
        if let Next::End(why) = next {
            (self.ended, self.complete) = (why, true);
            return Ok(None);
        }
        self.output.write_summary(&self.summary().json())?;
        let since = Instant::now();
        while since.elapsed() < self.repeat.idle && signals.requested().is_none() {
            std::thread::sleep(LOOK_EVERY.min(self.repeat.idle.saturating_sub(since.elapsed())));
        }
        if let Some(signal) = signals.requested() {
            self.ended = format!("early: stopped by {signal}");
            return Ok(None);
        }
        let run = launch::draw()?;
        let management = self.management.clone();
        self.lead_run(run)?.manage(management);
        Ok(Some(run))
    }

    /// Keeps what the run that went on came to.
    fn take_in(&mut self) {
        let Some(mut lead) = self.lead.take() else { return };
        self.exit = lead.exit();
        if !self.repeat.is_repeated() {
            return;
        }
        if let Err(failure) = &self.exit {
            // The others go on; this is the only place where it is told.
            lead.say(&failure.sentence);
        }
        let number = self.done.len() as u32 + 1;
        self.done.extend(lead.into_record().map(|(dir, record)| Done { number, run: figures::Run { dir, record } }));
    }

    fn summary(&self) -> Summary<'_> {
        Summary { done: &self.done, ended: &self.ended, complete: self.complete, until: self.repeat.until }
    }

    /// There will be no other run: says what they came to together.
    pub fn end(&mut self) {
        self.take_in();
        if !self.repeat.is_repeated() {
            return;
        }
        let summary = self.summary();
        let printed = stdout::print(&summary.table());
        let written = self.output.write_summary(&summary.json());
        crate::terminal::stderr::say(format_args!(
            "{}; results in {}",
            summary.verdict().1,
            self.output.dir().display()
        ));
        self.exit = written.and(printed).and(Ok(summary.verdict().0));
    }

    /// What the program exits with.
    pub fn exit(&self) -> Result<u8, Failure> {
        self.exit.clone().map(|exit| exit as u8)
    }
}
