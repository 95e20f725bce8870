//! A producer's loop: hands messages over in order, keeps the network busy, settles every one.

use crate::{
    begun::Begun,
    clock::Clock,
    collect::Written,
    delay::Delays,
    envelope::{Envelope, SealKey},
    pace::Pace,
    ports::{Fault, FaultKind, Outcome, Outgoing, Publisher, Source},
    progress::Progress,
    schedule::Schedule,
    window::Window,
};
use futures_util::{FutureExt, future::poll_fn};
use measure::{Counters, Histograms, Metric, Sent, SentSummary};
use profile::Confirms;
use std::{collections::VecDeque, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    sync::{mpsc::UnboundedSender, watch},
    time::{Sleep, sleep},
};

/// Other workers of the rank share the thread: let them run after so many turns, however busy.
pub(crate) const TURNS_BEFORE_YIELD: u32 = 64;
/// How long a producer waits after a rejection; doubled by each further one, up to the maximum.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(100);
/// A message that is sent later than this after it was due is sent to catch up with a stall; less is a timer's doing.
const OVERDUE_NS: u64 = 1_000_000;

/// What one producer is to do.
#[derive(Debug, Clone)]
pub struct ProducerSpec {
    /// The run.
    pub run: u32,
    /// This producer.
    pub index: u32,
    /// What envelopes of the run are sealed with.
    pub seal: SealKey,
    /// How many messages it sends at most.
    pub quota: Option<u64>,
    /// When it starts, in common time.
    pub start_ns: u64,
    /// When each of its messages is due; none where it sends as fast as it may.
    pub schedule: Option<Schedule>,
    /// How it makes up for a stall; none for at once.
    pub catchup: Option<Catchup>,
    /// Whether it spins for the last moments before a message is due.
    pub spin: bool,
    /// When it is measured (samples belong to the window by their due time), and when it stops.
    pub window: Arc<Window>,
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

/// A bound on how fast a sender makes up for a stall. Due times never move, so it stays late for longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catchup {
    /// Overdue messages that it sends on end.
    pub limit: u64,
    /// How long it pauses after them.
    pub rest_ns: u64,
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
    /// The most messages that it sent one after the other to catch up with a stall.
    pub catchup_run_max: u64,
    /// When it sent its first and its last message, in common time.
    pub sent_ns: Option<(u64, u64)>,
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
    let mut thinking = false;
    let mut allowance = 0;
    let mut lateness = Lateness { free_ns: spec.start_ns, ..Lateness::default() };
    let mut calendar = Calendar { spec, clock, schedule: spec.schedule.clone(), not_before_ns: 0 };
    let mut first_and_last: Option<(u64, u64)> = None;
    let mut pace = match calendar.schedule.as_ref().map(|_| Pace::new(spec.spin)).transpose() {
        Ok(pace) => pace,
        Err(error) => {
            fault = Some(Fault::new(FaultKind::Refused, format!("no timer to pace messages with: {error}")));
            None
        }
    };
    let mut turns = 0u32;
    let stopped = stop.wait_for(|stop| *stop).map(|_| ());
    tokio::pin!(stopped);

