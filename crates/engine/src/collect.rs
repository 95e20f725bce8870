//! A producer's answers: taken as they come, checked, timed against their messages.

use crate::{
    clock::Clock,
    envelope::{Envelope, SealKey},
    ports::{Delivery, Fault, Payloads, Subscriber},
    produce::TURNS_BEFORE_YIELD,
    progress::Progress,
    window::Window,
};
use futures_util::FutureExt;
use measure::{Counters, Deliveries, Foreign, Histograms, MessageId, Metric, Observation};
use profile::{Reply, Verify};
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{mpsc::UnboundedReceiver, watch};

/// What one producer's answers must be.
#[derive(Debug, Clone)]
pub struct CollectorSpec {
    /// The run.
    pub run: u32,
    /// The producer.
    pub producer: u32,
    /// What envelopes of the run are sealed with.
    pub seal: SealKey,
    /// Answers that each message gets.
    pub replies: u32,
    /// Whether they come from that many consumers and belong together.
    pub gathers: bool,
    /// What the answers are.
    pub reply: Reply,
    /// After how many of them all are acknowledged.
    pub ack_every: u32,
    /// Which of them are checked.
    pub verify: Verify,
    /// The measured window: samples belong to it by their due time.
    pub window: Arc<Window>,
}

/// What one producer was answered.
#[derive(Debug)]
pub struct CollectorReport {
    /// Its counts.
    pub counters: Counters,
    /// Its latencies.
    pub histograms: Histograms,
    /// One ledger for each answer that a message gets.
    pub ledgers: Vec<Deliveries>,
    /// When the last answer arrived.
    pub last_ns: Option<u64>,
    /// What ended it before its time.
    pub fault: Option<Fault>,
}

/// When the publish of a message returned, in common time.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// The message.
    pub sequence: u64,
    /// When.
    pub at_ns: u64,
}

/// Messages whose answers are timed. An answer that is further behind is counted and has no time: most likely it is lost,
/// and a run that loses many must not run out of memory.
const AWAITED_MAX: usize = 1 << 18;

/// A message that is not answered in full.
#[derive(Debug, Default)]
struct Awaited {
    written_ns: Option<u64>,
    /// Answers that were looked at before the publish was seen to have returned.
    early_ns: Vec<u64>,
    replies: u32,
}

/// Takes answers until `stop` or until the stream breaks. `written` says when publishes returned.
pub async fn collect<S: Subscriber, P: Payloads>(
    subscriber: &mut S,
    payloads: &P,
    spec: &CollectorSpec,
    mut written: UnboundedReceiver<Written>,
    clock: Clock,
    progress: &Progress,
    mut stop: watch::Receiver<bool>,
) -> CollectorReport {
    let mut collector = Collector {
        spec,
        payloads,
        progress,
        awaited: BTreeMap::new(),
        report: CollectorReport {
            counters: Counters::default(),
            histograms: Histograms::new(),
            ledgers: vec![Deliveries::new(); spec.replies as usize],
            last_ns: None,
            fault: None,
        },
    };
    let mut turns = 0u32;
    let mut waiting = 0;
    let look = stop.clone();
    let stopped = stop.wait_for(|stop| *stop).map(drop);
    tokio::pin!(stopped);
    loop {
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
            tokio::task::yield_now().await;
            if *look.borrow() {
                break;
            }
        }
        let delivery = tokio::select! {
            biased;
            delivery = subscriber.next() => delivery,
            Some(written) = written.recv() => {
                collector.note_written(written);
                continue;
            }
            () = &mut stopped => break,
        };
        let now_ns = clock.now_ns();
        let taken = match delivery {
            Ok(delivery) => {
                collector.take_written(&mut written);
                collector.take(&delivery, now_ns);
                waiting += 1;
                // Those of the last are left: their queue goes with its connection.
                if waiting >= spec.ack_every {
                    waiting = 0;
                    subscriber.ack(delivery.tag, true).await
                } else {
                    Ok(())
                }
            }
            Err(fault) => Err(fault),
        };
        if let Err(fault) = taken {
            progress.fail(fault.clone());
            collector.report.fault = Some(fault);
            break;
        }
    }
    collector.take_written(&mut written);
    collector.report.ledgers.iter_mut().for_each(Deliveries::pack);
    collector.report
}

