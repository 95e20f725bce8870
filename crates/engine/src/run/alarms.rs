//! The alarms of a rank's connections: whether the service holds them back, and why it ended one.

use crate::{
    ports::{Alarm, Fault, Payloads, Publisher, Transport},
    run::{
        connect::{Consuming, Producing},
        control::Alarms,
    },
};
use std::sync::Arc;

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

    /// Their sums so far.
    pub fn sums(&self) -> Alarms {
        Alarms {
            raised: self.0.iter().filter(|alarm| alarm.is_raised()).count() as u32,
            times: self.0.iter().map(|alarm| alarm.times()).sum(),
            blocked: self.0.iter().map(|alarm| alarm.blocked()).sum(),
        }
    }

    /// Why the service ended a connection that publishes, if it did. Without confirms no worker would notice it.
    pub fn refusal(&self) -> Option<Fault> {
        self.0.iter().find_map(|alarm| alarm.fault())
    }
}
