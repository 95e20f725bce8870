//! One run, phase by phase, the same on every rank.
//!
//! Between the first and the last collective no rank returns early: a failure is a value that the
//! rank sends. Returning early would leave the others waiting in MPI until their limits.

use crate::{
    answer::Answerer,
    ceiling::{self, OwnCost},
    clock::Clock,
    clocks::{self, ClockError},
    control::Ending,
    envelope::SealKey,
    fetch::{Call, Rounds},
    inspections::Exhibit,
    left::{left_behind, on_the_way},
    observer::{Observer, Snapshot},
    ports::{Comm, CommError, Fault, Payloads, Role, Service, Subscriber, Transport, Undeleted, Worker, agree},
    result::{RankReport, RunResult, join, join_ledgers},
    stream::{Streamed, stream},
    wind_down::WindDown,
    window::{Window, WindowTimes},
    workers::Workers,
};
use measure::{Counters, Held, Histograms, Integrity, Metric, record::Machine};
use profile::{Exchange, MeasuredWindow, Plan, QueuePlan, QueueType, RankRole, RunLength, Source, Target};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration, time::Instant};

/// How far ahead of now rank 0 sets the start: time for it to reach every rank, of which several may share a core.
fn start_margin(ranks: usize) -> Duration {
    Duration::from_millis((40 + 5 * ranks as u64).min(200))
}

/// How often a rank tries to measure its own loops.
const CEILING_TRIES: usize = 3;

/// Threads of a rank that are busy while it streams: its workers', its client library's and its main thread. All ranks
/// are taken to be on one host, which errs on the side of not spinning.
const THREADS_OF_A_RANK: usize = 3;

/// Why a run has no result.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// A step before streaming failed on some ranks.
    #[error("{}", describe(.step, .failures))]
    Failed {
        /// The step.
        step: &'static str,
        /// Ranks and what each said.
        failures: Vec<(usize, String)>,
    },
    /// A rank is gone.
    #[error(transparent)]
    Comm(#[from] CommError),
    /// A rank fell silent while streaming: collectives with it would never end.
    #[error("{0}")]
    RankLost(Ending),
}

fn describe(step: &str, failures: &[(usize, String)]) -> String {
    let Some((rank, first)) = failures.first() else { return format!("{step} failed") };
    let others = match failures.len() - 1 {
        0 => String::new(),
        n => format!(" ({n} more rank(s) failed too)"),
    };
    format!("{step} failed on rank {rank}: {first}{others}")
}

/// Where a rank runs.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of this host.
    pub host: String,
    /// What tells this host's clock from others' ([`crate::clock::boot_id`]).
    pub boot: Vec<u8>,
    /// Its cores.
    pub cores: u32,
    /// Those that this rank may use.
    pub allowed: AllowedCores,
    /// This host, for the record.
    pub machine: Machine,
    /// This host's clock.
    pub clock: Clock,
}

/// What this rank may use of its host's cores.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowedCores {
    /// Numbers of the cores that the launcher or the batch system left it; empty where that cannot be told.
    pub bound: Vec<u32>,
    /// Cores' worth of time that a control group leaves it and all else in the group, where it leaves less.
    pub quota: Option<u32>,
}

impl AllowedCores {
    /// How many it may keep busy at once; none where that cannot be told.
    pub fn count(&self) -> Option<u32> {
        let bound = (!self.bound.is_empty()).then_some(self.bound.len() as u32);
        [bound, self.quota].into_iter().flatten().min()
    }
}

/// When a run streams, in common time.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub start_ns: u64,
    /// What rank 0 drew for this run.
    pub seal: SealKey,
    pub window: Arc<Window>,
    /// Whether this rank's cores allow a sender to spin.
    pub spin: bool,
}

/// A connected producer, its bodies and its way to be answered, waiting for the start.
pub(crate) struct Producing<T: Transport, P: Payloads> {
    pub index: u32,
    pub publisher: T::Publisher,
    pub source: P::Source,
    pub answers: Option<T::Subscriber>,
}

/// A connected consumer and its way to answer, waiting for the start.
pub(crate) struct Consuming<T: Transport> {
    pub index: u32,
    pub subscriber: T::Subscriber,
    pub answerer: Option<Answerer<T::Publisher>>,
}

/// The workers of a rank.
pub(crate) type Connected<T, P> = (Vec<Producing<T, P>>, Vec<Consuming<T>>);

