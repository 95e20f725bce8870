//! The streaming phase of one rank: workers run on their thread, the main thread reports and decides.

use crate::{
    awake::{Awake, Patience, Suspended},
    busy::{Busy, Watch},
    ceiling::OwnCost,
    clock::Clock,
    clocks::{Clocks, Compared},
    collect::{CollectorReport, CollectorSpec, collect},
    consume::{ConsumerReport, ConsumerSpec, consume},
    control::{Alarms, Control, Ending, Expected, HEARD_EVERY, Overseer, Status, UNHEARD_MAX},
    delay::Delays,
    inspections::Exhibit,
    left::held_by,
    observer::{Observer, Snapshot},
    one_way::OneWay,
    ports::{Alarm, Comm, CommError, ConnectionFacts, Fault, FaultKind, Payloads, Publisher, Subscriber, Transport},
    produce::{Catchup, ProducerReport, ProducerSpec, produce, sleep_until},
    progress::Progress,
    result::RankReport,
    run::{Connected, Consuming, Place, Producing, Times, planned_window},
    schedule::Schedule,
    suspension,
    usage::Usage,
    warmup::WarmUp,
    wind_down::WindDown,
    workers::Workers,
};
use measure::{Counters, Held, Histogram, Histograms, Metric};
use profile::{Plan, RankRole, RunLength};
use std::{
    sync::{
        Arc,
        mpsc::{self, Receiver},
    },
    time::{Duration, Instant},
};
use tokio::sync::{mpsc::unbounded_channel, watch};

/// How often a rank looks for control messages and signals; it sleeps in between. A look takes some 30 us, and where many
/// ranks share few cores, each look of an idle one is taken from those that work.
const NAP: Duration = Duration::from_millis(25);
const NAP_AT_FIRST: Duration = Duration::from_millis(5);
/// How often a rank tells rank 0 its sums: more often at first, as what is short is over between two reports.
const STATUS_EVERY: Duration = Duration::from_millis(100);
const STATUS_EVERY_AT_FIRST: Duration = Duration::from_millis(10);
/// How long a rank may outlast the limit on streaming before it gives rank 0 up.
const RANK_0_GRACE: Duration = Duration::from_secs(30);

/// What a rank notes that was told of the window after it had begun.
const LATE: &str = "late";

/// What streaming left on one rank.
pub(crate) struct Streamed {
    /// Why it ended, and what was known then; known to rank 0.
    pub ended: Option<(Ending, Snapshot)>,
    /// When it ended, in common time.
    pub ended_ns: u64,
    /// What a reader should know of the window; known to rank 0.
    pub notes: Vec<String>,
    late_window: bool,
    producers: Vec<ProducerReport>,
    collectors: Vec<CollectorReport>,
    consumers: Vec<ConsumerReport>,
    alarms: Alarms,
    producer_facts: Vec<ConnectionFacts>,
    consumer_facts: Vec<ConnectionFacts>,
    usage: Usage,
    busy: Option<Busy>,
    elapsed: Duration,
    fault: Option<Fault>,
    /// Workers that did not report.
    missing: usize,
    /// How long what follows may take.
    pub wind_down: WindDown,
    closing: Vec<Receiver<Held>>,
}

/// A worker's way back to the main thread: its report, then the end of its connection with what its own queue still held.
struct Worker<R> {
    report: Receiver<R>,
    closed: Receiver<Held>,
}