    sleep_until(clock, spec.start_ns).await;
    while fault.is_none() {
        // Hand over what may go now.
        let unsettled = writing.len() + confirming.len();
        if unsettled == 0 {
            allowance = batch(spec.confirms);
        }
        let permit = paused.is_none()
            && writing.len() < spec.in_flight as usize
            && match spec.confirms {
                Confirms::Window(n) => unsettled < n.get() as usize,
                Confirms::None => true,
                Confirms::Each | Confirms::Batch(_) => allowance > 0,
            };
        // A rejected one first, else a new one.
        let upcoming = if again.is_empty() { calendar.upcoming(counters.sent) } else { Upcoming::Now(0) };
        if let (true, Upcoming::Now(due_ns)) = (permit, upcoming) {
            let next = again.pop_front().unwrap_or_else(|| calendar.take(ledger.publish(), due_ns));
            let body = source.take(next.sequence);
            let sent_ns = clock.now_ns();
            let pending = Pending {
                // Without a schedule a message is due when it can be sent.
                due_ns: if next.due_ns == 0 { sent_ns } else { next.due_ns },
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
                seal: 0,
            }
            .sealed(spec.seal);
            let written = publisher.publish(Outgoing { body: body.bytes, envelope: envelope.encode(), answer: None });
            writing.push_back((pending, Begun::begin(written, clock)));
            allowance = allowance.saturating_sub(1);
            if pending.republished == 0 {
                counters.sent += 1;
                counters.bytes_sent += pending.bytes;
                counters.events_sent += u64::from(pending.events);
                progress.sent.add(1);
                first_and_last = Some((first_and_last.map_or(sent_ns, |(first_ns, _)| first_ns), sent_ns));
                if calendar.schedule.is_some() {
                    lateness.note(&pending, &spec.window, &mut counters, &mut histograms);
                    if let Some(Catchup { limit, rest_ns }) = spec.catchup
                        && lateness.run > 0
                        && lateness.run.is_multiple_of(limit)
                    {
                        calendar.not_before_ns = sent_ns + rest_ns;
                    }
                }
            } else {
                counters.republished += 1;
                ledger.republish();
            }
            if let Some(rest) = think.as_mut().and_then(|think| think.begin(sent_ns)) {
                paused = Some(Box::pin(sleep(rest)));
                thinking = true;
            }
            turns = turns.wrapping_add(1);
            if turns.is_multiple_of(TURNS_BEFORE_YIELD) {
                tokio::task::yield_now().await;
            }
            continue;
        }
        if unsettled == 0 && paused.is_none() && upcoming == Upcoming::Over {
            progress.finish();
            break;
        }
        // Whether it is the service that holds the next message back, and from when on.
        let held_from_ns = match upcoming {
            Upcoming::Now(due_ns) if !permit && !thinking => Some(due_ns.max(clock.now_ns())),
            Upcoming::At(due_ns) if !permit && !thinking => Some(due_ns),
            _ => None,
        };
        let due_ns = match upcoming {
            Upcoming::At(due_ns) if permit => Some(due_ns),
            _ => None,
        };

        // Wait until there is something worth a turn, then settle all that is ready.
        let mut over = false;
        let waits_for_writes = !writing.is_empty();
        // A batch goes on when all of it is confirmed, and its confirms follow its writes.
        let waits_for_confirms = !confirming.is_empty() && (windowed(spec.confirms) || !waits_for_writes);
        tokio::select! {
            biased;
            () = settle(&mut writing, windowed(spec.confirms)), if waits_for_writes => {}
            () = settle(&mut confirming, windowed(spec.confirms)), if waits_for_confirms => {}
            () = async { paused.as_mut().expect("the branch is on only while paused").await }, if paused.is_some() => {
                paused = None;
                thinking = false;
            }
            waited = async {
                let pace = pace.as_mut().expect("who has a schedule has a timer");
                pace.until(clock, due_ns.expect("the branch is on only with one")).await
            }, if due_ns.is_some() => {
                if let Err(error) = waited {
                    fault = Some(Fault::new(FaultKind::Lost, format!("the timer that paces messages failed: {error}")));
                }
            }
            () = &mut stopped => over = true,
        }
        if let Some(from_ns) = held_from_ns {
            counters.backpressure_ns += clock.now_ns().min(spec.window.stop_ns()).saturating_sub(from_ns);
        }
        if over {
            break;
        }
        while let Some((pending, (bytes, result), written_ns)) = pop_settled(&mut writing) {
            source.give_back(pending.sequence, bytes);
            // What is published again was sent when it was sent first.
            if let Some(written) = spec.written.as_ref().filter(|_| pending.republished == 0) {
                // Nobody listens any more where the answers' connection broke.
                let _ = written.send(Written { sequence: pending.sequence, at_ns: written_ns });
            }
            match result {
                Ok(confirm) if spec.confirms.wanted() => confirming.push_back((pending, Begun::begin(confirm, clock))),
                Ok(_) => progress.accept(spec.index, pending.sequence),
                Err(broken) => fault = Some(broken),
            }
        }
        while let Some((pending, outcome, settled_ns)) = pop_settled(&mut confirming) {
            match outcome {
                Ok(Outcome::Accepted | Outcome::NotAsked) => {
                    pause = PAUSE_MIN;
                    counters.confirmed += 1;
                    ledger.confirm(pending.sequence);
                    progress.accept(spec.index, pending.sequence);
                    if spec.window.contains(pending.due_ns) {
                        histograms.record(Metric::Confirm, settled_ns.saturating_sub(pending.sent_ns));
                        if calendar.schedule.is_some() {
                            histograms.record(Metric::ConfirmFromDue, settled_ns.saturating_sub(pending.due_ns));
                        }
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
    }
    calendar.close(lateness.free_ns, &mut counters);
    counters.spun_ns = pace.map_or(0, |pace| pace.spun_ns);
    if let Some(fault) = &fault {
        progress.fail(fault.clone());
    }
    ProducerReport {
        index: spec.index,
        counters,
        histograms,
        sent: ledger.finish(),
        catchup_run_max: lateness.run_max,
        sent_ns: first_and_last,
        fault,
    }
}

/// What a producer sends next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Upcoming {
    /// Something is due, since this instant; 0 where there is no schedule.
    Now(u64),
    /// Nothing before this instant.
    At(u64),
    /// Nothing any more.
    Over,
}

/// When a producer's messages are due, and when there are no more.
struct Calendar<'a> {
    spec: &'a ProducerSpec,
    clock: Clock,
    schedule: Option<Schedule>,
    /// Until when the sender pauses, although more is overdue.
    not_before_ns: u64,
}

impl Calendar<'_> {
    /// What is next after `sent` messages.
    fn upcoming(&self, sent: u64) -> Upcoming {
        let stop_ns = self.spec.window.stop_ns();
        if self.spec.quota.is_some_and(|quota| sent >= quota) {
            return Upcoming::Over;
        }
        let Some(schedule) = &self.schedule else {
            // The clock is read only where something depends on it.
            let over = stop_ns != u64::MAX && self.clock.now_ns() >= stop_ns;
            return if over { Upcoming::Over } else { Upcoming::Now(0) };
        };
        let Some(due_ns) = schedule.due_ns().map(|due_ns| self.spec.start_ns + due_ns) else { return Upcoming::Over };
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

    /// The message that is next.
    fn take(&mut self, sequence: u64, due_ns: u64) -> Pending {
        if let Some(schedule) = &mut self.schedule {
            schedule.advance();
        }
        Pending { sequence, due_ns, sent_ns: 0, events: 0, bytes: 0, republished: 0 }
    }

    /// Counts what was due and never sent: who stops with it in arrears did not offer the load that was asked for. The
    /// next message could not be sent before `free_ns`.
    fn close(&self, free_ns: u64, counters: &mut Counters) {
        let Some(schedule) = &self.schedule else { return };
        let window = &self.spec.window;
        let now_ns = self.clock.now_ns();
        let unsent = schedule.due_ns().filter(|_| self.spec.quota.is_none_or(|quota| counters.sent < quota));
        if let Some(due_ns) = unsent {
            let since_ns = free_ns.max(self.spec.start_ns + due_ns);
            counters.late_ns += now_ns.min(window.stop_ns()).saturating_sub(since_ns);
        }
        let left = |at_ns: u64| schedule.left_before(at_ns.min(now_ns).saturating_sub(self.spec.start_ns));
        let missing = self.spec.quota.map(|quota| quota - counters.sent);
        let bounded = |left: u64| missing.map_or(left, |missing| missing.min(left));
        counters.unsent += bounded(left(window.stop_ns()));
        counters.in_window_due += bounded(left(window.end_ns()) - left(window.start_ns().min(window.end_ns())));
    }
}

/// How a sender keeps its schedule.
#[derive(Debug, Default)]
struct Lateness {
    /// When the last message was sent: the next one could not be sent before.
    free_ns: u64,
    run: u64,
    run_max: u64,
}

impl Lateness {
    /// Notes one message that was sent for the first time.
    fn note(&mut self, sent: &Pending, window: &Window, counters: &mut Counters, histograms: &mut Histograms) {
        let Pending { due_ns, sent_ns, .. } = *sent;
        let lag_ns = sent_ns.saturating_sub(due_ns);
        counters.late_ns += sent_ns.saturating_sub(due_ns.max(self.free_ns));
        self.free_ns = sent_ns;
        if lag_ns > OVERDUE_NS {
            counters.catchup_messages += 1;
            self.run += 1;
            self.run_max = self.run_max.max(self.run);
        } else {
            self.run = 0;
        }
        if window.contains(due_ns) {
            histograms.record(Metric::ScheduleLag, lag_ns);
            counters.in_window_due += 1;
            counters.in_window_in_time += u64::from(sent_ns < window.end_ns());
        }
    }
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
