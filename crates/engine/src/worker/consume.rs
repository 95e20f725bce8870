//! A consumer: takes each delivery, checks it, counts it, works on it, acknowledges it and replies to it.

use crate::{
    envelope::{Envelope, SealKey},
    ports::{CorruptionKind, Counts, Delivery, Fault, FaultKind, Number, Payloads, Publisher, Subscriber},
    time::{
        clock::Clock,
        delay::{Delays, pass},
        one_way::OneWay,
        window::Window,
    },
    worker::{
        TURNS_BEFORE_YIELD,
        budget::Budget,
        inspections::{Arrival, CorruptSample, Inspected, Inspections},
        progress::Progress,
        reconnect::Reconnector,
        reply::{Replier, Resent},
    },
};
use futures_util::FutureExt;
use measure::{
    ConsumerSpan, Counters, Deliveries, Foreign, Histograms, MessageId, Metric, Observation, Timeline,
    record::LostConnection,
};
use profile::{Acks, Stamp, Verify};
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

/// How often a consumer bounds its ledger, in deliveries.
pub(crate) const LOOK_EVERY: u64 = 1 << 14;

/// The task of one consumer.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The run.
    pub run: u32,
    /// This consumer.
    pub index: u32,
    /// Number of producers of the run: an envelope with a higher index is not of this run.
    pub producers: u32,
    /// The key that seals envelopes of the run.
    pub seal: SealKey,
    /// What its messages come from, if the producers are programs of others.
    pub foreign: Option<ForeignSpec>,
    /// Number of bodies that may wait for their inspection.
    pub inspections: usize,
    /// Which of the checked bodies are inspected, shared by the consumers of a rank; `None`: all.
    pub budget: Option<Arc<Budget>>,
    /// The measured window.
    pub window: Arc<Window>,
    /// Collects latencies of producers on other hosts.
    pub one_way: OneWay,
    /// Its deliveries over time, if the run causes faults.
    pub timeline: Option<Timeline>,
    /// Whether it hands old parts of its ledger over while it streams: one of several consumers that share the work gets sequences
    /// with gaps, so that its ledger would grow with every message.
    pub hands_over: bool,
    /// How it acknowledges.
    pub acks: Acks,
    /// How long deliveries wait for others to be acknowledged together.
    pub ack_after: Duration,
    /// How long it works on each message.
    pub work: Option<Delays>,
    /// Which bodies it checks.
    pub verify: Verify,
    /// Whether it writes what arrives.
    pub keeps: bool,
}

/// Messages of external producers.
#[derive(Debug, Clone)]
pub struct ForeignSpec {
    /// What the number means that comes with each of them: when it was sent.
    pub timestamp: Option<Stamp>,
}

/// The result of one consumer.
#[derive(Debug)]
pub struct ConsumerReport {
    /// Its counts.
    pub counters: Counters,
    /// Its latencies.
    pub histograms: Histograms,
    /// Its latencies from other hosts, until the clocks are compared again.
    pub one_way: OneWay,
    /// Its deliveries over time, if the run causes faults.
    pub timeline: Option<Timeline>,
    /// Its side of the ledger.
    pub deliveries: Deliveries,
    /// Sizes of the smallest and the largest message of external producers.
    pub external_bytes: Option<(u64, u64)>,
    /// The first corrupt body.
    pub first_corrupt: Option<CorruptSample>,
    /// Its busy span inside the window.
    pub span: ConsumerSpan,
    /// When its last message arrived, inside the window or not.
    pub last_ns: Option<u64>,
    /// Counts of its transport.
    pub transport: Counts,
    /// Its times without a connection to consume from, if there were any.
    pub lost: Option<LostConnection>,
    /// What became of its replies, if their connection was lost.
    pub resent: Resent,
    /// The fault that ended it early.
    pub fault: Option<Fault>,
}

/// A running consumer.
pub(crate) struct Consumer<'a, S, A: Publisher, P> {
    subscriber: &'a mut S,
    replier: Option<&'a mut Replier<A>>,
    payloads: &'a Arc<P>,
    spec: &'a ConsumerSpec,
    clock: Clock,
    progress: &'a Progress,
    inspections: Inspections<P>,
    acks: Acknowledger,
    work: Option<Delays>,
    reconnector: Option<Reconnector<S>>,
    report: ConsumerReport,
}

/// The next event for a consumer.
enum Event<B> {
    Delivery(Delivery<B>),
    /// A reply or an acknowledgement was settled.
    Settled,
    Stopped,
}

