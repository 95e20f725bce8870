//! The alarms of a rank's connections: whether the service holds them back, and why it ended one.

use crate::{
    ports::{Alarm, Fault, Payloads, Publisher, Transport},
    run::connect::{Consuming, Producing},
};
use measure::Counters;
use std::{sync::Arc, time::Duration};

/// The alarms of all connections that publish, each once: workers may share one.
pub(crate) struct ConnectionAlarms(Vec<Arc<Alarm>>);

impl ConnectionAlarms {
    /// The alarms of the workers of a rank.
    pub fn of<T: Transport, P: Payloads>(producing: &[Producing<T, P>], consuming: &[Consuming<T>]) -> Self {
        let repliers = consuming.iter().filter_map(|consuming| consuming.replier.as_ref());
        let all = producing.iter().flat_map(|producing| producing.publisher.alarms());
        let mut alarms: Vec<Arc<Alarm>> = Vec::new();
        for alarm in all.chain(repliers.flat_map(|replier| replier.alarms())) {
            if !alarms.iter().any(|known| Arc::ptr_eq(known, &alarm)) {
                alarms.push(alarm);
            }
        }
        Self(alarms)
    }

    /// Connections that are blocked now.
    pub fn blocked(&self) -> u32 {
        self.0.iter().filter(|alarm| alarm.is_raised()).count() as u32
    }

    /// How often and for how long they were blocked so far.
    pub fn counters(&self) -> Counters {
        Counters {
            blocked_times: self.0.iter().map(|alarm| alarm.times()).sum(),
            blocked_ns: self.0.iter().map(|alarm| alarm.blocked()).sum::<Duration>().as_nanos() as u64,
            ..Counters::default()
        }
    }

    /// Why the service ended a connection that publishes, if it did. Without confirms no worker would notice it.
    pub fn refusal(&self) -> Option<Fault> {
        self.0.iter().find_map(|alarm| alarm.fault())
    }
}
