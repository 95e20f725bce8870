//! What a run would have measured: latencies by due time, rates by delivery, as the harness takes them.

use measure::{Counters, Histograms, Metric, Pacing, Volume};
use profile::{Plan, RunLength};

/// A message under way.
#[derive(Debug, Clone, Copy, Default)]
pub struct Message {
    /// Its producer.
    pub producer: u32,
    /// The queue that it goes to; `None`: all.
    pub queue: Option<u32>,
    /// When it was due.
    pub due_ns: u64,
    /// When its first publish began.
    pub sent_ns: u64,
    /// When its first publish returned, once it has.
    pub written_ns: Option<u64>,
    /// How often it was published again.
    pub republished: u32,
    /// Queues that have not taken it in yet.
    pub queues_left: u32,
    /// Whether a queue has rejected it.
    pub is_rejected: bool,
    /// Replies that have not come yet.
    pub replies_left: u32,
    /// What still has to happen to it before it can be forgotten.
    pub open: u32,
}

/// The measured window and what happens in it.
#[derive(Debug)]
pub struct Tally {
    length: RunLength,
    /// Begin and end, once they are known.
    window: Option<(u64, u64)>,
    /// When producers stop.
    pub stop_ns: u64,
    is_paced: bool,
    /// Latencies inside it.
    pub histograms: Histograms,
    /// Messages delivered inside it.
    pub inside: u64,
    /// Messages delivered.
    pub delivered: u64,
    /// Replies that came.
    pub replies: u64,
    /// First publish.
    pub first_sent_ns: Option<u64>,
    /// Last delivery or reply.
    pub last_ns: u64,
    /// How the schedule was kept, if there is one.
    pub kept: Counters,
}

impl Tally {
    /// An empty one.
    pub fn new(plan: &Plan) -> Self {
        let (window, stop_ns) = match plan.length {
            RunLength::Messages(_) => (Some((0, u64::MAX)), u64::MAX),
            RunLength::Window(_) => (None, u64::MAX),
        };
        Self {
            length: plan.length,
            window,
            stop_ns,
            is_paced: plan.load.is_paced(),
            histograms: Histograms::new(),
            inside: 0,
            delivered: 0,
            replies: 0,
            first_sent_ns: None,
            last_ns: 0,
            kept: Counters::default(),
        }
    }

    /// Begins the window if it is time; returns when to look again, if it has to be looked.
    pub fn look(&mut self, now_ns: u64) -> Option<u64> {
        let RunLength::Window(window) = self.length else { return None };
        if self.window.is_some() {
            return None;
        }
        let warm = now_ns >= window.warmup_ns && self.delivered >= window.warmup_messages;
        let limit_ns = window.warmup_limit_ns.max(window.warmup_ns);
        if warm || now_ns >= limit_ns {
            self.window = Some((now_ns, now_ns + window.window_ns));
            self.stop_ns = now_ns + window.window_ns + window.cooldown_ns;
            return None;
        }
        Some(if now_ns < window.warmup_ns { window.warmup_ns } else { limit_ns })
    }

    /// The window; the whole run if it has a number of messages.
    pub fn window(&self) -> Option<(u64, u64)> {
        self.window
    }

    fn is_inside(&self, at_ns: u64) -> bool {
        self.window.is_some_and(|(from_ns, to_ns)| (from_ns..to_ns).contains(&at_ns))
    }

    /// A message is published for the first time.
    pub fn sent(&mut self, message: &Message) {
        self.first_sent_ns.get_or_insert(message.sent_ns);
        if self.is_paced && self.is_inside(message.due_ns) {
            self.histograms.record(Metric::ScheduleLag, message.sent_ns - message.due_ns);
            self.kept.in_window_due += 1;
            self.kept.in_window_in_time += u64::from(self.is_inside(message.sent_ns));
        }
    }

    /// A message that was due at `due_ns` is never sent.
    pub fn unsent(&mut self, due_ns: u64) {
        self.kept.unsent += 1;
        self.kept.in_window_due += u64::from(self.is_inside(due_ns));
    }

    /// How the schedule was kept; `None` without one.
    pub fn pacing(&self, producers: u32) -> Option<Pacing> {
        let summary = |metric| self.histograms.get(metric).map(|histogram| histogram.summary());
        let response = summary(Metric::RttFromDue).or_else(|| summary(Metric::ConfirmFromDue));
        let lag = summary(Metric::ScheduleLag).unwrap_or_default();
        let response_ns = response.and_then(|response| response.p50_ns).unwrap_or_default();
        self.is_paced.then(|| Pacing::judge(&lag, response_ns, &self.kept, producers))
    }

    /// A message is confirmed.
    pub fn confirmed(&mut self, message: &Message, now_ns: u64) {
        if self.is_inside(message.due_ns) {
            self.histograms.record(Metric::Confirm, now_ns - message.sent_ns);
            if self.is_paced {
                self.histograms.record(Metric::ConfirmFromDue, now_ns - message.due_ns);
            }
        }
    }

    /// A message is delivered; whether inside the window.
    pub fn delivered(&mut self, message: &Message, now_ns: u64) -> bool {
        self.delivered += 1;
        self.last_ns = now_ns;
        if self.is_inside(message.due_ns) {
            self.histograms.record(Metric::OneWay, now_ns - message.sent_ns);
        }
        let inside = self.is_inside(now_ns);
        self.inside += u64::from(inside);
        inside
    }

    /// A reply arrives, perhaps the last one.
    pub fn replied(&mut self, message: &Message, now_ns: u64, gathers: bool) {
        self.replies += 1;
        self.last_ns = now_ns;
        if !self.is_inside(message.due_ns) {
            return;
        }
        self.histograms.record(Metric::RttFromDue, now_ns - message.due_ns);
        self.histograms.record(Metric::Service, now_ns - message.sent_ns);
        let returned_ns = message.written_ns.unwrap_or(now_ns);
        self.histograms.record(Metric::RttFromSent, now_ns.saturating_sub(returned_ns));
        if gathers && message.replies_left == 0 {
            self.histograms.record(Metric::Gather, now_ns - message.due_ns);
        }
    }
}

/// So many messages of a plan, with their mean size and events.
pub fn volume(plan: &Plan, messages: u64) -> Volume {
    let of = |mean: f64| (messages as f64 * mean).round() as u64;
    Volume { messages, bytes: of(plan.message.mean_body_bytes()), events: of(plan.message.events.mean()) }
}
