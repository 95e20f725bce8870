//! One run, phase by phase, the same on every rank.
//!
//! Between the first and the last collective no rank returns early: a failure is a value that the rank sends. Returning
//! early would leave the others waiting in MPI until their limits.

mod again;
mod alarms;
mod connect;
pub mod control;
pub(crate) mod error;
mod handing;
pub(crate) mod observer;
mod other_end;
pub(crate) mod phase;
mod phases;
pub(crate) mod place;
mod rank;
mod reduce;
mod start;
mod stream;
mod streamed;
mod times;
mod topology;
mod wall_clocks;
mod watch;
pub mod wind_down;
pub(crate) mod workers_thread;

use crate::{
    ports::{Comm, FaultKind, Payloads, Transport},
    result::{
        join::{RunResult, join},
        left::on_the_way,
        reduced::Reduced,
    },
    time::clocks,
    worker::ceiling::OwnCost,
};
use connect::Connected;
use control::Ending;
use error::RunError;
use measure::{Held, Integrity};
use observer::{Observer, Snapshot};
use phase::Phase;
use phases::Phases;
use place::Place;
use profile::Plan;
use rank::{Rank, together};
use std::{sync::Arc, time::Duration};
use workers_thread::WorkersThread;

/// Carries out `plan`. Every rank calls it. Returns the result on rank 0, `None` on the others.
///
/// # Errors
///
/// [`RunError::Failed`] if a step before streaming failed on some ranks, [`RunError::Comm`] if ranks cannot
/// communicate, and [`RunError::RankLost`] if a rank fell silent while streaming. A run that was cut short is not an
/// error: its result has the reason.
pub fn run<C: Comm, T: Transport, P: Payloads, O: Observer>(
    comm: &C,
    plan: &Plan,
    transport: T,
    payloads: P,
    place: &Place,
    observer: &mut O,
) -> Result<Option<RunResult>, RunError> {
    let role = plan.placement.role(comm.rank());
    // A producer that waits for a confirm must receive it without delay.
    let coalesce = if role.producers.is_empty() { plan.service.coalesce } else { Duration::ZERO };
    let thread = together(comm, plan, "starting threads", WorkersThread::start(coalesce))?;
    let rank = Rank { comm, plan, role, thread, transport: Arc::new(transport), payloads: Arc::new(payloads), place };
    let mut phases = Phases::default();

    phases.begin(Phase::Payloads, observer);
    let mut sources = rank.together("building bodies", rank.sources())?;
    phases.begin(Phase::Ceiling, observer);
    let own_cost = rank.own_cost(&mut sources);
    phases.begin(Phase::Connect, observer);
    let rewound = rank.rewind(&mut sources);
    let workers = rank.together("connecting", rewound.and_then(|()| rank.connect(sources)))?;
    phases.begin(Phase::Topology, observer);
    let declared = rank.together("declaring queues", rank.declare());
    let is_declared = declared.is_ok();
    let mut to_delete = plan.limits.connect + plan.limits.broker;
    let result = declared.and_then(|service| {
        service.notes.iter().for_each(|note| observer.note(note));
        let reduced = rank.subscribe_and_stream(workers, own_cost, &mut phases, observer)?;
        Ok(reduced.map(|reduced| {
            if reduced.ending != Ending::Complete {
                // The service itself may have ended the run.
                to_delete = reduced.wind_down.to_delete();
            }
            let result = join(plan, reduced, service, phases.end());
            observer.result(&result);
            result
        }))
    });
    observer.phase(Phase::Close);
    rank.delete(is_declared, to_delete, observer);
    result
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    fn subscribe_and_stream<O: Observer>(
        &self,
        workers: Connected<T, P>,
        own_cost: OwnCost,
        phases: &mut Phases,
        observer: &mut O,
    ) -> Result<Option<Reduced>, RunError> {
        if self.plan.external.as_ref().is_some_and(|external| external.wait.is_some()) {
            phases.begin(Phase::Peers, observer);
            self.meet(observer)?;
        }
        let workers = self.together("subscribing", self.subscribe(workers))?;
        phases.begin(Phase::Clocks, observer);
        let limit = self.plan.limits.collective;
        let clocks = clocks::synchronise(self.comm, self.place.clock, &self.place.boot, limit)?;
        self.check_wall_clocks(clocks.clock)?;
        phases.begin(Phase::Start, observer);
        let times = self.agree_on_times(clocks.clock)?;
        observer.starts(clocks.clock, times.start_ns);
        phases.begin(Phase::Stream, observer);
        let mut streamed = self.stream(workers, &clocks, &times, observer)?;
        if let Some((ending @ Ending::Silent(_), snapshot)) = &streamed.ended {
            // Consumers are still connected, so the count of a queue lacks their unacknowledged deliveries.
            observer.rank_lost(&Snapshot { held: Held::default(), ..snapshot.clone() }, ending);
            return Err(RunError::RankLost(ending.clone()));
        }
        phases.begin(Phase::Finish, observer);
        // All ranks are here before the blocking collectives begin, so that none spins in them.
        self.comm.barrier(limit)?;
        let compared = clocks.again(self.comm, limit)?;
        streamed.settle_one_way(&compared);
        phases.begin(Phase::Reduce, observer);
        let reduced = self.reduce(&mut streamed, &times, own_cost, compared.error)?;
        let held = self.held_by_all(streamed.closed());
        Ok(reduced.map(|reduced| self.settle(reduced, held, streamed.wind_down.to_count())))
    }

    /// Separates lost from undetermined messages, by the number that the service still holds; it has `limit` to reply.
    fn settle(&self, mut reduced: Reduced, held: Held, limit: Duration) -> Reduced {
        let Integrity { lost, replies, .. } = &reduced.integrity;
        let missing = *lost > 0 || replies.as_ref().is_some_and(|replies| replies.lost > 0);
        // What external consumers have left tells what they took.
        let missing = missing || self.plan.placement.consumers == 0;
        if !missing && reduced.ending == Ending::Complete {
            return reduced;
        }
        let shared = self.held(limit);
        let on_the_way = on_the_way(self.plan, &reduced.ending, &reduced.ranks);
        match shared {
            Ok(shared) => reduced.integrity.settle(held.and(shared), on_the_way),
            Err(fault) => {
                reduced.integrity.settle(Held { messages: None, ..held }, on_the_way);
                // A service need not report that a queue was deleted: then this is why nothing moved.
                if matches!(reduced.ending, Ending::Stalled(..)) && fault.kind == FaultKind::Refused {
                    reduced.ending = Ending::Fault(0, fault);
                }
            }
        }
        reduced
    }
}
