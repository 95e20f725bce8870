//! A producer's loop: hands messages over in order, keeps the network busy, settles every one.

use crate::{
    begun::Begun,
    clock::Clock,
    collect::Written,
    delay::Delays,
    envelope::Envelope,
    ports::{Fault, Outcome, Outgoing, Publisher, Source},
    progress::Progress,
};
use futures_util::{FutureExt, future::poll_fn};
use measure::{Counters, Histograms, Metric, Sent, SentSummary};
use profile::Confirms;
use std::{collections::VecDeque, ops::Range, pin::Pin, time::Duration};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::{Sleep, sleep},
};

/// Other workers of the rank share the thread: let them run after so many turns, however busy.
pub(crate) const TURNS_BEFORE_YIELD: u32 = 64;
/// How long a producer waits after a rejection; doubled by each further one, up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What one producer is to do.
#[derive(Debug, Clone)]
pub struct ProducerSpec {
    /// The run.
    pub run: u32,
    /// This producer.
    pub index: u32,
    /// How many messages it sends at most.
    pub quota: Option<u64>,
    /// When it starts, in common time.
    pub start_ns: u64,
    /// When it stops, in common time.
    pub end_ns: Option<u64>,
    /// The measured window, in common time: samples belong to it by their due time.
    pub window: Range<u64>,
    /// How it learns that messages were accepted.
    pub confirms: Confirms,
    /// Publishes handed over and not yet written.
    pub in_flight: u32,
    /// How often it publishes a rejected message again.
    pub republish_limit: u32,
    /// How long it pauses after each message.
    pub think: Option<Delays>,
    /// Who wants to know when publishes return.
    pub written: Option<UnboundedSender<Written>>,
}

/// What one producer did.
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
    /// What ended it before its time.
    pub fault: Option<Fault>,
}

/// One message between its publish and its settlement.
#[derive(Debug, Clone, Copy)]
struct Pending {
    sequence: u64,
    due_ns: u64,
    sent_ns: u64,
    events: u32,
    bytes: u64,
    republished: u32,
}

/// Publishes until the quota, the end or `stop`; returns when every message is settled, or at once
/// when stopped or broken.
pub async fn produce<P: Publisher, S: Source>(
    publisher: &mut P,
    source: &mut S,
    spec: &ProducerSpec,
    clock: Clock,
    progress: &Progress,
    mut stop: watch::Receiver<bool>,
) -> ProducerReport {
    let mut ledger = Sent::new(spec.confirms.wanted());
    let mut counters = Counters::default();
    let mut histograms = Histograms::new();
    let mut fault = None;

    // Begun in the order in which they were made: that is the order on the wire.
    let mut writing: VecDeque<(Pending, Begun<P::Written>)> = VecDeque::new();
    let mut confirming: VecDeque<(Pending, Begun<P::Confirm>)> = VecDeque::new();
    let mut again: VecDeque<Pending> = VecDeque::new();
    let mut paused: Option<Pin<Box<Sleep>>> = None;
    let mut pause = PAUSE_MIN;
    let mut think = spec.think.clone();
    let mut allowance = 0;
    let mut turns = 0u32;
    let stopped = stop.wait_for(|stop| *stop).map(|_| ());
    tokio::pin!(stopped);

    sleep_until(clock, spec.start_ns).await;
    loop {
        // Hand over what may go now.
        let unsettled = writing.len() + confirming.len();
        if unsettled == 0 {
            allowance = batch(spec.confirms);
        }
        let may_send = paused.is_none()
            && writing.len() < spec.in_flight as usize
            && match spec.confirms {
                Confirms::Window(n) => unsettled < n.get() as usize,
                Confirms::None => true,
                Confirms::Each | Confirms::Batch(_) => allowance > 0,
            };
        if may_send && let Some(next) = next(spec, clock, counters.sent, &mut ledger, &mut again) {
            let body = source.take(next.sequence);
            let sent_ns = clock.now_ns();
            let pending = Pending {
                due_ns: if next.republished == 0 { sent_ns } else { next.due_ns },
                sent_ns,
                events: body.events,
                bytes: body.bytes.len() as u64,
                ..next
            };
            let envelope = Envelope {
                run: spec.run,
                producer: spec.index,
                sequence: pending.sequence,
                due_ns: pending.due_ns,
                sent_ns,
                checksum: body.checksum,
            };
            let written = publisher.publish(Outgoing { body: body.bytes, envelope: envelope.encode(), answer: None });
            writing.push_back((pending, Begun::begin(written, clock)));
            allowance = allowance.saturating_sub(1);
            if pending.republished == 0 {
                counters.sent += 1;
                counters.bytes_sent += pending.bytes;
                counters.events_sent += u64::from(pending.events);
                progress.sent.add(1);
            } else {
                counters.republished += 1;
                ledger.republish();
            }
            if let Some(rest) = think.as_mut().and_then(|think| think.begin(sent_ns)) {
                paused = Some(Box::pin(sleep(rest)));
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
                tokio::task::yield_now().await;
            }
            continue;
        }
        if unsettled == 0 && again.is_empty() && paused.is_none() {
            progress.finish();
            break;
        }

        // Wait until there is something worth a turn, then settle all that is ready.
        let waits_for_writes = !writing.is_empty();
        // A batch goes on when all of it is confirmed, and its confirms follow its writes.
        let waits_for_confirms = !confirming.is_empty() && (windowed(spec.confirms) || !waits_for_writes);
        tokio::select! {
            biased;
            () = settle(&mut writing, windowed(spec.confirms)), if waits_for_writes => {}
            () = settle(&mut confirming, windowed(spec.confirms)), if waits_for_confirms => {}
            () = async { paused.as_mut().expect("the branch is on only while paused").await }, if paused.is_some() => {
                paused = None;
            }
            () = &mut stopped => break,
        }
        while let Some((pending, (bytes, result), written_ns)) = pop_settled(&mut writing) {
            source.give_back(pending.sequence, bytes);
            if let Some(written) = &spec.written {
                // Nobody listens any more where the answers' connection broke.
                let _ = written.send(Written { sequence: pending.sequence, at_ns: written_ns });
            }
            match result {
                Ok(confirm) if spec.confirms.wanted() => confirming.push_back((pending, Begun::begin(confirm, clock))),
                Ok(_) => progress.accepted.add(1),
                Err(broken) => fault = Some(broken),
            }
        }
        while let Some((pending, outcome, settled_ns)) = pop_settled(&mut confirming) {
            match outcome {
                Ok(Outcome::Accepted | Outcome::NotAsked) => {
                    pause = PAUSE_MIN;
                    counters.confirmed += 1;
                    ledger.confirm(pending.sequence);
                    progress.accepted.add(1);
                    if spec.window.contains(&pending.due_ns) {
                        histograms.record(Metric::Confirm, settled_ns.saturating_sub(pending.sent_ns));
                    }
                    continue;
                }
                Ok(Outcome::Rejected) => {
                    counters.rejected += 1;
                    ledger.reject();
                    progress.rejected.add(1);
                }
                Ok(Outcome::Returned) => {
                    counters.returned += 1;
                    ledger.give_back();
                }
                Err(broken) => {
                    fault = Some(broken);
                    continue;
                }
            }
            if pending.republished < spec.republish_limit {
                again.push_back(Pending { republished: pending.republished + 1, ..pending });
                paused.get_or_insert_with(|| Box::pin(sleep(pause)));
                pause = (pause * 2).min(PAUSE_MAX);
            } else {
                counters.abandoned += 1;
                ledger.abandon(pending.sequence);
                progress.abandoned.add(1);
            }
        }
        if fault.is_some() {
            break;
        }
    }
    if let Some(fault) = &fault {
        progress.fail(fault.clone());
    }
    ProducerReport { index: spec.index, counters, histograms, sent: ledger.finish(), fault }
}

