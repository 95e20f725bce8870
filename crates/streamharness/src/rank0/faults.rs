//! The faults of a run, each carried out when it is due by a thread of its own, and undone when the run ends.

mod means;

use engine::clock::Clock;
use measure::record::Fault as Outcome;
use profile::{Action, Fault};
use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use means::Done;
pub use means::{Means, check};

/// How often it is looked at how far a fault has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a fault may take to be complete, or to be undone: a broker starts in less.
const COMPLETE_LIMIT: Duration = Duration::from_secs(60);

/// The faults of a run that streams. Dropping them undoes all of them.
pub struct Faults {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    clock: Clock,
    start_ns: u64,
    outcomes: Mutex<Vec<Outcome>>,
    over: Mutex<bool>,
    changed: Condvar,
}

impl Faults {
    /// Begins to carry them out; streaming starts at `start_ns`.
    pub fn start(faults: &[Fault], means: Means, clock: Clock, start_ns: u64) -> Self {
        let outcome = |fault: &Fault| Outcome {
            fault: fault.to_string(),
            due_s: fault.at.as_secs_f64(),
            failure: Some("the run ended before it was due".to_owned()),
            ..Outcome::default()
        };
        let shared = Arc::new(Shared {
            clock,
            start_ns,
            outcomes: Mutex::new(faults.iter().map(outcome).collect()),
            over: Mutex::new(false),
            changed: Condvar::new(),
        });
        let means = Arc::new(means);
        let mut threads = Vec::new();
        for (place, fault) in faults.iter().cloned().enumerate() {
            let (its, means) = (shared.clone(), means.clone());
            let carry_out = move || {
                let failure = its.carry_out(place, &fault, &means).err();
                its.at(place, |outcome| outcome.failure = failure);
            };
            match thread::Builder::new().name(format!("fault {place}")).spawn(carry_out) {
                Ok(thread) => threads.push(thread),
                Err(error) => shared.at(place, |outcome| {
                    outcome.failure = Some(format!("there is no thread for it: {}", shortage::explain(&error)));
                }),
            }
        }
        Self { shared, threads }
    }

    /// What is known of them so far.
    pub fn seen(&self) -> Vec<Outcome> {
        lock(&self.shared.outcomes).clone()
    }

    /// Streaming is over: what is in force is undone from now on.
    pub fn stop(&self) {
        *lock(&self.shared.over) = true;
        self.shared.changed.notify_all();
    }

    /// Waits until all are undone.
    pub fn end(mut self) -> Vec<Outcome> {
        self.join();
        self.seen()
    }

    fn join(&mut self) {
        self.stop();
        for thread in self.threads.drain(..) {
            // One that has panicked leaves its fault without an end.
            let _ = thread.join();
        }
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.join();
    }
}

impl Shared {
    fn at(&self, place: usize, change: impl FnOnce(&mut Outcome)) {
        change(&mut lock(&self.outcomes)[place]);
    }

    /// Seconds since the common start.
    fn now_s(&self) -> f64 {
        self.clock.now_ns().saturating_sub(self.start_ns) as f64 / 1e9
    }

    /// Waits until a time since the common start; false if streaming is over before.
    fn wait_until(&self, at_s: f64) -> bool {
        let mut over = lock(&self.over);
        loop {
            let now_s = self.now_s();
            if *over || now_s >= at_s {
                return !*over;
            }
            // The start itself is shortly ahead, and a clock is not an `Instant`: it looks again.
            let left = Duration::from_secs_f64((at_s - now_s).min(1.0)).max(Duration::from_micros(100));
            over = self.changed.wait_timeout(over, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn carry_out(&self, place: usize, fault: &Fault, means: &Means) -> Result<(), String> {
        if !self.wait_until_started(fault.at.as_secs_f64()) {
            return Err("the run ended before it was due".to_owned());
        }
        let begun_s = self.now_s();
        self.at(place, |outcome| outcome.begun_s = Some(begun_s));
        let mut done = means.begin(&fault.action)?;
        self.await_complete(&done)?;
        if matches!(fault.action, Action::Restart(_)) {
            done.undo()?;
            self.await_complete(&done)?;
            self.at(place, |outcome| outcome.complete_s = Some(self.now_s()));
            return Ok(());
        }
        let complete_s = self.now_s();
        self.at(place, |outcome| outcome.complete_s = Some(complete_s));
        if !done.needs_undoing() {
            return Ok(());
        }
        self.wait_until(fault.length.map_or(f64::INFINITY, |length| complete_s + length.as_secs_f64()));
        done.undo()?;
        self.await_complete(&done)?;
        self.at(place, |outcome| outcome.undone_s = Some(self.now_s()));
        Ok(())
    }

    /// [`Self::wait_until`], from before the common start on.
    fn wait_until_started(&self, at_s: f64) -> bool {
        let ahead = Duration::from_nanos(self.start_ns.saturating_sub(self.clock.now_ns()));
        thread::sleep(ahead);
        self.wait_until(at_s)
    }

    /// Also when the run is over: what was begun is brought to its end.
    fn await_complete(&self, done: &Done) -> Result<(), String> {
        let end = Instant::now() + COMPLETE_LIMIT;
        while !done.is_complete()? {
            if Instant::now() > end {
                return Err(format!("it was not complete after {} s", COMPLETE_LIMIT.as_secs()));
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
