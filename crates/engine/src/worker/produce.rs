//! A producer: publishes its messages in order, keeps the network busy, settles every message.

use crate::{
    envelope::{Envelope, SealKey},
    ports::{Counts, Fault, FaultKind, Outcome, Outgoing, Publisher, Source},
    time::{
        clock::{Clock, sleep_until},
        delay::Delays,
        pace::Pace,
        schedule::Schedule,
        window::Window,
    },
    worker::{
        TURNS_BEFORE_YIELD,
        calendar::{Calendar, Catchup, Lateness, Upcoming},
        collect::PublishReturned,
        in_flight::Queue,
        progress::Progress,
        reconnect::Reconnector,
    },
};
use futures_util::FutureExt;
use measure::{Counters, Histograms, Metric, Sent, SentSummary, record::LostConnection};
use profile::Confirms;
use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::{Sleep, sleep},
};

/// How long a producer waits after a rejection; each further rejection doubles it, up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// What was in flight over a lost connection has failed after this long, or is given up.
const FAIL_MAX: Duration = Duration::from_secs(2);

/// The task of one producer.
#[derive(Debug, Clone)]
pub struct ProducerSpec {
    /// The run.
    pub run: u32,
    /// This producer.
    pub index: u32,
    /// The key that seals envelopes of the run.
    pub seal: SealKey,
    /// How many messages it sends at most.
    pub quota: Option<u64>,
    /// When it starts, in common time.
    pub start_ns: u64,
    /// When each of its messages is due; `None` if it sends as fast as it may.
    pub schedule: Option<Schedule>,
    /// How it catches up after a stall; `None`: at once.
    pub catchup: Option<Catchup>,
    /// Whether it spins for the last moments before a message is due.
    pub spin: bool,
    /// The measured window (samples belong to it by their due time), and when the producer stops.
    pub window: Arc<Window>,
    /// Its confirm mode.
    pub confirms: Confirms,
    /// Limit on publishes handed over and not yet written.
    pub in_flight: u32,
    /// How often it publishes a rejected message again.
    pub republish_limit: u32,
    /// How long it pauses after each message.
    pub think: Option<Delays>,
    /// Channel for the times at which publishes returned.
    pub returned: Option<UnboundedSender<PublishReturned>>,
}

/// The result of one producer.
#[derive(Debug)]
pub struct ProducerReport {
    /// This producer.
    pub index: u32,
    /// Its counts.
    pub counters: Counters,
    /// Its latencies.
    pub histograms: Histograms,
    /// Its side of the ledger.
    pub sent: SentSummary,
    /// The longest sequence of messages that it sent to catch up after a stall.
    pub catchup_run_max: u64,
    /// When it sent its first and last message, in common time.
    pub sent_ns: Option<(u64, u64)>,
    /// Counts of its transport.
    pub transport: Counts,
    /// Its times without a connection, if there were any.
    pub lost: Option<LostConnection>,
    /// The fault that ended it early.
    pub fault: Option<Fault>,
}

/// One message between its publish and its settlement.
#[derive(Debug, Clone, Copy, Default)]
struct Message {
    sequence: u64,
    /// 0 without a schedule: then it is due when it can be sent.
    due_ns: u64,
    sent_ns: u64,
    events: u32,
    bytes: u64,
    /// How often it was published again after a rejection.
    republished: u32,
    /// Whether it was published again because the connection was lost.
    after_loss: bool,
}

/// The next step of a producer.
enum Step {
    /// Publish the message that is due since this time.
    Publish(u64),
    Wait(Wait),
    /// Everything is sent and settled.
    Finish,
}

/// What a producer waits for, apart from the settlement of messages in flight.
struct Wait {
    /// When the next message is due, if only the schedule holds it back.
    due_ns: Option<u64>,
    /// Since when the service holds the next message back, if it does.
    held_from_ns: Option<u64>,
    /// Since when the next message's body is missing, if it is.
    missing_from_ns: Option<u64>,
}

impl Wait {
    const FOR_SETTLEMENT: Self = Self { due_ns: None, held_from_ns: None, missing_from_ns: None };
}

