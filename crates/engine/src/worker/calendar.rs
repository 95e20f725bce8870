//! When the messages of one producer are due, when there are no more, and how late they are sent.

use crate::time::{clock::Clock, schedule::Schedule, window::Window};
use measure::{Histograms, LiveCounters, Metric};
use std::sync::Arc;

/// A message that is sent later than this counts as catching up after a stall; less is a timer's error.
const OVERDUE_NS: u64 = 1_000_000;

/// A limit on how fast a sender catches up after a stall. Due times never move, so it stays late for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catchup {
    /// Overdue messages that it sends without a pause.
    pub limit: u64,
    /// How long it pauses after them.
    pub rest_ns: u64,
}

/// The next step of a producer's schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upcoming {
    /// A message is due since this time; 0 without a schedule.
    Now(u64),
    /// No message before this instant.
    At(u64),
    /// No more messages.
    Over,
}

/// When a producer's messages are due, and when there are no more.
pub(crate) struct Calendar {
    /// How many messages it sends at most.
    pub quota: Option<u64>,
    /// When it starts, in common time.
    pub start_ns: u64,
    /// When it is measured, and when it stops.
    pub window: Arc<Window>,
    pub clock: Clock,
    /// `None` if it sends as fast as it may.
    pub schedule: Option<Schedule>,
    /// How it catches up after a stall; `None`: at once.
    pub catchup: Option<Catchup>,
    /// Until when the sender pauses although more is overdue.
    pub not_before_ns: u64,
    /// How late messages were sent so far.
    pub lateness: Lateness,
}

impl Calendar {
    /// The next step after `sent` messages.
    pub fn upcoming(&self, sent: u64) -> Upcoming {
        let stop_ns = self.window.stop_ns();
        if self.quota.is_some_and(|quota| sent >= quota) {
            return Upcoming::Over;
        }
        let Some(schedule) = &self.schedule else {
            // The clock is read only if something depends on it.
            let over = stop_ns != u64::MAX && self.clock.now_ns() >= stop_ns;
            return if over { Upcoming::Over } else { Upcoming::Now(0) };
        };
        let Some(due_ns) = schedule.due_ns().map(|due_ns| self.start_ns + due_ns) else { return Upcoming::Over };
        let now_ns = self.clock.now_ns();
        if due_ns.max(now_ns) >= stop_ns {
            Upcoming::Over
        } else if now_ns < self.not_before_ns && due_ns < self.not_before_ns {
            Upcoming::At(self.not_before_ns.min(stop_ns))
        } else if due_ns <= now_ns {
            Upcoming::Now(due_ns)
        } else {
            Upcoming::At(due_ns)
        }
    }

    /// Moves on to the next message.
    pub fn advance(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
    }

    /// Whether messages are due by a schedule.
    pub fn is_paced(&self) -> bool {
        self.schedule.is_some()
    }

    /// Records a message that was due at `due_ns` and sent for the first time at `sent_ns`.
    pub fn note(&mut self, due_ns: u64, sent_ns: u64, counts: &LiveCounters, histograms: &mut Histograms) {
        if !self.is_paced() {
            return;
        }
        self.lateness.note(due_ns, sent_ns, &self.window, counts, histograms);
        if let Some(Catchup { limit, rest_ns }) = self.catchup
            && self.lateness.run > 0
            && self.lateness.run.is_multiple_of(limit)
        {
            self.not_before_ns = sent_ns + rest_ns;
        }
    }

    /// Counts the messages that were due and never sent: a producer that stops while messages are overdue did not offer
    /// the configured load.
    pub fn close(&self, counts: &LiveCounters) {
        let Some(schedule) = &self.schedule else { return };
        let (sent, now_ns) = (counts.sent.get(), self.clock.now_ns());
        let unsent = schedule.due_ns().filter(|_| self.quota.is_none_or(|quota| sent < quota));
        if let Some(due_ns) = unsent {
            let since_ns = self.lateness.free_ns.max(self.start_ns + due_ns);
            counts.late_ns.add(now_ns.min(self.window.stop_ns()).saturating_sub(since_ns));
        }
        let left = |at_ns: u64| schedule.left_before(at_ns.min(now_ns).saturating_sub(self.start_ns));
        let missing = self.quota.map(|quota| quota - sent);
        let bounded = |left: u64| missing.map_or(left, |missing| missing.min(left));
        let (start_ns, end_ns) = (self.window.start_ns(), self.window.end_ns());
        counts.unsent.add(bounded(left(self.window.stop_ns())));
        counts.in_window_due.add(bounded(left(end_ns) - left(start_ns.min(end_ns))));
    }
}

/// How a sender keeps its schedule.
#[derive(Debug, Default)]
pub(crate) struct Lateness {
    /// When the last message was sent: the next one could not be sent earlier.
    free_ns: u64,
    /// Overdue messages sent since the last one that was in time.
    run: u64,
    /// The most of them.
    pub run_max: u64,
}

impl Lateness {
    /// A sender that may send from `start_ns` on.
    pub fn from(start_ns: u64) -> Self {
        Self { free_ns: start_ns, ..Self::default() }
    }

    fn note(&mut self, due_ns: u64, sent_ns: u64, window: &Window, counts: &LiveCounters, histograms: &mut Histograms) {
        let lag_ns = sent_ns.saturating_sub(due_ns);
        counts.late_ns.add(sent_ns.saturating_sub(due_ns.max(self.free_ns)));
        self.free_ns = sent_ns;
        if lag_ns > OVERDUE_NS {
            counts.catchup_messages.add(1);
            self.run += 1;
            self.run_max = self.run_max.max(self.run);
        } else {
            self.run = 0;
        }
        if window.contains(due_ns) {
            histograms.record(Metric::ScheduleLag, lag_ns);
            counts.in_window_due.add(1);
            counts.in_window_in_time.add(u64::from(sent_ns < window.end_ns()));
        }
    }
}
