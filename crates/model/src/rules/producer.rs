//! A producer: when it publishes next.

use crate::{
    cargo::Slot,
    draws::{Draws, Schedule},
};
use profile::{Confirms, Delay, Plan};
use std::collections::VecDeque;

/// Separates think times from all other draws.
const THINK: u64 = 1;
/// The pause after a rejection; each further one doubles it, up to the maximum.
const PAUSE_MIN_NS: u64 = 1_000_000;
const PAUSE_MAX_NS: u64 = 100_000_000;

/// A producer's state.
#[derive(Debug)]
pub struct Producer {
    confirms: Confirms,
    in_flight: u32,
    republish_limit: u32,
    quota: Option<u64>,
    schedule: Option<Schedule>,
    think: Option<(Delay, Draws)>,
    /// Messages sent for the first time.
    pub sent: u64,
    /// Messages accepted.
    pub confirmed: u64,
    /// Rejections.
    pub rejected: u64,
    /// Messages given up.
    pub abandoned: u64,
    /// Messages that are published again.
    pub republished: u64,
    writing: u32,
    unsettled: u32,
    allowance: u32,
    again: VecDeque<Slot>,
    not_before_ns: u64,
    pause_ns: u64,
    /// When it is woken next, if it is.
    rings_ns: Option<u64>,
    /// Time in which it had a message that was overdue, and the part of it in which confirms or the socket held it back.
    pub late_ns: u64,
    /// Of that, held back.
    pub held_ns: u64,
    /// When it sent the last message.
    free_ns: u64,
    /// Since when it is held back.
    held_from_ns: Option<u64>,
    /// Confirms that wait at its node, and whether others are on their way to the writer.
    pub pending: Vec<Slot>,
    /// Whether confirms are on their way to the writer.
    pub confirming: bool,
}

/// What a producer does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Publishes a new message that is due since then.
    New(u64),
    /// Publishes a rejected message again.
    Again(Slot),
    /// Waits for this time.
    At(u64),
    /// Waits for something else, or is done.
    Nothing,
}

impl Producer {
    /// Producer `index` of a plan.
    pub fn new(plan: &Plan, index: u32) -> Self {
        Self {
            confirms: plan.service.confirms,
            in_flight: plan.service.in_flight,
            republish_limit: plan.service.republish_limit,
            quota: plan.messages_of(index),
            schedule: Schedule::new(&plan.load, plan.seed, index, plan.placement.producers),
            think: plan.think_time.map(|delay| (delay, Draws::new(plan.seed, THINK, index))),
            sent: 0,
            confirmed: 0,
            rejected: 0,
            abandoned: 0,
            republished: 0,
            writing: 0,
            unsettled: 0,
            allowance: 0,
            again: VecDeque::new(),
            not_before_ns: 0,
            pause_ns: PAUSE_MIN_NS,
            rings_ns: None,
            late_ns: 0,
            held_ns: 0,
            free_ns: 0,
            held_from_ns: None,
            pending: Vec::new(),
            confirming: false,
        }
    }

    /// What it does now; nothing is new from `stop_ns` on.
    pub fn next(&mut self, now_ns: u64, stop_ns: u64) -> Next {
        if self.unsettled == 0 {
            self.allowance = match self.confirms {
                Confirms::Each => 1,
                Confirms::Batch(messages) => messages.get(),
                Confirms::None | Confirms::Window(_) => u32::MAX,
            };
        }
        let room = match self.confirms {
            Confirms::Window(messages) => self.unsettled < messages.get(),
            _ => self.allowance > 0,
        };
        if self.writing >= self.in_flight || !room {
            self.held_from_ns.get_or_insert(now_ns);
            return Next::Nothing;
        }
        if self.not_before_ns > now_ns {
            return Next::At(self.not_before_ns);
        }
        if let Some(slot) = self.again.pop_front() {
            return Next::Again(slot);
        }
        if self.quota.is_some_and(|quota| self.sent >= quota) || now_ns >= stop_ns {
            return Next::Nothing;
        }
        match &self.schedule {
            None => Next::New(now_ns),
            Some(schedule) => match schedule.due_ns {
                Some(due_ns) if due_ns >= stop_ns => Next::Nothing,
                Some(due_ns) if due_ns > now_ns => Next::At(due_ns),
                Some(due_ns) => Next::New(due_ns),
                None => Next::Nothing,
            },
        }
    }

    /// Has published, for the first time or again.
    pub fn published(&mut self, now_ns: u64, first: bool) {
        self.writing += 1;
        self.unsettled += 1;
        self.allowance = self.allowance.saturating_sub(1);
        if first {
            self.sent += 1;
            self.note(now_ns);
            if let Some(schedule) = &mut self.schedule {
                schedule.advance();
            }
        } else {
            self.republished += 1;
        }
        if let Some((delay, draws)) = &mut self.think {
            self.not_before_ns = now_ns + draws.delay_ns(*delay);
        }
    }

    /// Counts for how long the next message was overdue, and held back.
    fn note(&mut self, now_ns: u64) {
        if let Some(due_ns) = self.schedule.as_ref().and_then(|schedule| schedule.due_ns) {
            self.late_ns += now_ns.saturating_sub(due_ns.max(self.free_ns));
            let held_ns = self.held_from_ns.map_or(0, |from_ns| now_ns.saturating_sub(from_ns.max(due_ns)));
            self.held_ns += held_ns;
        }
        self.free_ns = now_ns;
        self.held_from_ns = None;
    }

    /// When each message was due that it did not send before `end_ns`, and the lateness of the first of them.
    pub fn close(&mut self, end_ns: u64) -> Vec<u64> {
        let mut unsent = Vec::new();
        let mut left = self.quota.map_or(u64::MAX, |quota| quota - self.sent);
        if left > 0 {
            self.note(end_ns);
        }
        while let Some(schedule) = &mut self.schedule
            && let Some(due_ns) = schedule.due_ns.filter(|due_ns| *due_ns < end_ns && left > 0)
        {
            unsent.push(due_ns);
            left -= 1;
            schedule.advance();
        }
        unsent
    }

    /// A publish has been written.
    pub fn written(&mut self) {
        self.writing -= 1;
        if self.confirms == Confirms::None {
            self.unsettled -= 1;
        }
    }

    /// A message is confirmed.
    pub fn accepted(&mut self) {
        self.unsettled -= 1;
        self.confirmed += 1;
        self.pause_ns = PAUSE_MIN_NS;
    }

    /// A message is rejected after `republished` publishes of it more than one; whether it is published again.
    pub fn refused(&mut self, now_ns: u64, slot: Slot, republished: u32) -> bool {
        self.unsettled -= 1;
        self.rejected += 1;
        if republished >= self.republish_limit {
            self.abandoned += 1;
            return false;
        }
        self.again.push_back(slot);
        self.not_before_ns = self.not_before_ns.max(now_ns + self.pause_ns);
        self.pause_ns = (self.pause_ns * 2).min(PAUSE_MAX_NS);
        true
    }

    /// How long from now on it has to be woken; `None` if it will be in time.
    pub fn wake(&mut self, now_ns: u64, at_ns: u64) -> Option<u64> {
        let woken = self.rings_ns.is_some_and(|rings_ns| rings_ns >= now_ns && rings_ns <= at_ns);
        if woken {
            return None;
        }
        self.rings_ns = Some(at_ns);
        Some(at_ns - now_ns)
    }

    /// It was woken.
    pub fn woken(&mut self, now_ns: u64) {
        if self.rings_ns == Some(now_ns) {
            self.rings_ns = None;
        }
    }
}