/// Why a consumer stopped.
enum Broken {
    /// The connection that it consumes from failed.
    Consuming(Fault),
    /// Something that it cannot come back from.
    ForGood(Fault),
}

impl From<Fault> for Broken {
    fn from(fault: Fault) -> Self {
        Self::Consuming(fault)
    }
}

/// Whether a consumer continues.
#[derive(PartialEq)]
enum Turn {
    Next,
    Last,
}

/// A delivery of this run.
struct Counted {
    envelope: Envelope,
    /// Whether its body was checked and is right.
    sound: bool,
    /// The arrival to inspect, if any.
    to_inspect: Option<Arrival>,
}

impl<'a, S: Subscriber, A: Publisher, P: Payloads> Consumer<'a, S, A, P> {
    /// A consumer that has received nothing; `replier` sends its replies, if the pattern has any.
    pub fn new(
        subscriber: &'a mut S,
        replier: Option<&'a mut Replier<A>>,
        payloads: &'a Arc<P>,
        spec: &'a ConsumerSpec,
        clock: Clock,
        progress: &'a Progress,
    ) -> Self {
        Self {
            subscriber,
            replier,
            payloads,
            spec,
            clock,
            progress,
            inspections: Inspections::new(payloads.clone(), spec.inspections, spec.budget.clone()),
            acks: Acknowledger::new(spec),
            work: spec.work.clone(),
            reconnector: None,
            report: ConsumerReport {
                counters: Counters::default(),
                histograms: Histograms::new(),
                one_way: spec.one_way.clone(),
                timeline: spec.timeline.clone(),
                deliveries: Deliveries::new(),
                external_bytes: None,
                first_corrupt: None,
                span: ConsumerSpan::default(),
                last_ns: None,
                transport: Counts::new(),
                lost: None,
                resent: Resent::default(),
                fault: None,
            },
        }
    }

    /// It comes back after a lost connection.
    pub fn reconnecting(self, reconnector: Option<Reconnector<S>>) -> Self {
        Self { reconnector, ..self }
    }