/// Carries out `plan`; every rank calls it. Returns the result on rank 0, nothing on the others.
pub fn run<C: Comm, T: Transport, P: Payloads, O: Observer>(
    comm: &C,
    plan: &Plan,
    transport: T,
    payloads: P,
    place: &Place,
    observer: &mut O,
) -> Result<Option<RunResult>, RunError> {
    let role = plan.placement.role(comm.rank());
    // A producer that waits for a confirm must see it at once.
    let coalesce = if role.producers.is_empty() { plan.service.coalesce } else { Duration::ZERO };
    let workers = together(comm, plan, "starting threads", Workers::start(coalesce))?;
    let rank = Rank { comm, plan, role, workers, transport: Arc::new(transport), payloads: Arc::new(payloads), place };
    let mut phases = Phases::default();

    phases.begin("payloads", observer);
    let mut sources = rank.together("building bodies", rank.sources())?;
    phases.begin("ceiling", observer);
    let own_cost = rank.own_cost(&mut sources);
    phases.begin("connect", observer);
    let workers = rank.together("connecting", rank.connect(sources))?;
    phases.begin("topology", observer);
    let declared = rank.together("declaring queues", rank.declare());
    let is_declared = declared.is_ok();
    let mut to_delete = plan.limits.connect + plan.limits.broker;
    let result = declared.and_then(|service| {
        service.notes.iter().for_each(|note| observer.note(note));
        let reduced = rank.subscribe_and_stream(workers, own_cost, &mut phases, observer)?;
        Ok(reduced.map(|reduced| {
            if reduced.ending != Ending::Complete {
                // The service may be what ended it.
                to_delete = reduced.wind_down.to_delete();
            }
            let result = join(plan, reduced, service, phases.end());
            observer.result(&result);
            result
        }))
    });
    observer.phase("close");
    rank.delete(is_declared, to_delete, observer);
    result
}

/// Goes on only if every rank succeeded.
fn together<V>(comm: &impl Comm, plan: &Plan, step: &'static str, mine: Result<V, String>) -> Result<V, RunError> {
    let (value, failure) = match mine {
        Ok(value) => (Some(value), Ok(())),
        Err(sentence) => (None, Err(sentence)),
    };
    match (agree(comm, failure, plan.limits.collective)?, value) {
        (Ok(()), Some(value)) => Ok(value),
        (Ok(()), None) => unreachable!("a rank's own failure is among those agreed on"),
        (Err(failures), _) => Err(RunError::Failed { step, failures }),
    }
}

/// What came together on rank 0.
pub(crate) struct Reduced {
    pub ending: Ending,
    /// How much of the measured window there was: less than planned where the run was cut short.
    pub measured_ns: u64,
    /// What a reader should know of the window.
    pub notes: Vec<String>,
    pub clock_error: ClockError,
    pub counters: Counters,
    pub histograms: Histograms,
    pub ranks: Vec<RankReport>,
    pub integrity: Integrity,
    pub exhibit: Option<Exhibit>,
    /// How long what follows may take.
    pub wind_down: WindDown,
}

