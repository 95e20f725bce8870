//! A run on threads: the plan from a profile, the ranks, their observer.

use engine::{
    AllowedCores, Observer, Place, RunError, RunResult,
    clock::Clock,
    control::Ending,
    double::{Faults, MemoryBroker, PlainPayloads, ThreadComm},
    ports::{Comm, Fault, Payloads},
    run,
};
use measure::record::{LeftBehind, Machine};
use profile::{Layer, Origin, Plan, combine};
use std::time::{Duration, Instant};

pub fn plan(text: &str, world: usize) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).unwrap();
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let mut plan = Plan::resolve(&profile, world, 7).unwrap();
    plan.limits.collective = Duration::from_secs(20);
    plan
}

pub fn place(rank: usize, shift_ns: i64) -> Place {
    let boot = if shift_ns == 0 { "one host".into() } else { format!("host of rank {rank}").into_bytes() };
    Place {
        boot,
        allowed: AllowedCores::default(),
        machine: Machine { host: format!("host{rank}"), cores: 2, ..Machine::default() },
        clock: Clock::shifted(shift_ns),
    }
}

#[derive(Default)]
pub struct Quiet {
    stop_after: Option<(Instant, Duration)>,
    pub cut_short: Option<Ending>,
    pub left: Vec<String>,
    /// Why.
    pub left_for: Option<Fault>,
}

impl Observer for Quiet {
    fn cut_short(&mut self, _: &engine::Snapshot, ending: &Ending) {
        self.cut_short = Some(ending.clone());
    }
    fn left_behind(&mut self, left: Vec<LeftBehind>, fault: &Fault) {
        self.left_for = Some(fault.clone());
        self.left = left.into_iter().map(|left| left.name).collect();
    }
    fn stop_requested(&self) -> Option<String> {
        self.stop_after.is_some_and(|(since, after)| since.elapsed() > after).then(|| "a test".to_owned())
    }
}

/// Runs the plan on as many threads as it has ranks; rank 0's outcome and observer.
pub fn run_world(
    plan: &Plan,
    broker: &MemoryBroker,
    shift_ns: i64,
    stop_after: Option<Duration>,
) -> (Result<RunResult, RunError>, Quiet) {
    run_world_of(plan, broker, shift_ns, stop_after, PlainPayloads { bytes: 100, spoilt_every: None })
}

/// Carries out plans one after the other in one world; rank 0's results.
pub fn run_after_each_other(world: Vec<ThreadComm>, plans: &[Plan], broker: &MemoryBroker) -> Vec<RunResult> {
    let mut results: Vec<Vec<RunResult>> = std::thread::scope(|scope| {
        let ranks: Vec<_> = world
            .into_iter()
            .map(|comm| {
                scope.spawn(move || {
                    let one = |plan| {
                        let payloads = PlainPayloads { bytes: 100, spoilt_every: None };
                        run(&comm, plan, broker.clone(), payloads, &place(comm.rank(), 0), &mut Quiet::default())
                            .unwrap()
                    };
                    plans.iter().filter_map(one).collect()
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    results.swap_remove(0)
}

/// The same with bodies of one's own.
pub fn run_world_of(
    plan: &Plan,
    broker: &MemoryBroker,
    shift_ns: i64,
    stop_after: Option<Duration>,
    payloads: impl Payloads + Copy,
) -> (Result<RunResult, RunError>, Quiet) {
    let mut outcomes: Vec<_> = std::thread::scope(|scope| {
        let ranks: Vec<_> = ThreadComm::world(plan.placement.world)
            .into_iter()
            .map(|comm| {
                scope.spawn(move || {
                    let mut observer =
                        Quiet { stop_after: stop_after.map(|after| (Instant::now(), after)), ..Quiet::default() };
                    let place = place(comm.rank(), shift_ns * comm.rank() as i64);
                    (run(&comm, plan, broker.clone(), payloads, &place, &mut observer), observer)
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    });
    for (outcome, _) in &outcomes[1..] {
        assert!(matches!(outcome, Ok(None) | Err(_)), "only rank 0 has a result");
    }
    let (outcome, observer) = outcomes.swap_remove(0);
    assert_eq!(broker.queues(), observer.left, "a run deletes its queues, or reports those that it could not delete");
    (outcome.map(|result| result.expect("rank 0 has the result")), observer)
}

pub fn result(text: &str, world: usize, faults: Faults) -> RunResult {
    run_world(&plan(text, world), &MemoryBroker::with(faults), 0, None).0.unwrap()
}
