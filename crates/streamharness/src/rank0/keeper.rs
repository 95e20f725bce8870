//! The record of a run in progress, kept up to date on disk: a killed run loses at most a few seconds of it.

use crate::{
    rank0::output::Output,
    terminal::exit::{Exit, Failure},
};
use engine::{
    Snapshot,
    record::{self, Facts},
};
use measure::tables::SeriesRow;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

/// How often it is brought up to date.
const EVERY: Duration = Duration::from_secs(2);
/// Writing takes at most one part in this many of its thread's time: a slow disk must not be busy with this alone.
const SHARE: u32 = 20;

/// The state of the run at one moment.
struct Known {
    facts: Facts,
    /// While it streams.
    snapshot: Option<Snapshot>,
    rows: Vec<SeriesRow>,
}

/// Keeps the record of one run until it is closed. A thread of its own writes: disks take their time.
pub struct Keeper {
    files: Files,
    thread: Option<SyncSender<Known>>,
    last: Option<Instant>,
    reported: bool,
}

/// The right to write the files of the run, which the keeper loses for good when the run ends.
#[derive(Clone)]
struct Files(Arc<Mutex<State>>);

struct State {
    output: Output,
    open: bool,
    /// Whether sums of the stream have been kept.
    streams: bool,
    /// Whether the service may hold queues of the run.
    declared: bool,
    failure: Option<Failure>,
}

impl Files {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, Known { facts, snapshot, rows }: Known) {
        let mut state = self.lock();
        if state.open {
            let record = record::kept(&facts, snapshot.as_ref(), state.declared);
            state.streams |= snapshot.is_some();
            state.failure = state.output.write_partial(&record, rows).err();
        }
    }
}

impl Keeper {
    /// For a run whose results go to `output`, which is prepared.
    pub fn new(output: Output) -> Self {
        let files =
            Files(Arc::new(Mutex::new(State { output, open: true, streams: false, declared: false, failure: None })));
        let (sender, known) = sync_channel::<Known>(1);
        let writer = files.clone();
        let thread = std::thread::Builder::new().name("record".to_owned()).spawn(move || {
            for known in known {
                let since = Instant::now();
                writer.keep(known);
                std::thread::sleep((since.elapsed() * SHARE).min(EVERY * SHARE));
            }
        });
        // Without a thread the run goes on, and only its interim record is missing.
        Self { files, thread: thread.ok().map(|_| sender), last: None, reported: false }
    }

    /// The run has started and does not stream yet.
    pub fn begin(&self, facts: &Facts) {
        self.send(Known { facts: facts.clone(), snapshot: None, rows: Vec::new() });
    }

    /// From now on the service may hold queues of the run.
    pub fn declares(&self, facts: &Facts) {
        self.files.lock().declared = true;
        self.begin(facts);
    }

    /// Whether it is time to bring it up to date again.
    pub fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= EVERY)
    }

    /// The run streams; these are its sums so far.
    pub fn stream(&mut self, facts: &Facts, snapshot: &Snapshot, rows: Vec<SeriesRow>) {
        self.last = Some(Instant::now());
        self.send(Known { facts: facts.clone(), snapshot: Some(snapshot.clone()), rows });
    }

    /// A state that arrives while the last two are being written is dropped: another will follow.
    fn send(&self, known: Known) {
        if let Some(thread) = &self.thread {
            let _ = thread.try_send(known);
        }
    }

    /// Why the record could not be kept, if it could not; once.
    pub fn failure(&mut self) -> Option<Failure> {
        if self.reported {
            return None;
        }
        // Streaming does not wait for a disk.
        let failure = self.files.0.try_lock().ok()?.failure.clone();
        self.reported = failure.is_some();
        failure
    }

    /// Writes the record of a run that a signal ends before it streams.
    pub fn farewell(&self, facts: &Facts) -> impl FnOnce(&str) + Send + use<> {
        let (files, facts) = (self.files.clone(), facts.clone());
        move |signal| {
            let state = files.lock();
            if state.open && !state.streams {
                let stopped = Failure::new(Exit::Partial, format!("stopped by {signal} before it streamed"));
                let mut record = record::refused(&facts, stopped.status());
                if state.declared {
                    record::leaves_all(&mut record, &facts.plan);
                }
                // The process ends; a failure cannot be reported any more.
                let _ = state.output.write_partial(&record, Vec::new());
            }
        }
    }

    /// The run ends in order and writes its own record: nothing is kept from now on.
    pub fn close(&mut self) {
        self.thread = None;
        self.files.lock().open = false;
    }
}
