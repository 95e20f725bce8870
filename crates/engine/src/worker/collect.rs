//! The replies to a producer: received, checked, and timed against their messages.

use crate::{
    envelope::{Envelope, SealKey},
    ports::{Delivery, Fault, Number, Payloads, Subscriber},
    time::{clock::Clock, window::Window},
    worker::{
        TURNS_BEFORE_YIELD,
        consume::LOOK_EVERY,
        progress::Progress,
        reconnect::Reconnector,
        reduce::{Reduced, Reduction},
    },
};
use futures_util::FutureExt;
use measure::{Counters, Deliveries, Foreign, Histograms, MessageId, Metric, Observation, record::LostConnection};
use profile::{Reply, Verify};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc::UnboundedReceiver, watch};

/// The expected replies to one producer.
#[derive(Debug, Clone)]
pub struct CollectorSpec {
    /// The run.
    pub run: u32,
    /// The producer.
    pub producer: u32,
    /// The key that seals envelopes of the run.
    pub seal: SealKey,
    /// Replies that each message gets.
    pub replies: u32,
    /// Whether they come from that many consumers and form one gather.
    pub gathers: bool,
    /// The body of a reply.
    pub reply: Reply,
    /// Of the run: it implies the numbers of vectors.
    pub seed: u64,
    /// Number of replies per acknowledgement.
    pub ack_every: u32,
    /// Which replies are checked.
    pub verify: Verify,
    /// The measured window: samples belong to it by their due time.
    pub window: Arc<Window>,
}

/// The result of one producer's collector.
#[derive(Debug)]
pub struct CollectorReport {
    /// Its counts.
    pub counters: Counters,
    /// Its latencies.
    pub histograms: Histograms,
    /// One ledger for each reply that a message gets.
    pub ledgers: Vec<Deliveries>,
    /// When the last reply arrived.
    pub last_ns: Option<u64>,
    /// Its times without a connection, if there were any. The queue of its replies ended with each.
    pub lost: Option<LostConnection>,
    /// The fault that ended it early.
    pub fault: Option<Fault>,
}

/// When the publish of a message returned, in common time.
#[derive(Debug, Clone, Copy)]
pub struct PublishReturned {
    /// The message.
    pub sequence: u64,
    /// The time.
    pub at_ns: u64,
}

/// Most messages whose replies are timed. A reply that is further behind is counted and not timed: most likely the
/// other replies are lost, and a run with many losses must not run out of memory.
const AWAITED_MAX: usize = 1 << 18;

/// A message that still awaits replies.
#[derive(Debug, Default)]
struct Awaited {
    returned_ns: Option<u64>,
    /// Arrival times of replies that were handled before the publish was seen to return (D13).
    early_ns: Vec<u64>,
    replies: u32,
}

/// The running collector of one producer's replies.
pub(crate) struct Collector<'a, S, P> {
    subscriber: &'a mut S,
    payloads: &'a P,
    spec: &'a CollectorSpec,
    clock: Clock,
    progress: &'a Progress,
    awaited: BTreeMap<u64, Awaited>,
    /// Replies that are not acknowledged yet.
    waiting: u32,
    reconnector: Option<Reconnector<S>>,
    /// Where replies are vectors.
    reduction: Option<Reduction>,
    report: CollectorReport,
}

impl<'a, S: Subscriber, P: Payloads> Collector<'a, S, P> {
    /// A collector that has received nothing.
    pub fn new(
        subscriber: &'a mut S,
        payloads: &'a P,
        spec: &'a CollectorSpec,
        clock: Clock,
        progress: &'a Progress,
    ) -> Self {
        Self {
            subscriber,
            payloads,
            spec,
            clock,
            progress,
            awaited: BTreeMap::new(),
            waiting: 0,
            reconnector: None,
            reduction: spec.reply.reduces().map(|is_mean| Reduction::new(spec.seed, spec.replies, is_mean)),
            report: CollectorReport {
                counters: Counters::default(),
                histograms: Histograms::new(),
                ledgers: vec![Deliveries::new(); spec.replies as usize],
                last_ns: None,
                lost: None,
                fault: None,
            },
        }
    }

    /// It comes back after a lost connection.
    pub fn reconnecting(self, reconnector: Option<Reconnector<S>>) -> Self {
        Self { reconnector, ..self }
    }