/// A running producer.
pub(crate) struct Producer<'a, P: Publisher, S> {
    publisher: &'a mut P,
    source: &'a mut S,
    spec: &'a ProducerSpec,
    clock: Clock,
    progress: &'a Progress,
    calendar: Calendar,
    /// `None` without a schedule.
    pace: Option<Pace>,
    pause: Pause,
    /// Publishes that have not returned.
    writing: Queue<Message, P::Publishing>,
    /// Publishes that have returned and are not confirmed.
    confirming: Queue<Message, P::Confirm>,
    /// Messages to publish again.
    rejected: VecDeque<Message>,
    /// Messages in flight whose connection was lost.
    lost: Vec<Message>,
    reconnector: Option<Reconnector<P>>,
    /// Number of messages that may be published before all of them must be confirmed.
    allowance: u32,
    ledger: Sent,
    histograms: Histograms,
    sent_ns: Option<(u64, u64)>,
    fault: Option<Fault>,
}

impl<'a, P: Publisher, S: Source> Producer<'a, P, S> {
    /// A producer that has sent nothing.
    pub fn new(
        publisher: &'a mut P,
        source: &'a mut S,
        spec: &'a ProducerSpec,
        clock: Clock,
        progress: &'a Progress,
    ) -> Self {
        let (pace, fault) = match spec.schedule.as_ref().map(|_| Pace::new(spec.spin)).transpose() {
            Ok(pace) => (pace, None),
            Err(error) => {
                (None, Some(Fault::new(FaultKind::Shortage, format!("no timer to pace messages with: {error}"))))
            }
        };
        Self {
            publisher,
            source,
            spec,
            clock,
            progress,
            calendar: Calendar {
                quota: spec.quota,
                start_ns: spec.start_ns,
                window: spec.window.clone(),
                clock,
                schedule: spec.schedule.clone(),
                catchup: spec.catchup,
                not_before_ns: 0,
                lateness: Lateness::from(spec.start_ns),
            },
            pace,
            pause: Pause { until: None, thinks: false, think: spec.think.clone(), after_rejection: PAUSE_MIN },
            writing: Queue::new(clock),
            confirming: Queue::new(clock),
            rejected: VecDeque::new(),
            lost: Vec::new(),
            reconnector: None,
            allowance: 0,
            ledger: Sent::new(spec.confirms.wanted()),
            histograms: Histograms::new(),
            sent_ns: None,
            fault,
        }
    }

    /// It comes back after a lost connection.
    pub fn reconnecting(self, reconnector: Option<Reconnector<P>>) -> Self {
        Self { reconnector, ..self }
    }

