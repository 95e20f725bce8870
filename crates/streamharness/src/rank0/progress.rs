//! How a run looks: on stderr, as a bar on a terminal or plain lines in a log, and to those who watch it over HTTP.

use engine::Snapshot;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use measure::{Counters, ServiceSample};
use profile::{Plan, RunLength};
use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

/// Plain lines come this often at most.
const LINE_EVERY: Duration = Duration::from_secs(2);

/// The progress of one run, as shown to the user.
pub struct View {
    goal: Goal,
    /// The prefix of every line about this run, if there are many runs.
    title: String,
    bar: Option<ProgressBar>,
    last_line: Option<Instant>,
    last: (Duration, u64),
    /// What counts as progress, and its word.
    counted: (fn(&Counters) -> u64, &'static str),
    /// Those who watch it over HTTP.
    live: Option<live::View>,
}

/// When the run is over.
#[derive(Clone, Copy)]
enum Goal {
    Messages(u64),
    Time(Duration),
}

impl View {
    /// For a run of this plan.
    pub fn new(plan: &Plan) -> Self {
        let goal = match plan.length {
            RunLength::Messages(messages) => Goal::Messages(messages * u64::from(plan.flow.copies.max(1))),
            RunLength::Window(window) => Goal::Time(Duration::from_nanos(window.total_ns())),
        };
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr_with_hz(10));
            let style = ProgressStyle::with_template("{prefix:>10} [{bar:30}] {msg}").expect("a constant template");
            bar.with_style(style.progress_chars("=> "))
        });
        // What external consumers get shows in their replies only.
        let counted: (fn(&Counters) -> u64, _) = match (plan.placement.consumers, plan.flow.replies) {
            (0, 0) => (|counters| counters.accepted, "accepted"),
            (0, _) => (|counters| counters.distinct_replies, "replied to"),
            _ => (|counters| counters.received, "delivered"),
        };
        Self { goal, title: String::new(), bar, last_line: None, last: (Duration::ZERO, 0), counted, live: None }
    }

    /// It is also shown there.
    pub fn show_on(&mut self, mut live: live::View, run: live::Run) {
        live.begin(live::Run { title: self.title.trim_end().to_owned(), ..run });
        self.live = Some(live);
    }

    /// The way of its messages.
    pub fn hops(&self, hops: impl Iterator<Item = live::Place>) {
        if let Some(live) = &self.live {
            live.hops(hops.collect());
        }
    }

    /// Sets the prefix of its lines.
    pub fn entitle(&mut self, title: String) {
        self.title = title + " ";
    }

    /// One line that stays.
    pub fn say(&mut self, line: &str) {
        if let Some(live) = &self.live {
            live.say(line);
        }
        self.print(line);
    }

    fn print(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| crate::terminal::stderr::say(format_args!("{}{line}", self.title))),
            None => crate::terminal::stderr::say(format_args!("{}{line}", self.title)),
        }
    }

    /// A phase begins.
    pub fn phase(&mut self, name: &str) {
        if let Some(live) = &self.live {
            live.phase(name);
        }
        if let Some(bar) = &self.bar {
            bar.set_prefix(format!("{}{name}", self.title));
            bar.tick();
        }
    }

    /// How much of the run is done, from 0 to 1.
    fn part(&self, snapshot: &Snapshot) -> f64 {
        let part = match self.goal {
            Goal::Messages(messages) => self.counted.0(&snapshot.total.counters) as f64 / messages as f64,
            Goal::Time(time) => snapshot.elapsed.as_secs_f64() / time.as_secs_f64(),
        };
        part.clamp(0.0, 1.0)
    }

    /// Shows the sums at one moment to those who watch over HTTP, with what the service says of itself.
    pub fn show(&mut self, snapshot: &Snapshot, service: impl FnOnce() -> Option<ServiceSample>) {
        let part = self.part(snapshot);
        if let Some(live) = &mut self.live
            && live.is_due()
        {
            let total = &snapshot.total;
            live.show(live::Moment {
                elapsed_s: snapshot.elapsed.as_secs_f64(),
                part,
                counters: total.counters,
                bands: total.bands,
                blocked: total.blocked,
                without_connection: total.without_connection,
                resident_bytes: total.resident_bytes,
                service: service(),
            });
        }
    }

    /// It is over.
    pub fn over(&self, passed: bool) {
        if let Some(live) = &self.live {
            live.end(passed);
        }
    }

    /// The sums at one moment.
    pub fn progress(&mut self, snapshot: &Snapshot) {
        let (total, blocked) = (&snapshot.total.counters, snapshot.total.blocked);
        let (since, before) = self.last;
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        let gone = snapshot.total.without_connection;
        let (done, word) = (self.counted.0(total), self.counted.1);
        let active = done > 0 || blocked > 0 || gone > 0;
        if self.bar.is_none() && !(due && active) {
            return;
        }
        let span = snapshot.elapsed.saturating_sub(since).as_secs_f64();
        let rate = if span > 0.0 { (done - before) as f64 / span } else { 0.0 };
        let part = self.part(snapshot);
        let left = if part > 0.0 { snapshot.elapsed.as_secs_f64() * (1.0 - part) / part } else { 0.0 };
        let errors = total.corrupt + total.abandoned + u64::from(snapshot.total.fault.is_some());
        let blocked = match blocked {
            0 => String::new(),
            connections => format!("  {connections} connection(s) blocked by the service"),
        };
        let gone = match gone {
            0 => String::new(),
            connections => format!("  {connections} connection(s) lost and not made again yet"),
        };
        let line = format!(
            "{:3.0} %  {done} {word}  {rate:.0} msg/s  {} rejected  {errors} errors  {left:.0} s left{blocked}{gone}",
            100.0 * part,
            total.rejected,
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position((1000.0 * part) as u64);
                bar.set_message(line);
            }
            None => self.print(&line),
        }
        if due {
            self.last_line = Some(Instant::now());
            self.last = (snapshot.elapsed, done);
        }
    }

    /// Takes the bar away.
    pub fn finish(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
