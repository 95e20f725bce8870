//! A queue: which messages it takes in, and which consumer gets the next one.

use crate::cargo::Slot;
use profile::{Overflow, QueuePlan};
use std::collections::VecDeque;

/// A queue's state.
#[derive(Debug)]
pub struct Queue {
    max_length: u64,
    max_bytes: u64,
    overflow: Overflow,
    body_bytes: u64,
    ready: VecDeque<Slot>,
    /// Consumers with room for a delivery, in turn.
    willing: VecDeque<u32>,
    /// Most messages that were ready.
    pub ready_max: u64,
}

/// What a queue does with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Takes it in.
    In,
    /// Takes it in, and drops its oldest.
    Instead(Slot),
    /// Rejects it.
    Rejected,
}

impl Queue {
    /// A queue for bodies of this size.
    pub fn new(plan: &QueuePlan, body_bytes: u64) -> Self {
        Self {
            max_length: plan.max_length.unwrap_or(u64::MAX),
            max_bytes: plan.max_bytes.unwrap_or(u64::MAX),
            overflow: plan.overflow,
            body_bytes,
            ready: VecDeque::new(),
            willing: VecDeque::new(),
            ready_max: 0,
        }
    }

    /// A message arrives.
    pub fn take(&mut self, slot: Slot) -> Taken {
        let ready = self.ready.len() as u64;
        // A message that can be delivered at once is never ready.
        let full = self.willing.is_empty()
            && (ready >= self.max_length || (ready + 1).saturating_mul(self.body_bytes) > self.max_bytes);
        if full && self.overflow == Overflow::RejectPublish {
            return Taken::Rejected;
        }
        self.ready.push_back(slot);
        let taken = match full {
            true => Taken::Instead(self.ready.pop_front().expect("one was just added")),
            false => Taken::In,
        };
        self.ready_max = self.ready_max.max(self.ready.len() as u64);
        taken
    }

    /// A consumer has room.
    pub fn is_willing(&mut self, consumer: u32) {
        self.willing.push_back(consumer);
    }

    /// The next delivery, if there is one.
    pub fn next(&mut self) -> Option<(Slot, u32)> {
        if self.ready.is_empty() || self.willing.is_empty() {
            return None;
        }
        Some((self.ready.pop_front()?, self.willing.pop_front()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{LeaderLocator, QueueType};

    fn queue(overflow: Overflow) -> Queue {
        let plan = QueuePlan {
            name: "work.0".to_owned(),
            kind: QueueType::Classic,
            durable: false,
            exclusive: false,
            max_length: Some(2),
            max_bytes: None,
            overflow,
            ttl: None,
            leader: LeaderLocator::Server,
            expires: None,
            binding: None,
            attached: false,
        };
        Queue::new(&plan, 100)
    }

    #[test]
    fn a_full_queue_rejects_or_drops_its_oldest_and_consumers_take_turns() {
        let mut rejects = queue(Overflow::RejectPublish);
        assert_eq!([1, 2, 3].map(|slot| rejects.take(slot)), [Taken::In, Taken::In, Taken::Rejected]);
        let mut drops = queue(Overflow::DropHead);
        assert_eq!([1, 2, 3].map(|slot| drops.take(slot)), [Taken::In, Taken::In, Taken::Instead(1)]);
        drops.is_willing(7);
        drops.is_willing(8);
        assert_eq!([drops.next(), drops.next(), drops.next()], [Some((2, 7)), Some((3, 8)), None]);
    }
}
