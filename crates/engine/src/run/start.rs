//! Starts the workers of a rank on their thread, each with its task, a place for its progress, and a channel for its
//! report.

use crate::{
    ports::{Comm, Fault, FaultKind, Payloads, Publisher, Role, Subscriber, Transport},
    result::left::held_by,
    run::{
        again::Again,
        alarms::ConnectionAlarms,
        connect::{Connected, Consuming, Producing},
        rank::Rank,
        times::Times,
    },
    time::{awake::Patience, clocks::Clocks, delay::Delays, one_way::OneWay, schedule::Schedule},
    worker::{
        budget::Budget,
        calendar::Catchup,
        collect::{Collector, CollectorReport, CollectorSpec},
        consume::{Consumer, ConsumerReport, ConsumerSpec, ForeignSpec, LOOK_EVERY},
        produce::{Producer, ProducerReport, ProducerSpec},
        progress::Progress,
    },
};
use measure::{Held, Timeline};
use profile::{Acks, Plan, RunLength, Side, Verify};
use std::sync::{
    Arc,
    mpsc::{self, Receiver},
};
use tokio::sync::{mpsc::unbounded_channel, watch};

/// The running workers of a rank.
pub(crate) struct Started {
    /// The progress of each.
    pub progress: Arc<[Progress]>,
    producers: Vec<Worker<ProducerReport>>,
    collectors: Vec<Worker<CollectorReport>>,
    consumers: Vec<Worker<ConsumerReport>>,
}

/// The reports of a rank's workers.
pub(crate) struct Reports {
    pub producers: Vec<ProducerReport>,
    pub collectors: Vec<CollectorReport>,
    pub consumers: Vec<ConsumerReport>,
    /// Workers that did not report.
    pub missing: usize,
    /// Receivers for the ends of their connections, each with the number of messages that the worker's own queue still
    /// held.
    pub closing: Vec<Receiver<Held>>,
}

/// A worker's channels to the main thread: its report, then the end of its connection with the number of messages that
/// its own queue still held.
struct Worker<R> {
    report: Receiver<R>,
    closed: Receiver<Held>,
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Starts all workers of this rank; they wait for the start of streaming by themselves.
    pub fn start(
        &self,
        (producing, consuming): Connected<T, P>,
        clocks: &Clocks,
        times: &Times,
        (alarms, stop): (&ConnectionAlarms, &watch::Receiver<bool>),
    ) -> Started {
        let again = Again { transport: &self.transport, plan: self.plan, clock: clocks.clock, times, alarms };
        // Each producer has one slot for its messages and one for its replies.
        let mut slots = Slots::new(2 * producing.len() + consuming.len());
        let progress = slots.progress.clone();
        let (mut producers, mut collectors) = (Vec::new(), Vec::new());
        for mut producing in producing {
            let mut spec = producer_spec(self.plan, producing.index, times);
            if let Some(replies) = producing.replies.take() {
                let (returned, returns) = unbounded_channel();
                spec.returned = Some(returned);
                let spec = collector_spec(self.plan, producing.index, times);
                let (slot, stop, payloads, clock) = (slots.next(), stop.clone(), self.payloads.clone(), clocks.clock);
                let source = self.plan.reply_source_of(producing.index);
                let reconnector = source
                    .and_then(|source| again.subscriber(Role::Producer, producing.index, source, slot.progress()));
                collectors.push(self.spawn(slot.clone(), move |report| async move {
                    let mut replies = replies;
                    let collector = Collector::new(&mut replies, &*payloads, &spec, clock, slot.progress())
                        .reconnecting(reconnector);
                    let collected = collector.run(returns, stop).await;
                    let broken = collected.fault.is_some();
                    report(collected);
                    let held = held_by(&mut replies, true, broken).await;
                    replies.close().await;
                    Held { replies: held, ..Held::NOTHING }
                }));
            }
            let (slot, stop, clock) = (slots.next(), stop.clone(), clocks.clock);
            let target = self.plan.target_of(producing.index);
            let reconnector = again.publisher(Role::Producer, producing.index, target, slot.progress());
            producers.push(self.spawn(slot.clone(), move |report| async move {
                let Producing { mut publisher, mut source, .. } = producing;
                let producer =
                    Producer::new(&mut publisher, &mut source, &spec, clock, slot.progress()).reconnecting(reconnector);
                let mut produced = producer.run(stop).await;
                produced.transport = publisher.counts();
                report(produced);
                publisher.close().await;
                Held::NOTHING
            }));
        }
        let budget = self.plan.inspection_share().map(|share| Arc::new(Budget::new(share)));
        let hosts: Arc<[u32]> = producers_hosts(self.plan, clocks).into();
        let own_host = clocks.host_of[self.comm.rank()];
        let consumers = consuming.into_iter().map(|Consuming { index, mut subscriber, mut replier }| {
            let one_way = OneWay::new(hosts.clone(), own_host, times.start_ns);
            let spec = consumer_spec(self.plan, index, times, one_way, budget.clone());
            let exclusive = self.plan.source_of(index).queue.exclusive;
            let (slot, stop, payloads, clock) = (slots.next(), stop.clone(), self.payloads.clone(), clocks.clock);
            let reconnector = again.subscriber(Role::Consumer, index, self.plan.source_of(index), slot.progress());
            if let (Some(replier), Some(target)) = (&mut replier, self.plan.reply_target()) {
                replier.reconnect_by(again.publisher(Role::Consumer, index, target, slot.progress()));
            }
            self.spawn(slot.clone(), move |report| async move {
                let consumer =
                    Consumer::new(&mut subscriber, replier.as_mut(), &payloads, &spec, clock, slot.progress())
                        .reconnecting(reconnector);
                let mut consumed = consumer.run(stop).await;
                consumed.transport = subscriber.counts();
                let broken = consumed.fault.is_some();
                report(consumed);
                let messages = held_by(&mut subscriber, exclusive, broken).await;
                subscriber.close().await;
                if let Some(replier) = replier {
                    replier.close().await;
                }
                Held { messages, ..Held::NOTHING }
            })
        });
        let consumers = consumers.collect();
        Started { progress, producers, collectors, consumers }
    }