    /// Publishes until the quota, the end or `stop`; returns when every message is settled, or at once when stopped or
    /// at a fault.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> ProducerReport {
        let look = stop.clone();
        let stopped = stop.wait_for(|stop| *stop).map(drop);
        tokio::pin!(stopped);
        let mut turns = 0u32;
        sleep_until(self.clock, self.spec.start_ns).await;
        loop {
            if self.fault.is_some() && !self.come_back(&mut stopped).await {
                break;
            }
            match self.step() {
                Step::Publish(due_ns) => {
                    self.publish(due_ns);
                    turns = turns.wrapping_add(1);
                    if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
                        tokio::task::yield_now().await;
                        // If every publish returns at once, `stopped` is never polled.
                        if *look.borrow() {
                            break;
                        }
                    }
                }
                Step::Wait(wait) => {
                    if !self.wait(wait, &mut stopped).await {
                        break;
                    }
                    self.settle_writes();
                    self.settle_confirms();
                }
                Step::Finish => {
                    self.progress.finish();
                    break;
                }
            }
        }
        self.report()
    }

    fn step(&mut self) -> Step {
        let unsettled = self.writing.len() + self.confirming.len();
        if unsettled == 0 {
            self.allowance = batch(self.spec.confirms);
        }
        let permit = self.may_publish(unsettled);
        // A rejected message goes before a new one.
        let upcoming = if self.rejected.is_empty() {
            self.calendar.upcoming(self.progress.counts.sent.get())
        } else {
            Upcoming::Now(0)
        };
        let held = !permit && !self.pause.thinks;
        match upcoming {
            Upcoming::Now(due_ns) if permit && self.has_body() => Step::Publish(due_ns),
            Upcoming::Now(_) if permit => {
                Step::Wait(Wait { missing_from_ns: Some(self.clock.now_ns()), ..Wait::FOR_SETTLEMENT })
            }
            Upcoming::Now(due_ns) => {
                let held_from_ns = held.then(|| due_ns.max(self.clock.now_ns()));
                Step::Wait(Wait { held_from_ns, ..Wait::FOR_SETTLEMENT })
            }
            Upcoming::At(due_ns) => Step::Wait(Wait {
                due_ns: permit.then_some(due_ns),
                held_from_ns: held.then_some(due_ns),
                missing_from_ns: None,
            }),
            Upcoming::Over if unsettled == 0 && !self.pause.is_on() => Step::Finish,
            Upcoming::Over => Step::Wait(Wait::FOR_SETTLEMENT),
        }
    }

    /// Whether the next message's body is at hand, or can no longer be read, which the wait for it reports.
    fn has_body(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        !self.rejected.is_empty() || matches!(self.source.poll_ready(&mut context), Poll::Ready(Ok(())))
    }

    /// Whether the messages in flight leave room for one more.
    fn may_publish(&self, unsettled: usize) -> bool {
        !self.pause.is_on()
            && self.writing.len() < self.spec.in_flight as usize
            && match self.spec.confirms {
                Confirms::Window(n) => unsettled < n.get() as usize,
                Confirms::None => true,
                Confirms::Each | Confirms::Batch(_) => self.allowance > 0,
            }
    }

    /// Hands the next message over.
    fn publish(&mut self, due_ns: u64) {
        let spec = self.spec;
        let next = self.rejected.pop_front().unwrap_or_else(|| {
            let sequence = self.ledger.publish();
            self.calendar.advance();
            Message { sequence, due_ns, ..Message::default() }
        });
        let body = self.source.take(next.sequence);
        let sent_ns = self.clock.now_ns();
        let message = Message {
            due_ns: if next.due_ns == 0 { sent_ns } else { next.due_ns },
            sent_ns,
            events: body.events,
            bytes: body.bytes.len() as u64,
            ..next
        };
        let envelope = Envelope {
            run: spec.run,
            producer: spec.index,
            sequence: message.sequence,
            due_ns: message.due_ns,
            sent_ns,
            checksum: body.checksum,
            seal: 0,
        };
        let envelope = envelope.sealed(spec.seal).encode();
        let writing = self.publisher.publish(Outgoing { body: body.bytes, envelope, reply: None });
        self.writing.start(message, sent_ns, writing);
        self.allowance = self.allowance.saturating_sub(1);
        if message.after_loss {
            self.ledger.republish_after_loss(message.sequence);
        } else if message.republished == 0 {
            self.count_first(&message);
        } else {
            self.ledger.republish();
        }
        self.pause.think(sent_ns);
    }

    /// Counts a message that was published for the first time.
    fn count_first(&mut self, message: &Message) {
        let Message { due_ns, sent_ns, .. } = *message;
        let counts = &self.progress.counts;
        counts.sent.add(1);
        counts.bytes_sent.add(message.bytes);
        counts.events_sent.add(u64::from(message.events));
        self.sent_ns = Some((self.sent_ns.map_or(sent_ns, |(first_ns, _)| first_ns), sent_ns));
        self.calendar.note(due_ns, sent_ns, counts, &mut self.histograms);
    }

    /// Waits until there is something to do; false if the run is over.
    async fn wait(&mut self, wait: Wait, stopped: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        let windowed = is_windowed(self.spec.confirms);
        let waits_for_writes = !self.writing.is_empty();
        // A batch continues when all of it is confirmed, and its confirms follow its writes.
        let waits_for_confirms = !self.confirming.is_empty() && (windowed || !waits_for_writes);
        let (pace, clock, source) = (&mut self.pace, self.clock, &mut *self.source);
        let mut goes_on = true;
        tokio::select! {
            biased;
            () = self.writing.settled(windowed), if waits_for_writes => {}
            () = self.confirming.settled(windowed), if waits_for_confirms => {}
            () = self.pause.over(), if self.pause.is_on() => {}
            waited = async {
                let pace = pace.as_mut().expect("a schedule comes with a timer");
                pace.until(clock, wait.due_ns.expect("the branch is on only with one")).await
            }, if wait.due_ns.is_some() => {
                if let Err(error) = waited {
                    let sentence = format!("the timer that paces messages failed: {error}");
                    self.fault = Some(Fault::new(FaultKind::Broken, sentence));
                }
            }
            ready = poll_fn(|context| source.poll_ready(context)), if wait.missing_from_ns.is_some() => {
                if let Err(error) = ready {
                    self.fault = Some(Fault::new(FaultKind::Bodies, error));
                }
            }
            () = stopped => goes_on = false,
        }
        if let Some(from_ns) = wait.missing_from_ns {
            let until_ns = self.clock.now_ns().min(self.spec.window.stop_ns());
            self.progress.counts.reading_ns.add(until_ns.saturating_sub(from_ns));
        }
        if let Some(from_ns) = wait.held_from_ns {
            let until_ns = self.clock.now_ns().min(self.spec.window.stop_ns());
            self.progress.counts.backpressure_ns.add(until_ns.saturating_sub(from_ns));
        }
        goes_on
    }

    /// Takes back the bodies of publishes that have returned.
    fn settle_writes(&mut self) {
        while let Some((message, (body, result), at_ns)) = self.writing.pop_settled() {
            self.source.give_back(message.sequence, body);
            // A re-published message counts as sent at its first publish.
            let first = message.republished == 0 && !message.after_loss;
            if let Some(returned) = self.spec.returned.as_ref().filter(|_| first) {
                // The receiver is gone if the connection for replies ended.
                let _ = returned.send(PublishReturned { sequence: message.sequence, at_ns });
            }
            match result {
                Ok(confirm) if self.spec.confirms.wanted() => self.confirming.start(message, message.sent_ns, confirm),
                Ok(_) => self.progress.accept(self.spec.index, message.sequence),
                Err(fault) => self.lose(message, fault),
            }
        }
    }

    /// Handles the confirms that have arrived.
    fn settle_confirms(&mut self) {
        while let Some((message, outcome, at_ns)) = self.confirming.pop_settled() {
            match outcome {
                Ok(Outcome::Accepted | Outcome::NotAsked) => self.accept(&message, at_ns),
                Ok(Outcome::Rejected) => {
                    self.progress.counts.rejected.add(1);
                    self.ledger.reject();
                    self.publish_again(message);
                    let doubted = self.reconnector.as_mut().and_then(Reconnector::rejected);
                    self.fault = self.fault.take().or(doubted);
                }
                Ok(Outcome::Returned) => {
                    self.ledger.give_back();
                    self.publish_again(message);
                }
                Err(fault) => self.lose(message, fault),
            }
        }
    }

    /// A message was in flight over a connection that was lost.
    fn lose(&mut self, message: Message, fault: Fault) {
        self.lost.push(message);
        self.fault.get_or_insert(fault);
    }

    /// Comes back after the fault, if it is a lost connection: what was in flight is published again, in order, before anything
    /// else. False if the producer is over.
    async fn come_back(&mut self, stopped: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        let covered =
            |fault: &mut Fault| self.reconnector.as_ref().is_some_and(|reconnector| reconnector.covers(fault));
        let Some(fault) = self.fault.take_if(covered) else { return false };
        if let Some(reconnector) = &mut self.reconnector {
            reconnector.lose(fault);
        }
        self.publisher.alarms().iter().for_each(|alarm| alarm.clear());
        self.publisher.abandon();
        self.ledger.lose_connection();
        self.fail_in_flight().await;
        // The same connection: others of its faults say nothing new.
        self.fault = None;
        self.lost.sort_by_key(|message| message.sequence);
        let again = self.lost.drain(..).rev().map(|message| Message { after_loss: true, ..message });
        again.for_each(|message| self.rejected.push_front(message));
        let reconnector = self.reconnector.as_mut().expect("it covers the fault");
        let made = tokio::select! {
            biased;
            () = stopped => return false,
            made = reconnector.again(0) => made,
        };
        match made {
            Ok(publisher) => *self.publisher = publisher,
            Err(fault) => self.fault = Some(fault),
        }
        self.fault.is_none()
    }

    /// Takes back everything in flight over a lost connection, which fails, except for what had its outcome before.
    async fn fail_in_flight(&mut self) {
        let limit = sleep(FAIL_MAX);
        tokio::pin!(limit);
        loop {
            self.settle_writes();
            self.settle_confirms();
            let (writing, confirming) = (!self.writing.is_empty(), !self.confirming.is_empty());
            if !writing && !confirming {
                return;
            }
            tokio::select! {
                biased;
                () = self.writing.first_settled(), if writing => {}
                () = self.confirming.first_settled(), if confirming => {}
                () = &mut limit => break,
            }
        }
        // The ring builds the bodies that do not come back.
        self.lost.extend(self.writing.give_up());
        self.lost.extend(self.confirming.give_up());
    }

    fn accept(&mut self, message: &Message, at_ns: u64) {
        self.pause.after_rejection = PAUSE_MIN;
        if let Some(reconnector) = &mut self.reconnector {
            reconnector.accepted();
        }
        self.ledger.confirm(message.sequence);
        self.progress.accept(self.spec.index, message.sequence);
        let confirm_ns = at_ns.saturating_sub(message.sent_ns);
        self.progress.bands.record(Metric::Confirm, confirm_ns);
        if self.spec.window.contains(message.due_ns) {
            self.histograms.record(Metric::Confirm, confirm_ns);
            if self.calendar.is_paced() {
                self.histograms.record(Metric::ConfirmFromDue, at_ns.saturating_sub(message.due_ns));
            }
        }
    }

    /// Publishes a message again after a pause, unless the plan's limit is reached.
    fn publish_again(&mut self, message: Message) {
        if message.republished < self.spec.republish_limit {
            self.rejected.push_back(Message { republished: message.republished + 1, after_loss: false, ..message });
            self.pause.back_off();
        } else {
            self.progress.counts.abandoned.add(1);
            self.ledger.abandon(message.sequence);
        }
    }

    fn report(mut self) -> ProducerReport {
        let ended = self.publisher.alarms().iter().any(|alarm| alarm.fault().is_some());
        if self.reconnector.is_some() && ended {
            // Without confirms nothing else shows it.
            self.ledger.lose_connection();
        }
        let counts = &self.progress.counts;
        self.calendar.close(counts);
        counts.spun_ns.add(self.pace.map_or(0, |pace| pace.spun_ns));
        if let Some(fault) = &self.fault {
            self.progress.fail(fault.clone());
        }
        ProducerReport {
            index: self.spec.index,
            counters: counts.read(),
            histograms: self.histograms,
            sent: self.ledger.finish(),
            catchup_run_max: self.calendar.lateness.run_max,
            sent_ns: self.sent_ns,
            transport: Counts::new(),
            lost: self.reconnector.and_then(Reconnector::report),
            fault: self.fault,
        }
    }
}