/// The next message: a rejected one first, else a new one, unless the run is over.
fn next(
    spec: &ProducerSpec,
    clock: Clock,
    sent: u64,
    ledger: &mut Sent,
    again: &mut VecDeque<Pending>,
) -> Option<Pending> {
    if let Some(pending) = again.pop_front() {
        return Some(pending);
    }
    if spec.end_ns.is_some_and(|end_ns| clock.now_ns() >= end_ns) || spec.quota.is_some_and(|q| sent >= q) {
        return None;
    }
    let sequence = ledger.publish();
    Some(Pending { sequence, due_ns: 0, sent_ns: 0, events: 0, bytes: 0, republished: 0 })
}

/// How many messages go out before all of them must be confirmed.
fn batch(confirms: Confirms) -> u32 {
    match confirms {
        Confirms::Batch(n) => n.get(),
        Confirms::Each => 1,
        Confirms::None | Confirms::Window(_) => 0,
    }
}

/// Whether messages follow each other without a stop, so that half of what is under way is enough
/// to go on with.
fn windowed(confirms: Confirms) -> bool {
    matches!(confirms, Confirms::Window(_) | Confirms::None)
}

/// Waits for the last of those under way, or for the middle one; those before it are then ready too,
/// since a channel writes in order and a broker confirms nearly so. Where it did not, the first is
/// waited for.
async fn settle<F: Future + Unpin>(under_way: &mut VecDeque<(Pending, Begun<F>)>, middle: bool) {
    let at = if middle { under_way.len() / 2 } else { under_way.len() - 1 };
    let at = if under_way[at].1.is_settled() { 0 } else { at };
    poll_fn(|cx| under_way[at].1.poll_settled(cx)).await;
}

/// The first of those under way, if it is settled.
fn pop_settled<F: Future + Unpin>(under_way: &mut VecDeque<(Pending, Begun<F>)>) -> Option<(Pending, F::Output, u64)> {
    if !under_way.front_mut()?.1.is_settled() {
        return None;
    }
    let (pending, begun) = under_way.pop_front()?;
    begun.settled().map(|(output, at_ns)| (pending, output, at_ns))
}

/// Sleeps until a common time.
pub(crate) async fn sleep_until(clock: Clock, at_ns: u64) {
    sleep(Duration::from_nanos(at_ns.saturating_sub(clock.now_ns()))).await;
}