/// One rank and all it works with.
struct Rank<'a, C, T, P> {
    comm: &'a C,
    plan: &'a Plan,
    role: RankRole,
    workers: Workers,
    transport: Arc<T>,
    payloads: Arc<P>,
    place: &'a Place,
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Goes on only if every rank succeeded.
    fn together<V>(&self, step: &'static str, mine: Result<V, String>) -> Result<V, RunError> {
        together(self.comm, self.plan, step, mine)
    }

    /// Runs a future on the workers' thread, at most `limit`.
    fn call<V: Send + 'static>(
        &self,
        step: &str,
        limit: Duration,
        future: impl Future<Output = Result<V, Fault>> + Send + 'static,
    ) -> Result<V, String> {
        self.workers.call(step, limit, future).map_err(|fault| fault.to_string())
    }

    fn sources(&self) -> Result<Vec<P::Source>, String> {
        let source = |index: &u32| self.payloads.source(*index).map_err(|error| error.to_string());
        self.role.producers.iter().map(source).collect()
    }

    /// What this rank's loops cost by themselves.
    fn own_cost(&self, sources: &mut [P::Source]) -> OwnCost {
        let (plan, clock) = (self.plan, self.place.clock);
        // Whoever was given no core all the time tries again.
        let tries = |measured: &mut dyn FnMut() -> Option<f64>| (0..CEILING_TRIES).find_map(|_| measured());
        OwnCost {
            producer_ns: sources
                .first_mut()
                .and_then(|source| tries(&mut || self.workers.block_on(ceiling::of_producer(plan, source, clock)))),
            consumer_ns: (!self.role.consumers.is_empty())
                .then(|| tries(&mut || self.workers.block_on(ceiling::of_consumer(plan, &self.payloads, clock))))
                .flatten(),
        }
    }

    /// Connects this rank's workers one after another: at once, 64 handshakes would compete for
    /// the broker and the slowest might miss its limit.
    fn connect(&self, sources: Vec<P::Source>) -> Result<Connected<T, P>, String> {
        let mut producing = Vec::new();
        for (index, source) in self.role.producers.iter().copied().zip(sources) {
            let worker = Worker { role: Role::Producer, index };
            let publisher = self.publisher("connecting a producer", worker, self.plan.target_of(index))?;
            let answers = self.plan.reply_source_of(index);
            let answers = answers.map(|source| self.subscriber("connecting a producer's replies", worker, source));
            producing.push(Producing { index, publisher, source, answers: answers.transpose()? });
        }
        let mut consuming = Vec::new();
        for index in self.role.consumers.iter().copied() {
            let worker = Worker { role: Role::Consumer, index };
            let subscriber = self.subscriber("connecting a consumer", worker, self.plan.source_of(index))?;
            let answers = self.plan.reply_target();
            let answers = answers.map(|target| self.publisher("connecting a consumer's replies", worker, target));
            let (service, clock) = (&self.plan.service, self.place.clock);
            let answerer = answers
                .transpose()?
                .map(|publisher| Answerer::new(publisher, index, service.reply, service.reply_in_flight, clock));
            consuming.push(Consuming { index, subscriber, answerer });
        }
        Ok((producing, consuming))
    }

    fn publisher(&self, step: &str, worker: Worker, target: Target) -> Result<T::Publisher, String> {
        let (transport, limit) = (self.transport.clone(), self.connect_limit());
        self.call(step, limit, async move { transport.connect_publisher(worker, &target).await })
    }

    fn subscriber(&self, step: &str, worker: Worker, source: Source) -> Result<T::Subscriber, String> {
        let (transport, limit) = (self.transport.clone(), self.connect_limit());
        self.call(step, limit, async move { transport.connect_subscriber(worker, &source).await })
    }

    /// For all connections of a worker, one after the other; each has its own limit besides.
    fn connect_limit(&self) -> Duration {
        self.plan.limits.connect * self.plan.service.connections + Duration::from_secs(1)
    }

    fn declare(&self) -> Result<Service, String> {
        if self.comm.rank() != 0 {
            return Ok(Service::default());
        }
        let (transport, (exchanges, queues)) = (self.transport.clone(), self.shared());
        let limit = self.plan.limits.connect + self.plan.limits.broker;
        self.call("declaring queues", limit, async move { transport.declare(&exchanges, &queues).await })
    }

    /// Deletes exchanges and queues. Where the service cannot be asked, they are left only if they were declared.
    fn delete(&self, is_declared: bool, limit: Duration, observer: &mut impl Observer) {
        let (exchanges, queues) = self.shared();
        if self.comm.rank() != 0 || exchanges.is_empty() && queues.is_empty() {
            return;
        }
        let names = exchanges.iter().map(|exchange| &exchange.name).chain(queues.iter().map(|queue| &queue.name));
        let names: Vec<String> = names.cloned().collect();
        let transport = self.transport.clone();
        let deleting = async move { transport.delete(&exchanges, &queues).await };
        let undeleted = match self.workers.call("deleting queues", limit, deleting) {
            Ok(undeleted) => undeleted,
            Err(fault) if is_declared => {
                names.into_iter().map(|name| Undeleted { name, fault: fault.clone() }).collect()
            }
            Err(_) => return,
        };
        let left = left_behind(self.plan, &undeleted);
        if let Some(Undeleted { fault, .. }) = undeleted.first().filter(|_| !left.is_empty()) {
            observer.left_behind(left, fault);
        }
    }

    /// What belongs to no worker.
    fn shared(&self) -> (Vec<Exchange>, Vec<QueuePlan>) {
        (self.plan.service.exchanges.clone(), self.plan.shared_queues().cloned().collect())
    }

    /// Subscribes consumers, and producers to their answers.
    fn subscribe(&self, workers: Connected<T, P>) -> Result<Connected<T, P>, String> {
        let (producing, consuming) = workers;
        let subscribe = |mut subscriber: T::Subscriber| {
            self.call("subscribing", self.plan.limits.broker, async move {
                subscriber.subscribe().await?;
                Ok(subscriber)
            })
        };
        let producing = producing.into_iter().map(|producing| {
            let answers = producing.answers.map(subscribe).transpose()?;
            Ok(Producing { answers, ..producing })
        });
        let consuming = consuming
            .into_iter()
            .map(|consuming| Ok(Consuming { subscriber: subscribe(consuming.subscriber)?, ..consuming }));
        Ok((producing.collect::<Result<_, String>>()?, consuming.collect::<Result<_, String>>()?))
    }

    fn subscribe_and_stream<O: Observer>(
        &self,
        workers: Connected<T, P>,
        own_cost: OwnCost,
        phases: &mut Phases,
        observer: &mut O,
    ) -> Result<Option<Reduced>, RunError> {
        let workers = self.together("subscribing", self.subscribe(workers))?;
        phases.begin("clocks", observer);
        let limit = self.plan.limits.collective;
        let clocks = clocks::synchronise(self.comm, self.place.clock, &self.place.boot, limit)?;
        phases.begin("start", observer);
        let times = self.agree_on_times(clocks.clock)?;
        phases.begin("stream", observer);
        let mut streamed =
            stream(self.comm, &self.workers, self.plan, &self.payloads, workers, (&clocks, &times), observer)?;
        if let Some((ending @ Ending::Silent(_), snapshot)) = &streamed.ended {
            // Consumers are connected still, and no count of a queue has what they were given and have not acknowledged.
            observer.rank_lost(&Snapshot { held: Held::default(), ..snapshot.clone() }, ending);
            return Err(RunError::RankLost(ending.clone()));
        }
        phases.begin("finish", observer);
        // Everyone is here before the blocking collectives begin, so that nobody spins in them.
        self.comm.barrier(limit)?;
        let compared = clocks.again(self.comm, limit)?;
        streamed.settle_one_way(&compared);
        phases.begin("reduce", observer);
        let reduced = self.reduce(&streamed, &times, own_cost, compared.error)?;
        let held = self.held_by_all(streamed.closed());
        Ok(reduced.map(|mut reduced| {
            let Integrity { lost, replies, .. } = &reduced.integrity;
            let missing = *lost > 0 || replies.as_ref().is_some_and(|replies| replies.lost > 0);
            if missing || reduced.ending != Ending::Complete {
                let on_the_way = on_the_way(self.plan, &reduced.ending, &reduced.ranks);
                reduced.integrity.settle(held.and(self.held(streamed.wind_down.to_count())), on_the_way);
            }
            reduced
        }))
    }

    /// What the queues of single connections still held, on all ranks together; known to rank 0. Everyone's connections
    /// are closed then, and what they had not acknowledged is back in the queues that are shared.
    fn held_by_all(&self, mine: Held) -> Held {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(mine, config).expect("numbers encode");
        // A rank that is lost now takes nothing from what is measured.
        let all = self.comm.gather(&bytes, self.plan.limits.collective).unwrap_or_default();
        let decoded = all.iter().map(|bytes| bincode::serde::decode_from_slice(bytes, config));
        let decoded = decoded.map(|decoded| decoded.expect("ranks run the same binary").0);
        decoded.reduce(Held::and).unwrap_or_default()
    }

    /// What the shared queues still hold, as the service says now. A stream does not tell: it keeps what was read.
    fn held(&self, limit: Duration) -> Held {
        let (_, queues) = self.shared();
        if queues.iter().any(|queue| queue.kind == QueueType::Stream) {
            return Held { messages: None, ..Held::NOTHING };
        }
        if queues.is_empty() {
            return Held::NOTHING;
        }
        let transport = self.transport.clone();
        let held = self.call("counting what is left", limit, async move { transport.held(&queues).await });
        Held { messages: held.ok(), ..Held::NOTHING }
    }

    /// Rank 0 sets the start a little ahead; each rank starts there on its own, since a barrier
    /// releases ranks at different times.
    fn agree_on_times(&self, clock: Clock) -> Result<Times, RunError> {
        let start_ns = clock.now_ns() + start_margin(self.comm.size()).as_nanos() as u64;
        let mine = [start_ns.to_le_bytes(), SealKey::random().to_bytes()].concat();
        let bytes = self.comm.broadcast(mine, self.plan.limits.collective)?;
        let (words, _) = bytes.as_chunks::<8>();
        let (start_ns, seal) = (u64::from_le_bytes(words[0]), SealKey::from_bytes(words[1]));
        let window = Arc::new(match self.plan.length {
            RunLength::Messages(_) => Window::always(),
            RunLength::Window(planned) if planned.is_timed() => {
                Window::at(planned_window(&planned, start_ns + planned.warmup_ns))
            }
            RunLength::Window(_) => Window::default(),
        });
        // Spinning takes a core from somebody, unless there are more of them than threads that work.
        let cores = self.place.cores as usize;
        let own = self.place.allowed.count().is_none_or(|own| own as usize >= THREADS_OF_A_RANK);
        let spin = self.plan.load.spin.unwrap_or(own && cores > THREADS_OF_A_RANK * self.comm.size());
        Ok(Times { start_ns, seal, window, spin })
    }

    fn reduce(
        &self,
        streamed: &Streamed,
        times: &Times,
        own_cost: OwnCost,
        clock_error: ClockError,
    ) -> Result<Option<Reduced>, RunError> {
        let limit = self.plan.limits.collective;
        let (counters, histograms) = streamed.sums();
        let metrics = metrics(self.plan);
        let mut vector = counters.to_vector().to_vec();
        vector.extend(histograms.reduce_vector(&metrics));
        self.comm.reduce_sum(&mut vector, limit)?;
        let ledgers = streamed.ledgers();
        let report = streamed.report(self.comm.rank(), self.place, &self.role, own_cost, &ledgers);
        let bytes = bincode::serde::encode_to_vec(report, bincode::config::standard()).expect("reports encode");
        let ranks: Vec<RankReport> = self
            .comm
            .gather(&bytes, limit)?
            .iter()
            .map(|bytes| bincode::serde::decode_from_slice(bytes, bincode::config::standard()))
            .map(|decoded| decoded.expect("ranks run the same binary").0)
            .collect();
        let call = Call::of(&ranks).spread(self.comm, limit)?;
        let mut rounds = Rounds::new(self.comm, &call, ledgers, limit);
        let integrity = streamed.ended.is_some().then(|| join_ledgers(&self.plan.flow, &ranks, &mut rounds));
        rounds.end()?;
        let exhibit = call.exhibit(self.comm, streamed.exhibit(), limit)?;
        let ending = streamed.ended.as_ref().map(|(ending, _)| ending.clone());
        let Some((ending, integrity)) = ending.zip(integrity) else { return Ok(None) };
        let (counters, counts) = vector.split_at(Counters::VECTOR_LEN);
        let counters = Counters::from_vector(counters.try_into().expect("split at its length"));
        let histograms = Histograms::from_reduced(counts, &metrics, &RankReport::merge_extremes(&ranks));
        let measured_ns = times.window.passed_ns(streamed.ended_ns);
        let notes = streamed.notes.clone();
        Ok(Some(Reduced {
            ending,
            measured_ns,
            notes,
            clock_error,
            counters,
            histograms,
            ranks,
            integrity,
            exhibit,
            wind_down: streamed.wind_down,
        }))
    }
}

