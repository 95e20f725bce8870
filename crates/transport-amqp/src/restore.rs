//! What a worker that connects again declares anew: the service may have lost it with a node or with a connection.

use crate::{link::Link, support, topology};
use engine::ports::Fault;
use profile::{Exchange, QueuePlan};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The exchanges of a run, and what its workers have learned about the service's queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct Restore {
    exchanges: Arc<[Exchange]>,
    /// Whether the service refuses transient queues that are shared: then they were declared durable.
    refuses_transient: Arc<AtomicBool>,
}

impl Restore {
    /// For a run with these exchanges.
    pub(crate) fn of(exchanges: &[Exchange]) -> Self {
        Self { exchanges: exchanges.into(), refuses_transient: Arc::default() }
    }

    /// Declares an exchange, which ended with the last queue that was bound to it. One that exists stays as it is.
    pub(crate) async fn exchange(&self, link: &Link, name: &str) -> Result<(), Fault> {
        match self.exchanges.iter().find(|exchange| exchange.name == name) {
            Some(exchange) => topology::declare_exchange(link, exchange).await,
            None => Ok(()),
        }
    }

    /// Declares a queue and the exchange that it is bound to. A queue that exists stays as it is.
    pub(crate) async fn queue(&self, link: &Link, queue: &QueuePlan) -> Result<(), Fault> {
        if let Some(binding) = &queue.binding {
            self.exchange(link, &binding.exchange).await?;
        }
        let durable = queue.durable || (!queue.exclusive && self.refuses_transient.load(Ordering::Relaxed));
        let declared = topology::declare_queue(link, &QueuePlan { durable, ..queue.clone() }).await;
        if declared.as_ref().is_err_and(support::refuses_transient) {
            // The refusal ended the connection: the next one declares it durable.
            self.refuses_transient.store(true, Ordering::Relaxed);
        }
        declared
    }
}

/// Whether a fault says that a queue does not exist, rather than that its node is down.
pub(crate) fn is_gone(fault: &Fault) -> bool {
    fault.sentence.contains("NOT_FOUND - no queue")
}