    /// Consumes until `stop` or until the stream ends with a fault; acknowledges the remainder.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> ConsumerReport {
        let look = stop.clone();
        let stopped = stop.wait_for(|stop| *stop).map(drop);
        tokio::pin!(stopped);
        let ended = self.consume(&look, &mut stopped).await;
        self.finish(ended).await
    }

    async fn consume(
        &mut self,
        look: &watch::Receiver<bool>,
        stopped: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<(), Fault> {
        let mut turns = 0u32;
        loop {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
                tokio::task::yield_now().await;
                // If deliveries never pause, `stopped` is never polled.
                if *look.borrow() {
                    return Ok(());
                }
            }
            let turn = match self.next(stopped).await {
                Ok(Event::Delivery(delivery)) => self.take(delivery, stopped).await?,
                Ok(Event::Settled) => Turn::Next,
                Ok(Event::Stopped) => Turn::Last,
                Err(Broken::Consuming(fault)) => self.come_back(fault, stopped).await?,
                Err(Broken::ForGood(fault)) => return Err(fault),
            };
            if turn == Turn::Last {
                return Ok(());
            }
        }
    }

    /// Makes a lost connection again and consumes from it. What was not acknowledged comes again, unless the service expects no
    /// acknowledgements.
    async fn come_back(
        &mut self,
        fault: Fault,
        stopped: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<Turn, Fault> {
        let reconnector = self.reconnector.as_mut().filter(|reconnector| reconnector.covers(&fault));
        let Some(reconnector) = reconnector else { return Err(fault) };
        self.subscriber.abandon();
        self.acks.forget();
        if self.spec.acks != Acks::Auto {
            self.report.deliveries.lose_connection();
        }
        reconnector.lose(fault);
        let counts = &self.progress.counts;
        let foreign = if self.spec.foreign.is_some() { 0 } else { counts.foreign.get() };
        let delivered = counts.received.get() + foreign + counts.unexpected.get();
        tokio::select! {
            biased;
            () = stopped => Ok(Turn::Last),
            made = reconnector.again(delivered) => {
                *self.subscriber = made?;
                Ok(Turn::Next)
            }
        }
    }

    /// Waits for the next delivery; meanwhile replies and acknowledgements are sent.
    async fn next(&mut self, stopped: &mut (impl Future<Output = ()> + Unpin)) -> Result<Event<S::Body>, Broken> {
        let replies = self.replier.as_ref().is_some_and(|replier| replier.is_busy());
        let replier = &mut self.replier;
        tokio::select! {
            biased;
            delivery = self.subscriber.next() => return Ok(Event::Delivery(delivery?)),
            settled = async { replier.as_mut().expect("the branch is on only with one").settle().await }, if replies => {
                settled.map_err(Broken::ForGood)?;
            }
            () = self.acks.overdue(), if self.acks.is_waiting() => self.acks.settle(self.subscriber).await?,
            () = stopped => return Ok(Event::Stopped),
        }
        Ok(Event::Settled)
    }

    /// Takes one delivery through all steps.
    async fn take(
        &mut self,
        delivery: Delivery<S::Body>,
        stopped: &mut (impl Future<Output = ()> + Unpin),
    ) -> Result<Turn, Fault> {
        let counted = self.count(&delivery, self.clock.now_ns());
        if let Some(counted) = &counted
            && self.spec.keeps
        {
            self.keep(counted, delivery.body.as_ref())?;
        }
        // Every counted delivery is acknowledged, even if the run ends before the work on it is done.
        let worked = self.work(stopped).await;
        if let Err(fault) = self.acknowledge(delivery.tag).await
            && self.come_back(fault, stopped).await? == Turn::Last
        {
            return Ok(Turn::Last);
        }
        if worked == Turn::Last {
            return Ok(Turn::Last);
        }
        let Some(Counted { envelope, to_inspect, .. }) = counted else { return Ok(Turn::Next) };
        // Acknowledged first, then replied to, as the paper's consumers do.
        if let (Some(replier), Some(to)) = (&mut self.replier, delivery.reply_to) {
            tokio::select! {
                biased;
                replied = replier.reply(to, &envelope, delivery.body.as_ref()) => replied?,
                () = stopped => return Ok(Turn::Last),
            }
        }
        if let Some(arrival) = to_inspect {
            self.inspections.add(arrival, delivery.body).await;
            while let Some(inspected) = self.inspections.next_done() {
                self.count_inspected(inspected);
            }
        }
        Ok(Turn::Next)
    }

    /// Writes an arrived body, and counts what that took.
    fn keep(&self, counted: &Counted, body: &[u8]) -> Result<(), Fault> {
        let begun_ns = self.clock.now_ns();
        let message = (counted.envelope.producer, counted.envelope.sequence);
        let kept = self.payloads.keep(self.spec.index, message, body, counted.sound);
        self.progress.counts.kept.add(1);
        self.progress.counts.keeping_ns.add(self.clock.now_ns().saturating_sub(begun_ns));
        kept.map_err(|error| Fault::new(FaultKind::Bodies, error))
    }

    /// Works on a message for the plan's service time.
    async fn work(&mut self, stopped: &mut (impl Future<Output = ()> + Unpin)) -> Turn {
        if self.work.is_none() {
            return Turn::Next;
        }
        tokio::select! {
            () = pass(self.work.as_mut(), self.clock) => Turn::Next,
            () = stopped => Turn::Last,
        }
    }

    async fn acknowledge(&mut self, tag: u64) -> Result<(), Fault> {
        self.acks.take(tag, self.subscriber).await?;
        // A consumer whose next message is already waiting never reaches the branch in `next`.
        if self.work.is_some() && self.acks.is_overdue() {
            self.acks.settle(self.subscriber).await?;
        }
        Ok(())
    }

    async fn finish(mut self, ended: Result<(), Fault>) -> ConsumerReport {
        let inspections = std::mem::replace(&mut self.inspections, Inspections::new(self.payloads.clone(), 1, None));
        for inspected in inspections.all_done().await {
            self.count_inspected(inspected);
        }
        let ended = match ended {
            Ok(()) => match self.acks.settle(self.subscriber).await {
                // Lost at the very end: what was not acknowledged stays with the service.
                Err(fault) if self.reconnector.as_ref().is_some_and(|reconnector| reconnector.covers(&fault)) => Ok(()),
                settled => settled,
            },
            broken => broken,
        };
        if let Err(fault) = ended {
            self.progress.fail(fault.clone());
            self.report.fault = Some(fault);
        }
        self.report.lost = self.reconnector.take().and_then(Reconnector::report);
        if let Some(replier) = &mut self.replier {
            self.report.resent = replier.resent();
        }
        self.report.counters = self.progress.counts.read();
        self.report.deliveries.pack();
        self.report
    }

    /// Counts a delivery that arrived at `now_ns`; `None` if it is not of this run.
    fn count(&mut self, delivery: &Delivery<S::Body>, now_ns: u64) -> Option<Counted> {
        let spec = self.spec;
        let ours = |envelope: &Envelope| envelope.run == spec.run && envelope.producer < spec.producers;
        let Some(envelope) = delivery.envelope.filter(ours) else {
            self.count_foreign(delivery);
            if let Some(foreign) = &spec.foreign {
                self.count_external(delivery, now_ns, foreign.timestamp.as_ref());
            }
            return None;
        };
        let Envelope { producer, sequence, .. } = envelope;
        if !envelope.is_sealed(spec.seal) {
            self.report.deliveries.observe_unexpected(MessageId { producer, sequence });
            self.progress.counts.unexpected.add(1);
            return None;
        }
        self.count_ours(&envelope, delivery, now_ns);
        if !spec.verify.covers(sequence) {
            return Some(Counted { envelope, sound: false, to_inspect: None });
        }
        let arrival = Arrival { consumer: spec.index, producer, sequence, at_ns: now_ns };
        let body = delivery.body.as_ref();
        let verified = self.payloads.verify(producer, sequence, envelope.checksum, body);
        let sound = verified.is_ok();
        let to_inspect = match verified {
            Ok(()) => self.inspections.wants(&arrival).then_some(arrival),
            Err(corruption) => {
                self.count_corrupt(corruption.kind);
                // Deliveries come in order of time, inspections after them: the first stays. Only it is copied.
                if self.report.first_corrupt.as_ref().is_none_or(|first| now_ns < first.arrival.at_ns) {
                    self.report.first_corrupt = Some(CorruptSample { arrival, corruption, body: body.to_vec() });
                }
                None
            }
        };
        Some(Counted { envelope, sound, to_inspect })
    }

    fn count_foreign(&mut self, delivery: &Delivery<S::Body>) {
        let run = delivery.envelope.map(|envelope| envelope.run);
        let bytes = delivery.body.as_ref().len() as u64;
        self.report.deliveries.observe_foreign(Foreign { consumer: self.spec.index, bytes, run });
        self.progress.counts.foreign.add(1);
    }

    /// Counts a message of an external producer, which has no envelope of this run.
    fn count_external(&mut self, delivery: &Delivery<S::Body>, now_ns: u64, timestamp: Option<&Stamp>) {
        self.count_delivery(delivery, now_ns);
        let bytes = delivery.body.as_ref().len() as u64;
        let (least, most) = self.report.external_bytes.unwrap_or((bytes, bytes));
        self.report.external_bytes = Some((least.min(bytes), most.max(bytes)));
        let Some(timestamp) = timestamp else { return };
        let sent_ns = match delivery.mark {
            Some(Number::Whole(number)) => timestamp.whole_ns(number),
            Some(Number::Part(number)) => timestamp.part_ns(number),
            None => None,
        };
        let wall_ns = UNIX_EPOCH.elapsed().ok().and_then(|since| i64::try_from(since.as_nanos()).ok());
        match wall_ns.zip(sent_ns).and_then(|(wall_ns, sent_ns)| wall_ns.checked_sub(sent_ns)) {
            None => self.progress.counts.without_timestamp.add(1),
            Some(ns) if self.spec.window.contains(now_ns) => {
                self.report.histograms.record_signed(Metric::FromTimestamp, ns);
            }
            Some(_) => {}
        }
    }

    /// Counts a delivery, whoever sent it.
    fn count_delivery(&mut self, delivery: &Delivery<S::Body>, now_ns: u64) {
        let Self { report, progress, spec, .. } = self;
        let (counts, bytes) = (&progress.counts, delivery.body.as_ref().len() as u64);
        report.last_ns = Some(now_ns);
        counts.received.add(1);
        counts.bytes_received.add(bytes);
        if delivery.redelivered {
            counts.redelivered.add(1);
        }
        if spec.window.contains(now_ns) {
            let span = &mut report.span;
            if span.messages == 0 {
                span.first_ns = now_ns;
            }
            span.messages += 1;
            span.last_ns = now_ns;
            counts.in_window_messages.add(1);
            counts.in_window_bytes.add(bytes);
        }
    }

    fn count_ours(&mut self, envelope: &Envelope, delivery: &Delivery<S::Body>, now_ns: u64) {
        self.count_delivery(delivery, now_ns);
        let Self { report, progress, spec, .. } = self;
        let Envelope { producer, sequence, .. } = *envelope;
        let events = u64::from(self.payloads.events(producer, sequence));
        let counts = &progress.counts;
        counts.events_received.add(events);
        let observed = report.deliveries.observe(producer, sequence, delivery.redelivered);
        let received = counts.received.get();
        if received.is_multiple_of(LOOK_EVERY) {
            if spec.hands_over {
                report.deliveries.hand_over().iter().for_each(|piece| progress.hand_over(piece.encode()));
            } else {
                report.deliveries.pack();
            }
        }
        // For those who watch; at first more often, because most runs are short.
        if received.is_multiple_of(LOOK_EVERY) || received.is_power_of_two() {
            progress.keeps(report.deliveries.bytes());
        }
        if observed == Observation::New {
            progress.deliver(producer, sequence);
            if let Some(timeline) = &mut report.timeline {
                timeline.deliver(now_ns, envelope.due_ns);
            }
        }
        if spec.window.contains(now_ns) {
            counts.in_window_events.add(events);
        }
        if spec.window.contains(envelope.due_ns) {
            let ns = now_ns as i64 - envelope.sent_ns as i64;
            if !report.one_way.takes(producer, now_ns, ns) {
                report.histograms.record_signed(Metric::OneWay, ns);
                progress.bands.record(Metric::OneWay, ns.max(0) as u64);
            }
        }
    }

    /// Counts an inspection and what it found, and keeps the first.
    fn count_inspected(&mut self, Inspected { cpu_ns, found }: Inspected) {
        self.progress.counts.inspected.add(1);
        self.progress.counts.inspection_ns.add(cpu_ns);
        let Some(found) = found else { return };
        self.count_corrupt(found.corruption.kind);
        if self.report.first_corrupt.as_ref().is_none_or(|first| found.arrival.at_ns < first.arrival.at_ns) {
            self.report.first_corrupt = Some(found);
        }
    }

    fn count_corrupt(&mut self, kind: CorruptionKind) {
        let counts = &self.progress.counts;
        counts.corrupt.add(1);
        let of_kind = match kind {
            CorruptionKind::Length => &counts.corrupt_length,
            CorruptionKind::Checksum => &counts.corrupt_checksum,
            CorruptionKind::Structure => &counts.corrupt_structure,
            CorruptionKind::Content => &counts.corrupt_content,
        };
        of_kind.add(1);
        self.report.deliveries.observe_corrupt();
    }
}

