//! One rank with its ports, plan and workers' thread.

use crate::{
    ports::{Comm, Fault, FaultKind, Payloads, Source, Transport, agree},
    run::{error::RunError, place::Place, workers_thread::WorkersThread},
    worker::ceiling::{self, OwnCost},
};
use profile::{Plan, RankRole};
use std::{sync::Arc, time::Duration};

/// How often a rank tries to measure its own loops.
const CEILING_TRIES: usize = 3;

/// One rank with its ports, plan and workers' thread.
pub(crate) struct Rank<'a, C, T, P> {
    pub comm: &'a C,
    pub plan: &'a Plan,
    pub role: RankRole,
    pub thread: WorkersThread,
    pub transport: Arc<T>,
    pub payloads: Arc<P>,
    pub place: &'a Place,
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Continues only if every rank succeeded.
    pub fn together<V>(&self, step: &'static str, mine: Result<V, Fault>) -> Result<V, RunError> {
        together(self.comm, self.plan, step, mine)
    }

    /// The same for a step that takes some ranks so long.
    pub fn together_within<V>(
        &self,
        step: &'static str,
        mine: Result<V, Fault>,
        limit: Duration,
    ) -> Result<V, RunError> {
        within(self.comm, step, mine, limit)
    }

    /// Runs a future on the workers' thread, at most `limit`.
    pub fn call<V: Send + 'static>(
        &self,
        step: &str,
        limit: Duration,
        future: impl Future<Output = Result<V, Fault>> + Send + 'static,
    ) -> Result<V, Fault> {
        self.thread.call(step, limit, future)
    }

    /// Builds the bodies of this rank's producers.
    pub fn sources(&self) -> Result<Vec<P::Source>, Fault> {
        let source = |index: &u32| self.payloads.source(*index).map_err(|error| Fault::new(FaultKind::Bodies, error));
        self.role.producers.iter().map(source).collect()
    }

    /// Takes sources back to their first messages, after the cost of sending was measured with them.
    pub fn rewind(&self, sources: &mut [P::Source]) -> Result<(), Fault> {
        let rewound = sources.iter_mut().try_for_each(Source::rewind);
        rewound.map_err(|error| Fault::new(FaultKind::Bodies, error))
    }

    /// The CPU cost of this rank's own loops.
    pub fn own_cost(&self, sources: &mut [P::Source]) -> OwnCost {
        let (plan, clock) = (self.plan, self.place.clock);
        // A rank that did not have a core all the time tries again.
        let tries = |measured: &mut dyn FnMut() -> Option<f64>| (0..CEILING_TRIES).find_map(|_| measured());
        OwnCost {
            producer_ns: sources
                .first_mut()
                .and_then(|source| tries(&mut || self.thread.block_on(ceiling::of_producer(plan, source, clock)))),
            consumer_ns: (!self.role.consumers.is_empty())
                .then(|| tries(&mut || self.thread.block_on(ceiling::of_consumer(plan, &self.payloads, clock))))
                .flatten(),
        }
    }
}

/// Continues only if every rank succeeded.
pub(crate) fn together<V>(
    comm: &impl Comm,
    plan: &Plan,
    step: &'static str,
    mine: Result<V, Fault>,
) -> Result<V, RunError> {
    within(comm, step, mine, plan.limits.collective)
}

fn within<V>(comm: &impl Comm, step: &'static str, mine: Result<V, Fault>, limit: Duration) -> Result<V, RunError> {
    let (value, failure) = match mine {
        Ok(value) => (Some(value), Ok(())),
        Err(fault) => (None, Err(fault)),
    };
    match (agree(comm, failure, limit)?, value) {
        (Ok(()), Some(value)) => Ok(value),
        (Ok(()), None) => unreachable!("a rank's own failure is among those agreed on"),
        (Err(failures), _) => Err(RunError::Failed { step, failures }),
    }
}