    /// Starts one worker. It reports before it closes its connection: a broker that is gone must not delay the record.
    fn spawn<R: Send + 'static, F: Future<Output = Held> + Send + 'static>(
        &self,
        slot: Slot,
        work: impl FnOnce(Box<dyn FnOnce(R) + Send>) -> F,
    ) -> Worker<R> {
        let (sender, report) = mpsc::channel();
        // The receiver is gone if the main thread has given up waiting.
        let work = work(Box::new(move |done| drop(sender.send(done))));
        let closed = self.thread.spawn(async move {
            let _guard = Guard(slot);
            work.await
        });
        Worker { report, closed }
    }
}

impl Started {
    /// The reports that arrive in time.
    pub fn gather(self, patience: &mut Patience) -> Reports {
        let mut closing = Vec::new();
        let expected = self.producers.len() + self.collectors.len() + self.consumers.len();
        let producers = gather(self.producers, patience, &mut closing);
        let collectors = gather(self.collectors, patience, &mut closing);
        let consumers = gather(self.consumers, patience, &mut closing);
        let missing = expected - closing.len();
        Reports { producers, collectors, consumers, missing, closing }
    }
}

fn gather<R>(workers: Vec<Worker<R>>, patience: &mut Patience, closing: &mut Vec<Receiver<Held>>) -> Vec<R> {
    let mut reports = Vec::new();
    for worker in workers {
        if let Ok(report) = patience.receive(&worker.report) {
            reports.push(report);
            closing.push(worker.closed);
        }
    }
    reports
}

impl Reports {
    /// The first fault, by kind of worker.
    pub fn fault(&self) -> Option<Fault> {
        let producers = self.producers.iter().map(|report| &report.fault);
        let collectors = self.collectors.iter().map(|report| &report.fault);
        let consumers = self.consumers.iter().map(|report| &report.fault);
        producers.chain(collectors).chain(consumers).flatten().next().cloned()
    }
}

/// Slots in which workers show their progress.
struct Slots {
    progress: Arc<[Progress]>,
    taken: usize,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self { progress: (0..count).map(|_| Progress::default()).collect(), taken: 0 }
    }

    fn next(&mut self) -> Slot {
        self.taken += 1;
        Slot { at: self.taken - 1, all: self.progress.clone() }
    }
}

/// The slot of one worker's progress.
#[derive(Clone)]
struct Slot {
    at: usize,
    all: Arc<[Progress]>,
}

impl Slot {
    fn progress(&self) -> &Progress {
        &self.all[self.at]
    }
}

/// Reports a fault if a worker panics: otherwise rank 0 would wait for messages that the worker can no longer send or
/// take.
struct Guard(Slot);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.progress().fail(Fault::new(FaultKind::Broken, "a worker panicked; see its output for the place"));
        }
    }
}