/// The deliveries to acknowledge, and the deadline for that.
struct Acknowledger {
    acks: Acks,
    after: Duration,
    waiting: u32,
    last_tag: u64,
    due: Pin<Box<Sleep>>,
}

impl Acknowledger {
    fn new(spec: &ConsumerSpec) -> Self {
        let due = Box::pin(sleep(spec.ack_after));
        Self { acks: spec.acks, after: spec.ack_after, waiting: 0, last_tag: 0, due }
    }

    /// Takes a handled delivery.
    async fn take(&mut self, tag: u64, subscriber: &mut impl Subscriber) -> Result<(), Fault> {
        self.last_tag = tag;
        match self.acks {
            Acks::Auto => Ok(()),
            Acks::Each => subscriber.ack(tag, false).await,
            Acks::Multiple(n) => {
                if self.waiting == 0 {
                    self.due.as_mut().reset(Instant::now() + self.after);
                }
                self.waiting += 1;
                if self.waiting == n.get() { self.settle(subscriber).await } else { Ok(()) }
            }
        }
    }

    fn is_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Whether the waiting deliveries have waited long enough.
    fn is_overdue(&self) -> bool {
        self.waiting > 0 && self.due.deadline() <= Instant::now()
    }

    /// Returns when the waiting deliveries have waited long enough.
    async fn overdue(&mut self) {
        self.due.as_mut().await;
    }

    /// The connection of the waiting deliveries was lost.
    fn forget(&mut self) {
        self.waiting = 0;
    }

    /// Acknowledges the waiting deliveries.
    async fn settle(&mut self, subscriber: &mut impl Subscriber) -> Result<(), Fault> {
        if std::mem::take(&mut self.waiting) > 0 { subscriber.ack(self.last_tag, true).await } else { Ok(()) }
    }
}