    /// Takes replies until `stop` or until the stream ends with a fault. `returned` reports when publishes returned.
    pub async fn run(
        mut self,
        mut returned: UnboundedReceiver<PublishReturned>,
        stop: watch::Receiver<bool>,
    ) -> CollectorReport {
        if let Err(fault) = self.collect(&mut returned, stop).await {
            self.progress.fail(fault.clone());
            self.report.fault = Some(fault);
        }
        self.take_returned(&mut returned);
        self.report.lost = self.reconnector.take().and_then(Reconnector::report);
        self.report.counters = self.progress.counts.read();
        self.report.ledgers.iter_mut().for_each(Deliveries::pack);
        self.report
    }

    async fn collect(
        &mut self,
        returned: &mut UnboundedReceiver<PublishReturned>,
        mut stop: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let mut turns = 0u32;
        let look = stop.clone();
        let stopped = stop.wait_for(|stop| *stop).map(drop);
        tokio::pin!(stopped);
        loop {
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
                tokio::task::yield_now().await;
                // If replies never pause, `stopped` is never polled.
                if *look.borrow() {
                    return Ok(());
                }
            }
            let delivery = tokio::select! {
                biased;
                delivery = self.subscriber.next() => delivery,
                Some(message) = returned.recv() => {
                    self.note_returned(message);
                    continue;
                }
                () = &mut stopped => return Ok(()),
            };
            let now_ns = self.clock.now_ns();
            let settled = match delivery {
                Ok(delivery) => {
                    self.take_returned(returned);
                    self.take(&delivery, now_ns);
                    self.acknowledge(delivery.tag).await
                }
                Err(fault) => Err(fault),
            };
            if let Err(fault) = settled {
                tokio::select! {
                    biased;
                    () = &mut stopped => return Ok(()),
                    made = self.come_back(fault) => made?,
                }
            }
        }
    }

    /// Makes a lost connection again, with a queue of its own as before.
    async fn come_back(&mut self, fault: Fault) -> Result<(), Fault> {
        let reconnector = self.reconnector.as_mut().filter(|reconnector| reconnector.covers(&fault));
        let Some(reconnector) = reconnector else { return Err(fault) };
        self.waiting = 0;
        self.subscriber.abandon();
        reconnector.lose(fault);
        *self.subscriber = reconnector.again(0).await?;
        Ok(())
    }

    /// Acknowledges replies in groups. The last group stays unacknowledged: its queue is deleted with its connection.
    async fn acknowledge(&mut self, tag: u64) -> Result<(), Fault> {
        self.waiting += 1;
        if self.waiting < self.spec.ack_every {
            return Ok(());
        }
        self.waiting = 0;
        self.subscriber.ack(tag, true).await
    }

    fn take_returned(&mut self, returned: &mut UnboundedReceiver<PublishReturned>) {
        while let Ok(message) = returned.try_recv() {
            self.note_returned(message);
        }
    }

    fn note_returned(&mut self, PublishReturned { sequence, at_ns }: PublishReturned) {
        let awaited = self.awaited.entry(sequence).or_default();
        awaited.returned_ns = Some(at_ns);
        for early_ns in awaited.early_ns.drain(..) {
            self.report.histograms.record_signed(Metric::RttFromSent, early_ns as i64 - at_ns as i64);
        }
        if awaited.replies >= self.spec.replies {
            self.awaited.remove(&sequence);
        } else if self.awaited.len() > AWAITED_MAX {
            self.awaited.pop_first();
        }
    }

    /// Takes one delivery that arrived at `now_ns`.
    fn take(&mut self, delivery: &Delivery<impl AsRef<[u8]>>, now_ns: u64) {
        let spec = self.spec;
        let envelope = delivery.envelope.filter(|e| e.run == spec.run && e.producer == spec.producer);
        // Who replies matters in a gather only; external consumers need no number.
        let by = if spec.gathers { delivery.replied_by.filter(|by| *by < spec.replies) } else { Some(0) };
        let (Some(envelope), Some(by)) = (envelope, by) else {
            let run = delivery.envelope.map(|envelope| envelope.run);
            let bytes = delivery.body.as_ref().len() as u64;
            self.progress.counts.foreign.add(1);
            self.report.ledgers[0].observe_foreign(Foreign { consumer: delivery.replied_by.unwrap_or(0), bytes, run });
            return;
        };
        if !envelope.is_sealed(spec.seal) {
            let forged = MessageId { producer: envelope.producer, sequence: envelope.sequence };
            self.report.ledgers[0].observe_unexpected(forged);
            self.progress.counts.unexpected.add(1);
            return;
        }
        let audience = if spec.gathers { by as usize } else { 0 };
        self.report.last_ns = Some(now_ns);
        self.progress.counts.replies.add(1);
        self.bound_ledgers();
        let wrong = spec.verify.covers(envelope.sequence) && !self.is_right(&envelope, delivery.body.as_ref());
        let ledger = &mut self.report.ledgers[audience];
        if wrong {
            ledger.observe_corrupt();
            self.progress.counts.corrupt.add(1);
        }
        if ledger.observe(envelope.producer, envelope.sequence, delivery.redelivered) == Observation::New {
            self.progress.reply(envelope.producer, envelope.sequence);
            self.time(&envelope, now_ns, delivery.mark);
            if !wrong {
                self.reduce(&envelope, delivery.body.as_ref(), audience);
            }
        }
    }

    /// Nearly all replies come in order, so what has gaps is small once it is packed.
    fn bound_ledgers(&mut self) {
        let replies = self.progress.counts.replies.get();
        if replies.is_multiple_of(LOOK_EVERY) {
            self.report.ledgers.iter_mut().for_each(Deliveries::pack);
        }
        if replies.is_multiple_of(LOOK_EVERY) || replies.is_power_of_two() {
            self.progress.keeps(self.report.ledgers.iter().map(Deliveries::bytes).sum());
        }
    }

    /// Adds a reply to its message's vector, after its arrival was timed.
    fn reduce(&mut self, envelope: &Envelope, body: &[u8], audience: usize) {
        let (Some(reduction), spec) = (&mut self.reduction, self.spec) else { return };
        let checks = spec.verify.covers(envelope.sequence);
        let clock = self.clock;
        let Some(Reduced { ns, is_right }) = reduction.add(envelope.sequence, body, checks, || clock.now_ns()) else {
            return;
        };
        if spec.window.contains(envelope.due_ns) {
            self.report.histograms.record(Metric::Reduce, ns);
        }
        if is_right == Some(false) {
            self.report.ledgers[audience].observe_corrupt();
            self.progress.counts.corrupt.add(1);
        }
    }

    fn is_right(&self, envelope: &Envelope, body: &[u8]) -> bool {
        match self.spec.reply {
            Reply::Echo => self.payloads.verify(envelope.producer, envelope.sequence, envelope.checksum, body).is_ok(),
            Reply::Sized(size) => body.len() as u64 == size.0 && body.iter().all(|byte| *byte == 0),
            // The result of the reduction is checked.
            Reply::Sum(size) | Reply::Mean(size) => body.len() as u64 == size.0,
        }
    }

    fn time(&mut self, envelope: &Envelope, now_ns: u64, own: Option<Number>) {
        let spec = self.spec;
        let measured = spec.window.contains(envelope.due_ns);
        let awaited = self.awaited.entry(envelope.sequence).or_default();
        awaited.replies += 1;
        let complete = awaited.replies >= spec.replies;
        let histograms = &mut self.report.histograms;
        let rtt_ns = now_ns.saturating_sub(envelope.due_ns);
        self.progress.bands.record(Metric::RttFromDue, rtt_ns);
        if measured {
            histograms.record(Metric::RttFromDue, rtt_ns);
            histograms.record(Metric::Service, now_ns.saturating_sub(envelope.sent_ns));
            if let Some(Number::Whole(own_ns @ 0..)) = own {
                let rest_ns = (now_ns as i64 - envelope.sent_ns as i64).saturating_sub(own_ns);
                histograms.record(Metric::ConsumerOwn, own_ns as u64);
                histograms.record_signed(Metric::RttWithoutConsumer, rest_ns);
            }
            match awaited.returned_ns {
                Some(returned_ns) => {
                    histograms.record_signed(Metric::RttFromSent, now_ns as i64 - returned_ns as i64);
                }
                None => awaited.early_ns.push(now_ns),
            }
            if complete && spec.gathers {
                histograms.record(Metric::Gather, now_ns.saturating_sub(envelope.due_ns));
            }
        }
        // Kept if its publish has not been seen to return yet.
        if complete && awaited.returned_ns.is_some() {
            self.awaited.remove(&envelope.sequence);
        }
    }
}