fn producer_spec(plan: &Plan, index: u32, times: &Times) -> ProducerSpec {
    ProducerSpec {
        run: plan.run,
        index,
        seal: times.seal,
        quota: plan.messages_of(index),
        start_ns: times.start_ns,
        schedule: Schedule::new(&plan.load, plan.seed, index, plan.placement.producers),
        catchup: catchup(plan),
        spin: times.spin,
        window: times.window.clone(),
        confirms: plan.service.confirms,
        in_flight: plan.service.in_flight,
        republish_limit: plan.service.republish_limit,
        think: plan.think_time.map(|delay| Delays::new(delay, plan.seed, u64::from(index) << 1)),
        returned: None,
    }
}

/// A sender pauses for the gap between two messages of its schedule, where that is densest.
fn catchup(plan: &Plan) -> Option<Catchup> {
    let (limit, per_second) = (plan.load.catchup_limit?, plan.load.messages_per_second?);
    let rest_ns = f64::from(plan.placement.producers) / per_second * 1e9;
    Some(Catchup { limit: u64::from(limit), rest_ns: rest_ns.round() as u64 })
}

fn collector_spec(plan: &Plan, producer: u32, times: &Times) -> CollectorSpec {
    CollectorSpec {
        seed: plan.seed,
        run: plan.run,
        producer,
        seal: times.seal,
        replies: plan.flow.replies,
        gathers: plan.flow.gathers,
        reply: plan.service.reply,
        // Often enough that the service never waits for an acknowledgement.
        ack_every: (u32::from(plan.service.reply_prefetch) / 4).max(1),
        // What an external consumer replies is its own.
        verify: if plan.external.is_some() { Verify::Off } else { plan.verify },
        window: times.window.clone(),
    }
}

/// Shortest time without a delivery that is a stall.
const STALL_NS_MIN: u64 = 50_000_000;
/// So many times between two deliveries of a consumer are one: random arrivals leave such a gap once in 20,000 times.
const STALL_GAPS: f64 = 10.0;

/// A place for the deliveries of a consumer over time, in a run with faults and a schedule.
fn timeline(plan: &Plan, start_ns: u64) -> Option<Timeline> {
    let RunLength::Window(window) = &plan.length else { return None };
    if plan.faults.is_empty() || !plan.load.is_paced() {
        return None;
    }
    let length_ns = window.total_ns();
    let of_all = plan.load.due_before(length_ns) * f64::from(plan.flow.copies);
    let gap_ns = length_ns as f64 * f64::from(plan.placement.consumers) / of_all.max(1.0);
    Some(Timeline::new(start_ns, length_ns, STALL_NS_MIN.max((STALL_GAPS * gap_ns) as u64)))
}

/// The host of each producer.
fn producers_hosts(plan: &Plan, clocks: &Clocks) -> Vec<u32> {
    let mut hosts = vec![0; plan.placement.producers as usize];
    for (rank, host) in clocks.host_of.iter().enumerate() {
        plan.placement.role(rank).producers.iter().for_each(|producer| hosts[*producer as usize] = *host);
    }
    hosts
}

/// Whether what a consumer handles is acknowledged before it looks at its ledger for the next time.
fn acknowledges_soon(acks: Acks) -> bool {
    !matches!(acks, Acks::Multiple(n) if u64::from(n.get()) >= LOOK_EVERY)
}

fn consumer_spec(plan: &Plan, index: u32, times: &Times, one_way: OneWay, budget: Option<Arc<Budget>>) -> ConsumerSpec {
    ConsumerSpec {
        run: plan.run,
        index,
        seal: times.seal,
        producers: plan.placement.producers,
        foreign: plan
            .external
            .as_ref()
            .filter(|external| external.side == Side::Producer)
            .map(|external| ForeignSpec { timestamp: external.timestamp.clone() }),
        inspections: plan.message.inspected_bodies() as usize,
        budget,
        window: times.window.clone(),
        one_way,
        timeline: timeline(plan, times.start_ns),
        hands_over: plan.flow.copies == 1 && acknowledges_soon(plan.service.acks),
        acks: plan.service.acks,
        ack_after: plan.service.ack_after,
        work: plan.service_time.map(|delay| Delays::new(delay, plan.seed, u64::from(index) << 1 | 1)),
        verify: plan.verify,
        keeps: plan.sink.is_some(),
    }
}