/// Streams until rank 0 says that it is over. Fails only where ranks cannot talk.
pub(crate) fn stream<C: Comm, T: Transport, P: Payloads, O: Observer>(
    comm: &C,
    workers: &Workers,
    plan: &Plan,
    payloads: &Arc<P>,
    (producing, consuming): Connected<T, P>,
    (clocks, times): (&Clocks, &Times),
    observer: &mut O,
) -> Result<Streamed, CommError> {
    let clock = clocks.clock;
    let hosts: Arc<[u32]> = producers_hosts(plan, clocks).into();
    let own_host = clocks.host_of[comm.rank()];
    let producer_facts = producing.iter().map(|producing| producing.publisher.facts().clone()).collect();
    let consumer_facts = consuming.iter().map(|consuming| consuming.subscriber.facts().clone()).collect();
    let alarms = alarms(&producing, &consuming);
    // Each producer has one place for what it sends and one for what it is answered.
    let progress: Arc<[Progress]> = (0..2 * producing.len() + consuming.len()).map(|_| Progress::default()).collect();
    let (stopper, stop) = watch::channel(false);
    let mut slots = 0..progress.len();
    let mut slot = || (slots.next().expect("one for each worker"), progress.clone(), stop.clone());

    let mut collectors = Vec::new();
    let producers: Vec<_> = producing
        .into_iter()
        .map(|Producing { index, mut publisher, mut source, answers }| {
            let mut spec = producer_spec(plan, index, times);
            if let Some(mut answers) = answers {
                let (written, returned) = unbounded_channel();
                spec.written = Some(written);
                let spec = collector_spec(plan, index, times);
                let (slot, progress, stop) = slot();
                let payloads = payloads.clone();
                collectors.push(start(workers, (slot, progress.clone()), move |report| async move {
                    let collected =
                        collect(&mut answers, &*payloads, &spec, returned, clock, &progress[slot], stop).await;
                    let broken = collected.fault.is_some();
                    report(collected);
                    let replies = held_by(&mut answers, true, broken).await;
                    answers.close().await;
                    Held { replies, ..Held::NOTHING }
                }));
            }
            let (slot, progress, stop) = slot();
            start(workers, (slot, progress.clone()), move |report| async move {
                let produced = produce(&mut publisher, &mut source, &spec, clock, &progress[slot], stop).await;
                report(produced);
                publisher.close().await;
                Held::NOTHING
            })
        })
        .collect();
    let consumers: Vec<_> = consuming
        .into_iter()
        .map(|Consuming { index, mut subscriber, mut answerer }| {
            let one_way = OneWay::new(hosts.clone(), own_host, times.start_ns);
            let spec = consumer_spec(plan, index, times, one_way);
            let (slot, progress, stop) = slot();
            let (payloads, exclusive) = (payloads.clone(), plan.source_of(index).queue.exclusive);
            start(workers, (slot, progress.clone()), move |report| async move {
                let progress = &progress[slot];
                let answers = answerer.as_mut();
                let consumed = consume(&mut subscriber, answers, &payloads, &spec, clock, progress, stop).await;
                let broken = consumed.fault.is_some();
                report(consumed);
                let messages = held_by(&mut subscriber, exclusive, broken).await;
                subscriber.close().await;
                if let Some(answerer) = answerer {
                    answerer.close().await;
                }
                Held { messages, ..Held::NOTHING }
            })
        })
        .collect();
    let usage_at_start = usage_at(workers, clock, times.start_ns);
    let suspended = Arc::<Suspended>::default();
    let watched = suspended.clone();
    drop(workers.spawn(async move { watched.watch(stop).await }));

    let started = Instant::now();
    let (mut notes, mut busy) = (Vec::new(), Watch::default());
    let ended =
        watch_over(comm, plan, &progress, &alarms, (clock, times, &suspended), (&mut notes, &mut busy), observer)?;
    let ended_ns = clock.now_ns();
    let refused = refusal(&alarms);
    let busy = busy.end(ended_ns);
    stopper.send_replace(true);
    let wind_down = WindDown::begin();
    let mut patience = Patience::new(wind_down.to_stop());
    let (producers, producers_closing, missing_producers) = gather(producers, &mut patience);
    let (collectors, collectors_closing, missing_collectors) = gather(collectors, &mut patience);
    let (consumers, consumers_closing, missing_consumers) = gather(consumers, &mut patience);
    let usage = Usage::now().since(&patience.receive(&usage_at_start).unwrap_or_default());

    let missing = missing_producers + missing_collectors + missing_consumers;
    let stuck = || Fault::new(FaultKind::Lost, format!("{missing} worker(s) did not stop when they were told to"));
    let fault = producers
        .iter()
        .map(|report| &report.fault)
        .chain(collectors.iter().map(|report| &report.fault))
        .chain(consumers.iter().map(|report| &report.fault))
        .flatten()
        .next()
        .cloned()
        .or(refused)
        .or_else(|| (missing > 0).then(stuck));
    Ok(Streamed {
        ended,
        ended_ns,
        late_window: notes.iter().any(|note| note == LATE),
        notes,
        producers,
        collectors,
        consumers,
        alarms: alarms_now(&alarms),
        producer_facts,
        consumer_facts,
        usage,
        busy,
        elapsed: started.elapsed(),
        fault,
        missing,
        wind_down,
        closing: producers_closing.into_iter().chain(collectors_closing).chain(consumers_closing).collect(),
    })
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
        written: None,
    }
}

