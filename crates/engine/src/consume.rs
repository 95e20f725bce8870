//! A consumer's loop: takes what comes, checks it, notes it, works on it, acknowledges and answers it.

use crate::{
    answer::Answerer,
    clock::Clock,
    delay::{Delays, pass},
    envelope::{Envelope, SealKey},
    inspections::{Arrival, Exhibit, Inspections},
    one_way::OneWay,
    ports::{CorruptionKind, Delivery, Fault, Payloads, Publisher, Subscriber},
    produce::TURNS_BEFORE_YIELD,
    progress::Progress,
    window::Window,
};
use futures_util::FutureExt;
use measure::{ConsumerSpan, Counters, Deliveries, Foreign, Histograms, MessageId, Metric, Observation};
use profile::{Acks, Verify};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, Sleep, sleep},
};

/// What one consumer is to do.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The run.
    pub run: u32,
    /// This consumer.
    pub index: u32,
    /// Producers of the run: an envelope with a higher one is not of this run.
    pub producers: u32,
    /// What envelopes of the run are sealed with.
    pub seal: SealKey,
    /// Bodies that may wait for their inspection.
    pub inspections: usize,
    /// The measured window.
    pub window: Arc<Window>,
    /// Where latencies of producers on other hosts go.
    pub one_way: OneWay,
    /// How it acknowledges.
    pub acks: Acks,
    /// How long deliveries wait for enough others to be acknowledged with.
    pub ack_after: Duration,
    /// How long it works on each message.
    pub work: Option<Delays>,
    /// Which bodies it checks.
    pub verify: Verify,
}

/// What one consumer did.
#[derive(Debug)]
pub struct ConsumerReport {
    /// This consumer.
    pub index: u32,
    /// Its counts.
    pub counters: Counters,
    /// Its latencies.
    pub histograms: Histograms,
    /// Its latencies from other hosts, as long as clocks have not been compared again.
    pub one_way: OneWay,
    /// Its side of the ledger.
    pub deliveries: Deliveries,
    /// The first body that was not what was sent.
    pub exhibit: Option<Exhibit>,
    /// When it was busy inside the window.
    pub span: ConsumerSpan,
    /// When its last message arrived, inside the window or not.
    pub last_ns: Option<u64>,
    /// What ended it before its time.
    pub fault: Option<Fault>,
}

/// Consumes until `stop` or until the stream breaks; acknowledges the remainder.
pub async fn consume<S: Subscriber, A: Publisher, P: Payloads>(
    subscriber: &mut S,
    mut answerer: Option<&mut Answerer<A>>,
    payloads: &Arc<P>,
    spec: &ConsumerSpec,
    clock: Clock,
    progress: &Progress,
    mut stop: watch::Receiver<bool>,
) -> ConsumerReport {
    let mut report = ConsumerReport {
        index: spec.index,
        counters: Counters::default(),
        histograms: Histograms::new(),
        one_way: spec.one_way.clone(),
        deliveries: Deliveries::new(),
        exhibit: None,
        span: ConsumerSpan::default(),
        last_ns: None,
        fault: None,
    };
    let mut inspections = Inspections::new(payloads.clone(), spec.inspections);
    let mut acks = Acknowledger::new(spec);
    let mut work = spec.work.clone();
    let mut turns = 0u32;
    let look = stop.clone();
    let stopped = stop.wait_for(|stop| *stop).map(drop);
    tokio::pin!(stopped);
    let outcome = loop {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
            tokio::task::yield_now().await;
            // Where deliveries never pause, the branch below is never reached.
            if *look.borrow() {
                break Ok(());
            }
        }
        let answering = answerer.as_ref().is_some_and(|answerer| answerer.is_busy());
        let delivery = tokio::select! {
            biased;
            delivery = subscriber.next() => delivery,
            settled = async { answerer.as_mut().expect("the branch is on only with one").settle().await }, if answering => {
                match settled {
                    Ok(()) => continue,
                    Err(fault) => break Err(fault),
                }
            }
            () = acks.overdue(), if acks.is_waiting() => {
                match acks.settle(subscriber).await {
                    Ok(()) => continue,
                    Err(fault) => break Err(fault),
                }
            }
            () = &mut stopped => break Ok(()),
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(fault) => break Err(fault),
        };
        let noted = note(&delivery, &**payloads, spec, clock.now_ns(), &mut report, progress);
        // What counts as delivered is acknowledged, also where the end comes before the work on it is done.
        let mut cut_short = false;
        if work.is_some() {
            tokio::select! {
                () = pass(work.as_mut(), clock) => {}
                () = &mut stopped => cut_short = true,
            }
        }
        let taken = acks.take(delivery.tag, subscriber).await;
        // One that works on messages which wait for it never comes to the branch above.
        let acknowledged = match taken {
            Ok(()) if work.is_some() && acks.is_overdue() => acks.settle(subscriber).await,
            taken => taken,
        };
        if acknowledged.is_err() || cut_short {
            break acknowledged;
        }
        // Acknowledged first, then answered, as the paper's consumers do.
        if let (Some(answerer), Some(noted), Some(to)) = (&mut answerer, &noted, delivery.reply_to) {
            tokio::select! {
                biased;
                answered = answerer.answer(to, &noted.envelope, delivery.body.as_ref()) => {
                    if let Err(fault) = answered {
                        break Err(fault);
                    }
                }
                () = &mut stopped => break Ok(()),
            }
        }
        if let Some(arrival) = noted.and_then(|noted| noted.to_inspect) {
            inspections.add(arrival, delivery.body).await;
            while let Some(found) = inspections.next_done() {
                keep_corrupt(found, &mut report, progress);
            }
        }
    };
    for found in inspections.all_done().await {
        keep_corrupt(found, &mut report, progress);
    }
    let outcome = match outcome {
        Ok(()) => acks.settle(subscriber).await,
        other => other,
    };
    if let Err(fault) = outcome {
        progress.fail(fault.clone());
        report.fault = Some(fault);
    }
    report.deliveries.pack();
    report
}

