//! The other end of the stream where it belongs to programs of others: waiting for it before the run streams, and when it is done.

use crate::{
    ports::{Comm, Fault, FaultKind, Look, Payloads, Transport, Until},
    run::{error::RunError, observer::Observer, rank::Rank},
};
use profile::{External, QueuePlan, RunLength, Side};
use std::{
    sync::mpsc::{Receiver, TryRecvError},
    time::Duration,
};

/// Messages that nobody has taken for so long stay in their queues.
const STILL: Duration = Duration::from_secs(30);

/// A look at queues that goes on.
type Looking = Receiver<Result<Vec<Look>, Fault>>;

/// What the end of the run waits for.
pub(crate) enum OtherEnd<'a> {
    /// Nothing: both ends are the run's own, or what the other one does shows in replies or nowhere.
    Done,
    /// So many deliveries of external producers or, without a number, the end of the window.
    Producers(Option<u64>),
    /// External consumers have taken all messages from the run's queues: how to find out, once everything is sent.
    Consumers(Box<dyn Fn() -> Looking + 'a>),
    /// The same, while it is found out.
    Draining(Looking),
}

impl OtherEnd<'_> {
    /// Whether it is done: `sent_all` by the run's own producers, `received` by its own consumers.
    pub fn is_done(&mut self, sent_all: bool, received: u64, window_is_over: bool) -> bool {
        let done = match self {
            Self::Done => true,
            Self::Producers(Some(deliveries)) => received >= *deliveries,
            Self::Producers(None) => window_is_over,
            Self::Consumers(look) => {
                if sent_all {
                    *self = Self::Draining(look());
                }
                false
            }
            // What is left is counted afterwards, whatever the reply.
            Self::Draining(looked) => !matches!(looked.try_recv(), Err(TryRecvError::Empty)),
        };
        if done {
            *self = Self::Done;
        }
        done
    }
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// What the end of this run waits for.
    pub fn other_end(&self) -> OtherEnd<'_> {
        let plan = self.plan;
        match plan.external.as_ref().map(|external| external.side) {
            None => OtherEnd::Done,
            Some(Side::Producer) => OtherEnd::Producers(match plan.length {
                RunLength::Messages(messages) => Some(messages * u64::from(plan.flow.copies)),
                RunLength::Window(_) => None,
            }),
            Some(Side::Consumer) => {
                let own: Vec<QueuePlan> = plan.shared_queues().filter(|queue| !queue.attached).cloned().collect();
                if plan.flow.replies > 0 || own.is_empty() {
                    return OtherEnd::Done;
                }
                OtherEnd::Consumers(Box::new(move || {
                    let (transport, own) = (self.transport.clone(), own.clone());
                    self.thread.spawn(async move { transport.look(&own, Until::Empty, STILL).await })
                }))
            }
        }
    }

    /// Waits until programs of others are at the other end, if the plan says so; every rank calls it.
    pub fn meet(&self, observer: &mut impl Observer) -> Result<(), RunError> {
        let Some(External { side, wait: Some(wait), .. }) = self.plan.external else { return Ok(()) };
        let met = if self.comm.rank() == 0 { self.wait_for(side, wait, observer) } else { Ok(()) };
        self.together_within("waiting for the other end", met, self.plan.limits.collective + wait)
    }

    fn wait_for(&self, side: Side, wait: Duration, observer: &mut impl Observer) -> Result<(), Fault> {
        let queues: Vec<QueuePlan> = self.plan.shared_queues().cloned().collect();
        let names: Vec<String> = queues.iter().map(|queue| queue.name.clone()).collect();
        observer.awaits(side, &names, wait);
        let until = match side {
            Side::Consumer => Until::Consumed,
            Side::Producer => Until::Filled,
        };
        let limit = wait + self.plan.limits.connect + self.plan.limits.broker;
        let transport = self.transport.clone();
        let looks =
            self.call("looking for the other end", limit, async move { transport.look(&queues, until, wait).await })?;
        if until.holds(&looks) {
            return Ok(());
        }
        let missing = match side {
            Side::Consumer => {
                let idle =
                    looks.iter().zip(&names).filter(|(look, _)| look.consumers == 0).map(|(_, name)| name.as_str());
                format!("no program consumes from {}", idle.collect::<Vec<_>>().join(" and "))
            }
            Side::Producer => format!("no program has sent a message to {}", names.join(" or ")),
        };
        Err(Fault::new(
            FaultKind::Unreachable,
            format!("{missing} after {} s: start it, or give more time with --wait-for-peers", wait.as_secs_f64()),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn external_producers_are_done_after_so_many_messages_or_at_the_end_of_the_window() {
        let mut counted = OtherEnd::Producers(Some(10));
        assert_eq!([9, 10].map(|received| counted.is_done(true, received, false)), [false, true]);
        let mut timed = OtherEnd::Producers(None);
        assert_eq!([false, true].map(|over| timed.is_done(true, 1000, over)), [false, true]);
        assert!(OtherEnd::Done.is_done(false, 0, false));
    }

    #[test]
    fn external_consumers_are_done_once_what_was_sent_is_taken() {
        let (sender, receiver) = mpsc::channel();
        let receiver = std::cell::Cell::new(Some(receiver));
        let mut end = OtherEnd::Consumers(Box::new(move || receiver.take().expect("it looks once")));
        assert!(!end.is_done(false, 0, true), "something may still be sent");
        assert!(!end.is_done(true, 0, true) && !end.is_done(true, 0, true));
        sender.send(Ok(Vec::new())).unwrap();
        assert!(end.is_done(true, 0, true) && end.is_done(true, 0, true));
    }
}
