//! The alarms of a rank's connections: whether the service holds them back, and why it ended one.

use crate::{
    ports::{Alarm, Fault, Payloads, Publisher, Transport},
    run::connect::{Consuming, Producing},
};
use measure::Counters;
use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

/// The alarms of all connections that publish, each once: workers may share one.
#[derive(Clone)]
pub(crate) struct ConnectionAlarms {
    all: Arc<Mutex<Vec<Arc<Alarm>>>>,
    /// Whether workers come back after a lost connection: then its end is theirs to notice.
    workers_reconnect: bool,
}

impl ConnectionAlarms {
    /// The alarms of the workers of a rank.
    pub fn of<T: Transport, P: Payloads>(
        producing: &[Producing<T, P>],
        consuming: &[Consuming<T>],
        workers_reconnect: bool,
    ) -> Self {
        let alarms = Self { all: Arc::default(), workers_reconnect };
        producing.iter().for_each(|producing| alarms.add(producing.publisher.alarms()));
        let repliers = consuming.iter().filter_map(|consuming| consuming.replier.as_ref());
        repliers.for_each(|replier| alarms.add(replier.alarms()));
        alarms
    }

    /// Adds those of a connection that was made.
    pub fn add(&self, made: Vec<Arc<Alarm>>) {
        let mut all = self.all();
        for alarm in made {
            if !all.iter().any(|known| Arc::ptr_eq(known, &alarm)) {
                all.push(alarm);
            }
        }
    }

    /// Connections that are blocked now.
    pub fn blocked(&self) -> u32 {
        self.all().iter().filter(|alarm| alarm.is_raised()).count() as u32
    }

    /// How often and for how long they were blocked so far.
    pub fn counters(&self) -> Counters {
        let all = self.all();
        Counters {
            blocked_times: all.iter().map(|alarm| alarm.times()).sum(),
            blocked_ns: all.iter().map(|alarm| alarm.blocked()).sum::<Duration>().as_nanos() as u64,
            ..Counters::default()
        }
    }

    /// Why the service ended a connection that publishes, if it did. Without confirms no worker would notice it.
    pub fn refusal(&self) -> Option<Fault> {
        self.all().iter().find_map(|alarm| alarm.fault()).filter(|_| !self.workers_reconnect)
    }

    fn all(&self) -> MutexGuard<'_, Vec<Arc<Alarm>>> {
        self.all.lock().expect("nobody panics with this lock")
    }
}
