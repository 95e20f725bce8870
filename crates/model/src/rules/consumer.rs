//! A consumer: how it takes one delivery after the other, when it acknowledges them, and what its replies wait for.

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
    /// Deliveries that it has not taken.
    inbox: VecDeque<Slot>,
    /// The one that it has taken, until it has replied.
    taken: Option<Slot>,
    /// Whether the reply to that one waits for others to be written.
    reply_waits: bool,
    /// Replies that may be on their way to the network, and those that are.
    replies: u32,
    writing: u32,
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
            taken: None,
            reply_waits: false,
            replies: service.reply_in_flight,
            writing: 0,
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

    /// A delivery arrives.
    pub fn receive(&mut self, slot: Slot) {
        self.inbox.push_back(slot);
    }

    /// The delivery that it takes now, and for how long it works on it; `None` while it has none or is not done with the last one.
    pub fn take(&mut self) -> Option<(Slot, u64)> {
        if self.taken.is_some() {
            return None;
        }
        self.taken = Some(self.inbox.pop_front()?);
        self.received += 1;
        Some((self.taken?, self.work_ns()))
    }

    /// It has worked on the delivery that it has taken.
    pub fn worked(&mut self) {
        self.done += 1;
    }

    /// It is done with the delivery that it has taken, which is returned; without one, if a reply has to wait first.
    pub fn done_with(&mut self, replies: bool) -> Option<Slot> {
        self.reply_waits = replies && self.writing >= self.replies;
        if self.reply_waits {
            return None;
        }
        self.writing += u32::from(replies);
        self.taken.take()
    }

    /// A reply has been written; whether another one has waited for that.
    pub fn reply_written(&mut self) -> bool {
        self.writing -= 1;
        self.reply_waits
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

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, combine};

    #[test]
    fn a_consumer_takes_nothing_while_its_reply_waits_for_others_to_be_written() {
        let text = "pattern = 'work-sharing-feedback'\nworkload = 'dstream'\nmessages = 8\n[service]\nin_flight = 2";
        let layer = Layer::parse(Origin::CommandLine, text).unwrap();
        let profile = combine(&[layer], |_| unreachable!("it needs no files")).unwrap();
        let mut consumer = Consumer::new(&Plan::resolve(&profile, 2, 1).unwrap(), 0);
        (0..4).for_each(|slot| consumer.receive(slot));
        let reply = |consumer: &mut Consumer| {
            consumer.take();
            consumer.done_with(true)
        };
        assert_eq!([reply(&mut consumer), reply(&mut consumer), reply(&mut consumer)], [Some(0), Some(1), None]);
        assert_eq!((consumer.take(), consumer.received), (None, 3));
        assert!(consumer.reply_written());
        assert_eq!(consumer.done_with(true), Some(2));
        assert!(!consumer.reply_written());
    }
}
