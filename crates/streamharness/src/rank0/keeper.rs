//! The record of a run that goes on, kept beside it on disk: a run that is killed loses a few seconds of it, and no more.

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
/// What writing takes of its thread's time at most: a slow disk must not be busy with this alone.
const SHARE: u32 = 20;

/// What is known at one moment.
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
    told: bool,
}

/// The right to write the files of the run, which the keeper loses for ever when the run comes to its end.
#[derive(Clone)]
struct Files(Arc<Mutex<State>>);

struct State {
    output: Output,
    open: bool,
    /// Whether sums of a stream have been kept.
    streams: bool,
    /// Whether something of the run may be on the service.
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
        // Where no thread is to be had, the run comes before what is only kept in case of its death.
        Self { files, thread: thread.ok().map(|_| sender), last: None, told: false }
    }

    /// The run has begun and does not stream yet.
    pub fn begin(&self, facts: &Facts) {
        self.send(Known { facts: facts.clone(), snapshot: None, rows: Vec::new() });
    }

    /// From now on there may be something of the run on the service.
    pub fn declares(&self, facts: &Facts) {
        self.files.lock().declared = true;
        self.begin(facts);
    }

    /// Whether it is time to bring it up to date again.
    pub fn is_due(&self) -> bool {
        self.last.is_none_or(|last| last.elapsed() >= EVERY)
    }

    /// The run streams, and this is what it has come to.
    pub fn stream(&mut self, facts: &Facts, snapshot: &Snapshot, rows: Vec<SeriesRow>) {
        self.last = Some(Instant::now());
        self.send(Known { facts: facts.clone(), snapshot: Some(snapshot.clone()), rows });
    }

    /// One that comes while the last two are being written is let go: another will follow.
    fn send(&self, known: Known) {
        if let Some(thread) = &self.thread {
            let _ = thread.try_send(known);
        }
    }

    /// Why the record could not be kept, if it could not; once.
    pub fn failure(&mut self) -> Option<Failure> {
        if self.told {
            return None;
        }
        // Whoever streams does not wait for a disk.
        let failure = self.files.0.try_lock().ok()?.failure.clone();
        self.told = failure.is_some();
        failure
    }

    /// What is to be done where the process ends before it streams, because of a signal.
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
                // Nobody is left to be told that it failed.
                let _ = state.output.write_partial(&record, Vec::new());
            }
        }
    }

    /// The run has come to an end that it can tell itself: nothing is kept from now on.
    pub fn close(&mut self) {
        self.thread = None;
        self.files.lock().open = false;
    }
}