struct Collector<'a, P> {
    spec: &'a CollectorSpec,
    payloads: &'a P,
    progress: &'a Progress,
    awaited: BTreeMap<u64, Awaited>,
    report: CollectorReport,
}

impl<P: Payloads> Collector<'_, P> {
    fn take_written(&mut self, written: &mut UnboundedReceiver<Written>) {
        while let Ok(written) = written.try_recv() {
            self.note_written(written);
        }
    }

    fn note_written(&mut self, Written { sequence, at_ns }: Written) {
        let awaited = self.awaited.entry(sequence).or_default();
        awaited.written_ns = Some(at_ns);
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
        let by = delivery.answered_by.filter(|by| !spec.gathers || *by < spec.replies);
        let (Some(envelope), Some(by)) = (envelope, by) else {
            let run = delivery.envelope.map(|envelope| envelope.run);
            let bytes = delivery.body.as_ref().len() as u64;
            self.report.counters.foreign += 1;
            self.report.ledgers[0].observe_foreign(Foreign { consumer: delivery.answered_by.unwrap_or(0), bytes, run });
            return;
        };
        if !envelope.is_sealed(spec.seal) {
            let forged = MessageId { producer: envelope.producer, sequence: envelope.sequence };
            self.report.ledgers[0].observe_unexpected(forged);
            self.progress.unexpected.add(1);
            return;
        }
        let audience = if spec.gathers { by as usize } else { 0 };
        self.report.last_ns = Some(now_ns);
        self.report.counters.replies += 1;
        self.progress.replies.add(1);
        let wrong = spec.verify.covers(envelope.sequence) && !self.is_right(&envelope, delivery.body.as_ref());
        let ledger = &mut self.report.ledgers[audience];
        if wrong {
            ledger.observe_corrupt();
            self.progress.corrupt.add(1);
        }
        if ledger.observe(envelope.producer, envelope.sequence, delivery.redelivered) == Observation::New {
            self.progress.answer(envelope.producer, envelope.sequence);
            self.time(&envelope, now_ns);
        }
    }

    fn is_right(&self, envelope: &Envelope, body: &[u8]) -> bool {
        match self.spec.reply {
            Reply::Echo => self.payloads.verify(envelope.producer, envelope.sequence, envelope.checksum, body).is_ok(),
            Reply::Sized(size) => body.len() as u64 == size.0 && body.iter().all(|byte| *byte == 0),
        }
    }

    fn time(&mut self, envelope: &Envelope, now_ns: u64) {
        let spec = self.spec;
        let measured = spec.window.contains(envelope.due_ns);
        let awaited = self.awaited.entry(envelope.sequence).or_default();
        awaited.replies += 1;
        let complete = awaited.replies >= spec.replies;
        let histograms = &mut self.report.histograms;
        if measured {
            histograms.record(Metric::RttFromDue, now_ns.saturating_sub(envelope.due_ns));
            histograms.record(Metric::Service, now_ns.saturating_sub(envelope.sent_ns));
            match awaited.written_ns {
                Some(written_ns) => {
                    histograms.record_signed(Metric::RttFromSent, now_ns as i64 - written_ns as i64);
                }
                None => awaited.early_ns.push(now_ns),
            }
            if complete && spec.gathers {
                histograms.record(Metric::Gather, now_ns.saturating_sub(envelope.due_ns));
            }
        }
        // Kept where its publish has yet to be seen to return.
        if complete && awaited.written_ns.is_some() {
            self.awaited.remove(&envelope.sequence);
        }
    }
}