/// A delivery of this run.
struct Noted {
    envelope: Envelope,
    /// What is to be inspected besides.
    to_inspect: Option<Arrival>,
}

/// Which deliveries are still to be acknowledged, and until when.
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

    /// Takes a delivery that is done with.
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

    /// Whether those that wait have waited long enough.
    fn is_overdue(&self) -> bool {
        self.waiting > 0 && self.due.deadline() <= Instant::now()
    }

    /// Returns when those that wait have waited long enough.
    async fn overdue(&mut self) {
        self.due.as_mut().await;
    }

    /// Acknowledges those that wait.
    async fn settle(&mut self, subscriber: &mut impl Subscriber) -> Result<(), Fault> {
        if std::mem::take(&mut self.waiting) > 0 { subscriber.ack(self.last_tag, true).await } else { Ok(()) }
    }
}

/// Notes one delivery that arrived at `now_ns`; nothing, if it is not of this run.
fn note<P: Payloads>(
    delivery: &Delivery<impl AsRef<[u8]>>,
    payloads: &P,
    spec: &ConsumerSpec,
    now_ns: u64,
    report: &mut ConsumerReport,
    progress: &Progress,
) -> Option<Noted> {
    let ours = |envelope: &Envelope| envelope.run == spec.run && envelope.producer < spec.producers;
    let Some(envelope) = delivery.envelope.filter(ours) else {
        let run = delivery.envelope.map(|envelope| envelope.run);
        let bytes = delivery.body.as_ref().len() as u64;
        report.counters.foreign += 1;
        report.deliveries.observe_foreign(Foreign { consumer: spec.index, bytes, run });
        progress.foreign.add(1);
        return None;
    };
    if !envelope.is_sealed(spec.seal) {
        report.deliveries.observe_unexpected(MessageId { producer: envelope.producer, sequence: envelope.sequence });
        progress.unexpected.add(1);
        return None;
    }
    let body = delivery.body.as_ref();
    let bytes = body.len() as u64;
    let Envelope { producer, sequence, .. } = envelope;
    let events = u64::from(payloads.events(producer, sequence));
    report.last_ns = Some(now_ns);
    report.counters.received += 1;
    report.counters.bytes_received += bytes;
    report.counters.events_received += events;
    progress.received.add(1);
    progress.bytes.add(bytes);
    if delivery.redelivered {
        report.counters.redelivered += 1;
        progress.redelivered.add(1);
    }
    if report.deliveries.observe(producer, sequence, delivery.redelivered) == Observation::New {
        progress.deliver(producer, sequence);
    }
    if spec.window.contains(now_ns) {
        let span = &mut report.span;
        if span.messages == 0 {
            span.first_ns = now_ns;
        }
        span.messages += 1;
        span.last_ns = now_ns;
        report.counters.in_window_messages += 1;
        report.counters.in_window_bytes += bytes;
        report.counters.in_window_events += events;
    }
    if spec.window.contains(envelope.due_ns) {
        let ns = now_ns as i64 - envelope.sent_ns as i64;
        if !report.one_way.takes(producer, now_ns, ns) {
            report.histograms.record_signed(Metric::OneWay, ns);
        }
    }
    let mut noted = Noted { envelope, to_inspect: None };
    if !spec.verify.covers(sequence) {
        return Some(noted);
    }
    report.counters.verified += 1;
    let arrival = Arrival { consumer: spec.index, producer, sequence, at_ns: now_ns };
    match payloads.verify(producer, sequence, envelope.checksum, body) {
        Ok(()) => noted.to_inspect = payloads.inspects().then_some(arrival),
        Err(corruption) => {
            count_corrupt(corruption.kind, report, progress);
            // Deliveries come in order of time, inspections after them: the first stays. Only it is copied.
            if report.exhibit.as_ref().is_none_or(|first| now_ns < first.arrival.at_ns) {
                report.exhibit = Some(Exhibit { arrival, corruption, body: body.to_vec() });
            }
        }
    }
    Some(noted)
}

/// Counts what an inspection found, and keeps the first.
fn keep_corrupt(found: Exhibit, report: &mut ConsumerReport, progress: &Progress) {
    count_corrupt(found.corruption.kind, report, progress);
    if report.exhibit.as_ref().is_none_or(|first| found.arrival.at_ns < first.arrival.at_ns) {
        report.exhibit = Some(found);
    }
}

fn count_corrupt(kind: CorruptionKind, report: &mut ConsumerReport, progress: &Progress) {
    let counters = &mut report.counters;
    counters.corrupt += 1;
    *match kind {
        CorruptionKind::Length => &mut counters.corrupt_length,
        CorruptionKind::Checksum => &mut counters.corrupt_checksum,
        CorruptionKind::Structure => &mut counters.corrupt_structure,
        CorruptionKind::Content => &mut counters.corrupt_content,
    } += 1;
    report.deliveries.observe_corrupt();
    progress.corrupt.add(1);
}
