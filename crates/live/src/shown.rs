//! What is shown: one run at a time, the sums of all ranks, and what was said about it.

use measure::{Bands, Counters, Metric, ServiceSample};
use serde::Serialize;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often sums are taken in: more often than anybody looks.
const EVERY: Duration = Duration::from_millis(250);
/// Lines that are kept.
const LINES: usize = 200;

/// The run that is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Run {
    /// Its identity.
    pub run_id: String,
    /// What it streams.
    pub workload: String,
    /// Over which architecture.
    pub architecture: String,
    /// In which pattern.
    pub pattern: String,
    /// Its place among the runs of the launch, if there are many: `[3/12] dts_consumers-4`.
    pub title: String,
}

/// Two ends of a hop, and how they connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The end that connects.
    pub from: String,
    /// The end that it connects to.
    pub to: String,
    /// The protocol.
    pub protocol: String,
    /// The address, if it has one.
    pub address: Option<String>,
}

/// The sums of all ranks at one moment.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Seconds since the common start of streaming.
    pub elapsed_s: f64,
    /// How much of the run is done, from 0 to 1.
    pub part: f64,
    /// Counts.
    pub counters: Counters,
    /// Latencies.
    pub bands: Bands,
    /// Connections that the service blocks.
    pub blocked: u32,
    /// Connections that are lost and not made again yet.
    pub without_connection: u32,
    /// Memory of all ranks, in bytes.
    pub resident_bytes: u64,
    /// What the service says of itself.
    pub service: Option<ServiceSample>,
}

/// Everything that is shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown {
    pub run: Run,
    pub phase: String,
    pub hops: Vec<Place>,
    pub moment: Moment,
    pub lines: VecDeque<Line>,
    /// Runs that are done, and those of them that failed.
    pub runs: [u64; 2],
}

/// What rank 0 has said on stderr.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Line {
    /// Seconds since 1970.
    pub at_s: f64,
    pub line: String,
}

/// The end at which rank 0 writes what it knows. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct View {
    shown: Arc<Mutex<Shown>>,
    taken: Option<Instant>,
}

impl View {
    /// A run begins. What was shown of the last one is gone, but for what was said.
    pub fn begin(&mut self, run: Run) {
        self.taken = None;
        let mut shown = self.lock();
        *shown = Shown { run, lines: std::mem::take(&mut shown.lines), runs: shown.runs, ..Shown::default() };
    }

    /// A run is over.
    pub fn end(&self, passed: bool) {
        let mut shown = self.lock();
        shown.runs[0] += 1;
        shown.runs[1] += u64::from(!passed);
        "over".clone_into(&mut shown.phase);
    }

    /// The way of its messages.
    pub fn hops(&self, hops: Vec<Place>) {
        self.lock().hops = hops;
    }

    /// A phase begins.
    pub fn phase(&self, name: &str) {
        name.clone_into(&mut self.lock().phase);
    }

    /// Rank 0 says something.
    pub fn say(&self, line: &str) {
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let mut shown = self.lock();
        shown.lines.push_back(Line { at_s, line: line.to_owned() });
        if shown.lines.len() > LINES {
            shown.lines.pop_front();
        }
    }

    /// Whether it is time to show the sums again.
    pub fn is_due(&mut self) -> bool {
        let due = self.taken.is_none_or(|at| at.elapsed() >= EVERY);
        if due {
            self.taken = Some(Instant::now());
        }
        due
    }

    /// Shows the sums.
    pub fn show(&self, moment: Moment) {
        self.lock().moment = moment;
    }

    pub(crate) fn shown(&self) -> Shown {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    /// For the page.
    pub fn json(&self) -> String {
        let Moment { counters, service, .. } = &self.moment;
        let bands = |metric: Metric| {
            let counts = self.moment.bands.occurred().find(|(of, ..)| *of == metric);
            counts.map(|(_, counts, _)| counts.to_vec())
        };
        let named = Counters::NAMES.iter().zip(counters.to_vector()).filter(|(_, count)| *count > 0);
        serde_json::json!({
            "run": self.run,
            "phase": self.phase,
            "hops": self.hops,
            "elapsed_s": self.moment.elapsed_s,
            "part": self.moment.part,
            "sent": counters.sent,
            "received": counters.received,
            "replies": counters.replies,
            "counters": named.map(|(name, count)| ((*name).to_owned(), count.into())).collect::<serde_json::Map<_, _>>(),
            "bounds_ns": Bands::bounds_ns(),
            "bands": Bands::METRICS.map(|metric| (metric.name(), bands(metric))),
            "blocked": self.moment.blocked,
            "without_connection": self.moment.without_connection,
            "ready": service.as_ref().and_then(|service| service.ready),
            "unacknowledged": service.as_ref().and_then(|service| service.unacknowledged),
            "alarms": service.as_ref().map(|service| &service.alarms),
            "runs": self.runs,
            "lines": self.lines,
        })
        .to_string()
    }
}
