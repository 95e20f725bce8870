//! Exchanges and queues that belong to no worker: rank 0 declares them, counts their messages, and deletes
//! them.

use crate::{
    ports::{Comm, Fault, Payloads, Service, Transport, Undeleted},
    result::left::left_behind,
    run::{observer::Observer, rank::Rank},
};
use measure::Held;
use profile::{Exchange, QueuePlan, QueueType};
use std::time::Duration;

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Declares them, on rank 0.
    pub fn declare(&self) -> Result<Service, Fault> {
        if self.comm.rank() != 0 {
            return Ok(Service::default());
        }
        let (transport, (exchanges, queues)) = (self.transport.clone(), self.shared());
        let limit = self.plan.limits.connect + self.plan.limits.broker;
        self.call("declaring queues", limit, async move { transport.declare(&exchanges, &queues).await })
    }

    /// Deletes exchanges and queues. If the service is unreachable, they are reported as left behind only if they were
    /// declared.
    pub fn delete(&self, is_declared: bool, limit: Duration, observer: &mut impl Observer) {
        let (mut exchanges, mut queues) = self.shared();
        // What exists already stays.
        exchanges.retain(|exchange| !exchange.attached);
        queues.retain(|queue| !queue.attached);
        // Under a name that others may use, what was refused may be theirs.
        let may_be_theirs = !is_declared && self.plan.service.names.is_some();
        if may_be_theirs || self.comm.rank() != 0 || exchanges.is_empty() && queues.is_empty() {
            return;
        }
        let names = exchanges.iter().map(|exchange| &exchange.name).chain(queues.iter().map(|queue| &queue.name));
        let names: Vec<String> = names.cloned().collect();
        let transport = self.transport.clone();
        let deleting = async move { transport.delete(&exchanges, &queues).await };
        let undeleted = match self.thread.call("deleting queues", limit, deleting) {
            Ok(undeleted) => undeleted,
            Err(fault) if is_declared => {
                names.into_iter().map(|name| Undeleted { name, fault: fault.clone() }).collect()
            }
            Err(_) => return,
        };
        let left = left_behind(self.plan, &undeleted);
        if let Some(Undeleted { fault, .. }) = undeleted.first().filter(|_| !left.is_empty()) {
            observer.left_behind(left, fault);
        }
    }

    /// The exchanges and queues that belong to no worker.
    fn shared(&self) -> (Vec<Exchange>, Vec<QueuePlan>) {
        (self.plan.service.exchanges.clone(), self.plan.shared_queues().cloned().collect())
    }

    /// The number of messages that the queues of single connections still held, summed over all ranks; on rank 0 only.
    /// All connections are closed by then, and unacknowledged deliveries are back in the shared queues.
    pub fn held_by_all(&self, mine: Held) -> Held {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(mine, config).expect("numbers encode");
        // A rank that is lost now does not change the measurement.
        let all = self.comm.gather(&bytes, self.plan.limits.collective).unwrap_or_default();
        let decoded = all.iter().map(|bytes| bincode::serde::decode_from_slice(bytes, config));
        let decoded = decoded.map(|decoded| decoded.expect("ranks run the same binary").0);
        decoded.reduce(Held::and).unwrap_or_default()
    }

    /// The number of messages that the shared queues still hold, as the service reports now. For a stream it is
    /// unknown, because a stream keeps read messages.
    pub fn held(&self, limit: Duration) -> Result<Held, Fault> {
        let (_, queues) = self.shared();
        if queues.iter().any(|queue| queue.kind == QueueType::Stream) {
            return Ok(Held { messages: None, ..Held::NOTHING });
        }
        if queues.is_empty() {
            return Ok(Held::NOTHING);
        }
        let transport = self.transport.clone();
        let held = self.thread.call("counting what is left", limit, async move { transport.held(&queues).await })?;
        Ok(Held { messages: Some(held), ..Held::NOTHING })
    }
}