/// A time in which a producer publishes nothing: think time, or the pause after a rejection.
struct Pause {
    until: Option<Pin<Box<Sleep>>>,
    /// Whether it is think time: then the service holds nothing back.
    thinks: bool,
    think: Option<Delays>,
    /// The pause after the next rejection.
    after_rejection: Duration,
}

impl Pause {
    fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Begins the pause after a message that was sent at `sent_ns`, if there is one.
    fn think(&mut self, sent_ns: u64) {
        if let Some(rest) = self.think.as_mut().and_then(|think| think.begin(sent_ns)) {
            self.until = Some(Box::pin(sleep(rest)));
            self.thinks = true;
        }
    }

    /// Begins the pause after a rejection, unless there is a pause already.
    fn back_off(&mut self) {
        self.until.get_or_insert_with(|| Box::pin(sleep(self.after_rejection)));
        self.after_rejection = (self.after_rejection * 2).min(PAUSE_MAX);
    }

    /// Returns when the pause is over. Call it only during one.
    async fn over(&mut self) {
        self.until.as_mut().expect("it is called only during a pause").await;
        self.until = None;
        self.thinks = false;
    }
}

/// Number of messages published before all of them must be confirmed.
fn batch(confirms: Confirms) -> u32 {
    match confirms {
        Confirms::Batch(n) => n.get(),
        Confirms::Each => 1,
        Confirms::None | Confirms::Window(_) => 0,
    }
}

/// Whether messages follow each other without a stop, so that the producer continues when half of the messages in
/// flight are settled.
fn is_windowed(confirms: Confirms) -> bool {
    matches!(confirms, Confirms::Window(_) | Confirms::None)
}