/// A sender pauses for as long as its schedule leaves between two messages where it is densest.
fn catchup(plan: &Plan) -> Option<Catchup> {
    let (limit, per_second) = (plan.load.catchup_limit?, plan.load.messages_per_second?);
    let rest_ns = f64::from(plan.placement.producers) / per_second * 1e9;
    Some(Catchup { limit: u64::from(limit), rest_ns: rest_ns.round() as u64 })
}

fn collector_spec(plan: &Plan, producer: u32, times: &Times) -> CollectorSpec {
    CollectorSpec {
        run: plan.run,
        producer,
        seal: times.seal,
        replies: plan.flow.replies,
        gathers: plan.flow.gathers,
        reply: plan.service.reply,
        // Often enough that the service never waits for it.
        ack_every: (u32::from(plan.service.reply_prefetch) / 4).max(1),
        verify: plan.verify,
        window: times.window.clone(),
    }
}

/// The host of each producer.
fn producers_hosts(plan: &Plan, clocks: &Clocks) -> Vec<u32> {
    let mut hosts = vec![0; plan.placement.producers as usize];
    for (rank, host) in clocks.host_of.iter().enumerate() {
        plan.placement.role(rank).producers.iter().for_each(|producer| hosts[*producer as usize] = *host);
    }
    hosts
}

fn consumer_spec(plan: &Plan, index: u32, times: &Times, one_way: OneWay) -> ConsumerSpec {
    ConsumerSpec {
        run: plan.run,
        index,
        seal: times.seal,
        producers: plan.placement.producers,
        inspections: plan.message.inspected_bodies() as usize,
        window: times.window.clone(),
        one_way,
        acks: plan.service.acks,
        ack_after: plan.service.ack_after,
        work: plan.service_time.map(|delay| Delays::new(delay, plan.seed, u64::from(index) << 1 | 1)),
        verify: plan.verify,
    }
}

/// Where a worker shows its progress.
type Slot = (usize, Arc<[Progress]>);

/// Says so where a worker panics: nobody would wait for what it can no longer do.
struct Guard(Slot);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (slot, progress) = &self.0;
            progress[*slot].fail(Fault::new(FaultKind::Lost, "a worker panicked; its output says where"));
        }
    }
}

/// Starts one worker. It reports before it closes its connection: a broker that is gone must not
/// delay the record.
fn start<R: Send + 'static, F: Future<Output = Held> + Send + 'static>(
    workers: &Workers,
    slot: Slot,
    work: impl FnOnce(Box<dyn FnOnce(R) + Send>) -> F,
) -> Worker<R> {
    let (sender, report) = mpsc::channel();
    // Nobody listens any more where the main thread has given up waiting.
    let work = work(Box::new(move |done| drop(sender.send(done))));
    let closed = workers.spawn(async move {
        let _guard = Guard(slot);
        work.await
    });
    Worker { report, closed }
}

/// Reports that come in time, ends of connections to wait for, and how many are missing.
fn gather<R>(workers: Vec<Worker<R>>, patience: &mut Patience) -> (Vec<R>, Vec<Receiver<Held>>, usize) {
    let expected = workers.len();
    let (mut reports, mut closing) = (Vec::new(), Vec::new());
    for worker in workers {
        if let Ok(report) = patience.receive(&worker.report) {
            reports.push(report);
            closing.push(worker.closed);
        }
    }
    let missing = expected - reports.len();
    (reports, closing, missing)
}

/// Reads what the process has used at a common time, so that connecting does not count.
fn usage_at(workers: &Workers, clock: Clock, at_ns: u64) -> Receiver<Usage> {
    workers.spawn(async move {
        sleep_until(clock, at_ns).await;
        Usage::now()
    })
}

