//! What is looked at while a run goes on: the broker's count of its queues, and every command line of the machine.

use crate::api::{Api, Queue};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tests::support::processes;

const LOOK_EVERY: Duration = Duration::from_millis(300);

/// What has been seen so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Each queue as it was when it was last there.
    pub queues: BTreeMap<String, Queue>,
    /// Secrets in command lines.
    pub told: Vec<String>,
}

/// A thread that looks. Ends with this value.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn start(api: Api, secrets: Vec<(&'static str, String)>) -> Self {
        let (seen, over) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (shown, until) = (seen.clone(), over.clone());
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                look(&api, &secrets, &shown);
                thread::sleep(LOOK_EVERY);
            }
        });
        Self { seen, over, thread: Some(thread) }
    }

    /// What has been seen so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a message has been seen in the broker.
    pub fn streams(&self) -> bool {
        self.seen().queues.values().any(|queue| queue.publish > 0)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn look(api: &Api, secrets: &[(&'static str, String)], seen: &Mutex<Seen>) {
    // A broker that a fault keeps from replying is not seen.
    let queues = api.queues();
    let processes = processes::all();
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(queues) = queues {
        seen.queues.extend(queues.into_iter().map(|queue| (queue.name.clone(), queue)));
    }
    for (what, secret) in secrets {
        let holder = processes.iter().find(|process| process.arguments.iter().any(|word| word.contains(secret)));
        if let Some(holder) = holder {
            let program = holder.arguments.first().cloned().unwrap_or_default();
            seen.told.push(format!("{what} is in the arguments of {program} (pid {})", holder.pid));
        }
    }
}
