//! A consumer: how it works on deliveries, and when it acknowledges them.

use crate::{cargo::Slot, draws::Draws};
use measure::ConsumerSpan;
use profile::{Acks, Delay, Plan};
use std::collections::VecDeque;

/// Separates service times from all other draws.
const SERVICE: u64 = 2;

/// A consumer's state.
#[derive(Debug)]
pub struct Consumer {
    acks: Acks,
    /// Unacknowledged deliveries that it may have.
    limit: u32,
    work: Option<(Delay, Draws)>,
    inbox: VecDeque<Slot>,
    unacknowledged: u32,
    done: u32,
    /// Batches of acknowledgements so far, by which a time to send one is known to be out of date.
    batches: u32,
    /// Whether its queue has it in the list of the willing.
    pub listed: bool,
    /// Deliveries.
    pub received: u64,
    /// Its busy span inside the window.
    pub span: ConsumerSpan,
}

impl Consumer {
    /// Consumer `index` of a plan.
    pub fn new(plan: &Plan, index: u32) -> Self {
        let service = &plan.service;
        let limits =
            [service.prefetch, service.prefetch_channel].map(|limit| if limit == 0 { u32::MAX } else { limit.into() });
        Self {
            acks: service.acks,
            limit: if service.acks == Acks::Auto { u32::MAX } else { limits[0].min(limits[1]) },
            work: plan.service_time.map(|delay| (delay, Draws::new(plan.seed, SERVICE, index))),
            inbox: VecDeque::new(),
            unacknowledged: 0,
            done: 0,
            batches: 0,
            listed: false,
            received: 0,
            span: ConsumerSpan::default(),
        }
    }

    /// Whether its queue may send it one more.
    pub fn has_room(&self) -> bool {
        self.unacknowledged < self.limit
    }

    /// Its queue sends it one.
    pub fn sent(&mut self) {
        self.unacknowledged = self.unacknowledged.saturating_add(u32::from(self.acks != Acks::Auto));
    }

    /// Its queue learns of so many acknowledgements.
    pub fn acknowledged(&mut self, count: u32) {
        self.unacknowledged -= count;
    }

    /// A delivery arrives; `Some` if it begins to work on it, for so long.
    pub fn receive(&mut self, slot: Slot) -> Option<u64> {
        self.received += 1;
        self.inbox.push_back(slot);
        if self.inbox.len() == 1 { Some(self.work_ns()) } else { None }
    }

    /// It has worked on a delivery: which, and how long it works on the next, if there is one.
    pub fn worked(&mut self) -> (Slot, Option<u64>) {
        let slot = self.inbox.pop_front().expect("it worked on a delivery");
        let next_ns = (!self.inbox.is_empty()).then(|| self.work_ns());
        self.done += 1;
        (slot, next_ns)
    }

    /// Acknowledgements to send now.
    pub fn acknowledge(&mut self) -> Option<u32> {
        let needed = match self.acks {
            Acks::Auto => return None,
            Acks::Each => 1,
            Acks::Multiple(count) => count.get(),
        };
        (self.done >= needed).then(|| self.flush()).flatten()
    }

    /// The number of the batch that begins to wait for more, if one does.
    pub fn begins_to_wait(&self) -> Option<u32> {
        (self.done == 1 && matches!(self.acks, Acks::Multiple(_))).then_some(self.batches)
    }

    /// What has waited long enough: the batch of that number, if it was not sent meanwhile.
    pub fn overdue(&mut self, batch: u32) -> Option<u32> {
        if self.batches == batch { self.flush() } else { None }
    }

    fn flush(&mut self) -> Option<u32> {
        self.batches += 1;
        let done = std::mem::take(&mut self.done);
        (done > 0).then_some(done)
    }

    fn work_ns(&mut self) -> u64 {
        self.work.as_mut().map_or(0, |(delay, draws)| draws.delay_ns(*delay))
    }
}