/// Reports this rank's sums to rank 0, which decides. Returns the ending and the last sums on rank 0.
fn watch_over<O: Observer>(
    comm: &impl Comm,
    plan: &Plan,
    progress: &[Progress],
    alarms: &[Arc<Alarm>],
    (clock, times, suspended): (Clock, &Times, &Suspended),
    (notes, busy): (&mut Vec<String>, &mut Watch),
    observer: &mut O,
) -> Result<Option<(Ending, Snapshot)>, CommError> {
    let started = Instant::now();
    // Silence and limits are counted in time awake: who was stopped has heard nobody meanwhile.
    let mut awake = Awake::default();
    let mut reported: Option<Instant> = None;
    let (mut heard, mut unheard) = (vec![0u32; comm.size()], 0u32);
    let mut overseer = Overseer::new(comm.size(), Expected::of(plan), plan.limits.stream);
    let root = comm.rank() == 0;
    let streamed = || Duration::from_nanos(clock.now_ns().saturating_sub(times.start_ns));
    let planned = match &plan.length {
        RunLength::Window(planned) if root && !planned.is_timed() => Some(planned),
        _ => None,
    };
    let mut warm_up = planned.map(|planned| (WarmUp::new(planned), planned));
    loop {
        let now = awake.look();
        busy.look(clock.now_ns(), times.start_ns, &times.window);
        while let Some((rank, bytes)) = comm.poll()? {
            match Control::decode(&bytes) {
                Control::Status(run, status) if run == plan.run => {
                    overseer.hear(rank, status, now);
                    heard[rank] += 1;
                    if heard[rank].is_multiple_of(HEARD_EVERY) {
                        comm.post(rank, &Control::Heard.encode())?;
                    }
                }
                Control::Heard => unheard = unheard.saturating_sub(HEARD_EVERY),
                Control::Window(window) => {
                    if clock.now_ns() > window.start_ns {
                        notes.push(LATE.to_owned());
                    }
                    times.window.tell(window);
                }
                Control::Finish => return Ok(None),
                Control::Status(..) | Control::Ping | Control::Pong(_) | Control::Timed => {}
            }
        }
        let status_every = (started.elapsed() / 10).clamp(STATUS_EVERY_AT_FIRST, STATUS_EVERY);
        if reported.is_none_or(|at| at.elapsed() >= status_every) {
            reported = Some(Instant::now());
            let suspended = suspended.total();
            let mut mine = Status { alarms: alarms_now(alarms), suspended, ..Status::default() };
            progress.iter().for_each(|worker| mine.merge(&worker.status()));
            mine.fault = mine.fault.or_else(|| refusal(alarms));
            if root {
                overseer.hear(0, mine, now);
                observer.progress(&snapshot(&overseer, streamed()));
            } else if unheard < UNHEARD_MAX {
                unheard += 1;
                comm.post(0, &Control::Status(plan.run, mine).encode())?;
            }
        }
        if let Some((waiting, planned)) = &mut warm_up
            && let Some(warm) = waiting.hear(streamed(), overseer.total().received)
        {
            let window = planned_window(planned, times.start_ns + warm.start.as_nanos() as u64);
            times.window.tell(window);
            for rank in 1..comm.size() {
                comm.post(rank, &Control::Window(window).encode())?;
            }
            notes.extend(warm.short);
            warm_up = None;
        }
        if root && let Some(ending) = overseer.decide(now, observer.stop_requested()) {
            notes.extend(suspension::sentences(overseer.ranks(), &ending, plan.service.heartbeat_s));
            let snapshot = snapshot(&overseer, streamed());
            observer.progress(&snapshot);
            if ending != Ending::Complete {
                observer.cut_short(&snapshot, &ending);
            }
            for rank in 1..comm.size() {
                comm.post(rank, &Control::Finish.encode())?;
            }
            return Ok(Some((ending, snapshot)));
        }
        if now > plan.limits.stream + RANK_0_GRACE {
            return Err(CommError::Absent { step: "the end of streaming", limit: plan.limits.stream + RANK_0_GRACE });
        }
        std::thread::sleep((started.elapsed() / 100).clamp(NAP_AT_FIRST, NAP));
    }
}

/// The alarms of all connections that publish, each once: workers may share one.
fn alarms<T: Transport, P: Payloads>(producing: &[Producing<T, P>], consuming: &[Consuming<T>]) -> Vec<Arc<Alarm>> {
    let answerers = consuming.iter().filter_map(|consuming| consuming.answerer.as_ref());
    let all = producing.iter().flat_map(|producing| producing.publisher.alarms());
    let mut alarms: Vec<Arc<Alarm>> = Vec::new();
    for alarm in all.chain(answerers.flat_map(|answerer| answerer.alarms())) {
        if !alarms.iter().any(|known| Arc::ptr_eq(known, &alarm)) {
            alarms.push(alarm);
        }
    }
    alarms
}

/// Why the service ended a connection that publishes, if it did: where no confirm is awaited, no worker hears of it.
fn refusal(alarms: &[Arc<Alarm>]) -> Option<Fault> {
    alarms.iter().find_map(|alarm| alarm.fault())
}

fn alarms_now(alarms: &[Arc<Alarm>]) -> Alarms {
    Alarms {
        raised: alarms.iter().filter(|alarm| alarm.is_raised()).count() as u32,
        times: alarms.iter().map(|alarm| alarm.times()).sum(),
        blocked: alarms.iter().map(|alarm| alarm.blocked()).sum(),
    }
}

