//! A consumer's loop: takes what comes, checks it, notes it, acknowledges it.

use crate::{
    clock::Clock,
    envelope::Envelope,
    inspections::{Exhibit, Inspected, Inspections},
    ports::{CorruptionKind, Delivery, Fault, Payloads, Subscriber},
    produce::TURNS_BEFORE_YIELD,
    progress::Progress,
};
use measure::{ConsumerSpan, Counters, Deliveries, Histograms, Metric, Observation};
use profile::{Acks, Verify};
use std::{ops::Range, sync::Arc};
use tokio::sync::watch;

/// What one consumer is to do.
#[derive(Debug, Clone)]
pub struct ConsumerSpec {
    /// The run.
    pub run: u32,
    /// This consumer.
    pub index: u32,
    /// Producers of the run: an envelope with a higher one is not of this run.
    pub producers: u32,
    /// Bodies that may wait for their inspection.
    pub inspections: usize,
    /// The measured window, in common time.
    pub window: Range<u64>,
    /// How it acknowledges.
    pub acks: Acks,
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
    /// Its side of the ledger.
    pub deliveries: Deliveries,
    /// The first body that was not what was sent.
    pub exhibit: Option<Exhibit>,
    /// When it was busy.
    pub span: ConsumerSpan,
    /// What ended it before its time.
    pub fault: Option<Fault>,
}

/// Consumes until `stop` or until the stream breaks; acknowledges the remainder.
pub async fn consume<S: Subscriber, P: Payloads>(
    subscriber: &mut S,
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
        deliveries: Deliveries::new(),
        exhibit: None,
        span: ConsumerSpan::default(),
        fault: None,
    };
    let mut inspections = Inspections::new(payloads.clone(), spec.inspections);
    let mut unacknowledged = 0;
    let mut last_tag = 0;
    let mut turns = 0u32;
    let look = stop.clone();
    let stopped = stop.wait_for(|stop| *stop);
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
        let delivery = tokio::select! {
            biased;
            delivery = subscriber.next() => delivery,
            _ = &mut stopped => break Ok(()),
        };
        let delivery = match delivery {
            Ok(delivery) => delivery,
            Err(fault) => break Err(fault),
        };
        last_tag = delivery.tag;
        let wants_inspection = note(&delivery, &**payloads, spec, clock.now_ns(), &mut report, progress);
        let acknowledged = match spec.acks {
            Acks::Auto => Ok(()),
            Acks::Each => subscriber.ack(last_tag, false).await,
            Acks::Multiple(n) => {
                unacknowledged += 1;
                if unacknowledged == n.get() {
                    unacknowledged = 0;
                    subscriber.ack(last_tag, true).await
                } else {
                    Ok(())
                }
            }
        };
        if let Err(fault) = acknowledged {
            break Err(fault);
        }
        if let Some(exhibit) = wants_inspection {
            inspections.add(exhibit, delivery.body).await;
            while let Some(found) = inspections.next_done() {
                note_corrupt(found, &mut report, progress);
            }
        }
    };
    for found in inspections.all_done().await {
        note_corrupt(found, &mut report, progress);
    }
    let outcome = match outcome {
        Ok(()) if unacknowledged > 0 => subscriber.ack(last_tag, true).await,
        other => other,
    };
    if let Err(fault) = outcome {
        progress.fail(fault.clone());
        report.fault = Some(fault);
    }
    report
}

/// Notes one delivery that arrived at `now_ns`; says what is to be inspected besides.
fn note<P: Payloads>(
    delivery: &Delivery<impl AsRef<[u8]>>,
    payloads: &P,
    spec: &ConsumerSpec,
    now_ns: u64,
    report: &mut ConsumerReport,
    progress: &Progress,
) -> Option<Inspected> {
    let ours = |envelope: &Envelope| envelope.run == spec.run && envelope.producer < spec.producers;
    let Some(envelope) = delivery.envelope.filter(ours) else {
        report.counters.foreign += 1;
        report.deliveries.observe_foreign();
        return None;
    };
    let body = delivery.body.as_ref();
    let bytes = body.len() as u64;
    let Envelope { producer, sequence, .. } = envelope;
    let events = u64::from(payloads.events(producer, sequence));
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
        progress.distinct.add(1);
    }
    let span = &mut report.span;
    if span.messages == 0 {
        span.first_ns = now_ns;
    }
    span.messages += 1;
    span.last_ns = now_ns;
    if spec.window.contains(&now_ns) {
        report.counters.in_window_messages += 1;
        report.counters.in_window_bytes += bytes;
        report.counters.in_window_events += events;
    }
    if spec.window.contains(&envelope.due_ns) {
        report.histograms.record_signed(Metric::OneWay, now_ns as i64 - envelope.sent_ns as i64);
    }
    if !spec.verify.covers(sequence) {
        return None;
    }
    report.counters.verified += 1;
    let inspected = Inspected { consumer: spec.index, producer, sequence, at_ns: now_ns };
    match payloads.verify(producer, sequence, envelope.checksum, body) {
        Ok(()) => payloads.inspects().then_some(inspected),
        Err(corruption) => {
            note_corrupt(inspected.exhibit(corruption, body), report, progress);
            None
        }
    }
}

fn note_corrupt(found: Exhibit, report: &mut ConsumerReport, progress: &Progress) {
    let counters = &mut report.counters;
    counters.corrupt += 1;
    *match found.corruption.kind {
        CorruptionKind::Length => &mut counters.corrupt_length,
        CorruptionKind::Checksum => &mut counters.corrupt_checksum,
        CorruptionKind::Structure => &mut counters.corrupt_structure,
        CorruptionKind::Content => &mut counters.corrupt_content,
    } += 1;
    report.deliveries.observe_corrupt();
    progress.corrupt.add(1);
    if report.exhibit.as_ref().is_none_or(|first| found.at_ns < first.at_ns) {
        report.exhibit = Some(found);
    }
}