/// A window that begins at `start_ns`.
pub(crate) fn planned_window(planned: &MeasuredWindow, start_ns: u64) -> WindowTimes {
    let end_ns = start_ns.saturating_add(planned.window_ns);
    WindowTimes { start_ns, end_ns, stop_ns: end_ns.saturating_add(planned.cooldown_ns) }
}

/// The latencies that a run takes: only these are summed over ranks.
fn metrics(plan: &Plan) -> Vec<Metric> {
    let flow = &plan.flow;
    let always = [Metric::Confirm, Metric::OneWay].into_iter();
    let answered = [Metric::RttFromDue, Metric::RttFromSent, Metric::Service].into_iter().filter(|_| flow.replies > 0);
    let paced = plan.load.is_paced();
    let confirmed = (paced && plan.service.confirms.wanted()).then_some(Metric::ConfirmFromDue);
    let paced = paced.then_some(Metric::ScheduleLag).into_iter().chain(confirmed);
    always.chain(answered).chain(flow.gathers.then_some(Metric::Gather)).chain(paced).collect()
}

/// Seconds that each phase took on this rank.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    done: BTreeMap<String, f64>,
    current: Option<(&'static str, Instant)>,
}

impl Phases {
    fn begin(&mut self, name: &'static str, observer: &mut impl Observer) {
        self.end_current();
        self.current = Some((name, Instant::now()));
        observer.phase(name);
    }

    fn end_current(&mut self) {
        if let Some((name, started)) = self.current.take() {
            self.done.insert(name.to_owned(), started.elapsed().as_secs_f64());
        }
    }

    fn end(mut self) -> BTreeMap<String, f64> {
        self.end_current();
        self.done
    }
}