fn snapshot(overseer: &Overseer, elapsed: Duration) -> Snapshot {
    let held = Held::default();
    Snapshot { elapsed, total: overseer.total(), ranks: overseer.ranks().cloned().collect(), held }
}

impl Streamed {
    /// Makes up for what the clocks were off, before latencies are summed.
    pub fn settle_one_way(&mut self, compared: &Compared) {
        for report in &mut self.consumers {
            report.one_way.settle(compared, &mut report.histograms);
        }
    }

    /// Counts and latencies of this rank's workers together.
    pub fn sums(&self) -> (Counters, Histograms) {
        let (mut counters, mut histograms) = (Counters::default(), Histograms::new());
        let producers = self.producers.iter().map(|report| (&report.counters, &report.histograms));
        let collectors = self.collectors.iter().map(|report| (&report.counters, &report.histograms));
        let consumers = self.consumers.iter().map(|report| (&report.counters, &report.histograms));
        for (counts, latencies) in producers.chain(collectors).chain(consumers) {
            counters.merge(counts);
            histograms.merge(latencies);
        }
        counters.blocked_times = self.alarms.times;
        counters.blocked_ns = self.alarms.blocked.as_nanos() as u64;
        (counters, histograms)
    }

    /// The first body that came to this rank and was not what was sent.
    pub fn exhibit(&self) -> Option<&Exhibit> {
        self.consumers.iter().filter_map(|report| report.exhibit.as_ref()).min_by_key(|exhibit| exhibit.arrival.at_ns)
    }

    /// When the last delivery or reply came to this rank.
    fn last_arrival_ns(&self) -> Option<u64> {
        let deliveries = self.consumers.iter().filter_map(|report| report.last_ns);
        deliveries.chain(self.collectors.iter().filter_map(|report| report.last_ns)).max()
    }

    /// Its consumers' side of the ledger, encoded.
    pub fn ledgers(&self) -> Vec<Vec<u8>> {
        self.consumers.iter().map(|report| report.deliveries.encode()).collect()
    }

    /// What this rank says of itself; `ledgers` are those of its consumers.
    pub fn report(
        &self,
        rank: usize,
        place: &Place,
        role: &RankRole,
        own_cost: OwnCost,
        ledgers: &[Vec<u8>],
    ) -> RankReport {
        let (counters, histograms) = self.sums();
        RankReport {
            rank,
            host: place.host.clone(),
            cores: place.cores,
            allowed: place.allowed.clone(),
            machine: place.machine.clone(),
            own_cost,
            pid: std::process::id(),
            role: role.to_string(),
            producers: role.producers.clone(),
            consumers: role.consumers.clone(),
            counters,
            usage: self.usage,
            busy: self.busy.clone(),
            schedule_lag: histograms.get(Metric::ScheduleLag).map(Histogram::summary),
            stream_s: self.elapsed.as_secs_f64(),
            producer_facts: self.producer_facts.clone(),
            consumer_facts: self.consumer_facts.clone(),
            fault: self.fault.clone(),
            catchup_run_max: self.producers.iter().map(|report| report.catchup_run_max).max().unwrap_or_default(),
            first_sent_ns: self.producers.iter().filter_map(|report| Some(report.sent_ns?.0)).min(),
            last_sent_ns: self.producers.iter().filter_map(|report| Some(report.sent_ns?.1)).max(),
            last_arrival_ns: self.last_arrival_ns(),
            late_window: self.late_window,
            extremes: histograms.extremes(),
            spans: self.consumers.iter().map(|report| report.span).collect(),
            sent: self.producers.iter().map(|report| (report.index, report.sent.encode())).collect(),
            ledger_bytes: ledgers.iter().map(|ledger| ledger.len() as u64).sum(),
            exhibit_at_ns: self.exhibit().map(|exhibit| exhibit.arrival.at_ns),
            replies: self
                .collectors
                .iter()
                .map(|report| report.ledgers.iter().map(measure::Deliveries::encode).collect())
                .collect(),
        }
    }

    /// Waits until every connection is closed, within limits: acknowledgements reach the broker
    /// before its queues are deleted. Returns what this rank's own queues still held.
    pub fn closed(&self) -> Held {
        let mut patience = Patience::new(self.wind_down.to_close());
        // Late or gone, there is nothing more to do for it.
        let closed = |closing: &Receiver<Held>| patience.receive(closing).unwrap_or_default();
        let held = self.closing.iter().map(closed).fold(Held::NOTHING, Held::and);
        if self.missing > 0 { Held::default() } else { held }
    }
}
