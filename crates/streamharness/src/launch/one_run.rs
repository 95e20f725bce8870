//! One run of one plan over an open route.

use crate::{
    launch::{
        signals::Signals,
        world::{Stop, World, silent},
    },
    rank0::lead::Lead,
    route::{Connect, ejfat, site},
    terminal::exit::{Exit, Failure},
};
use engine::{
    Observer, Phase, RunError, RunResult, Snapshot,
    clock::Clock,
    control::Ending,
    ports::{Comm, Fault, agree},
};
use measure::record::LeftBehind;
use payload::Workload;
use profile::{Plan, Side};
use std::time::Duration;
use transport_amqp::Amqp;

/// A plan that is the same on every rank, with the bodies that it needs.
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    payloads: Workload,
}

impl Prepared {
    /// Every rank calls it with the plan that it resolved. Connects to nothing.
    pub fn new(world: &World, plan: Plan) -> Result<Self, Stop> {
        same_plan(world, &plan)?;
        let payloads = with_sink(world, &plan, same_bodies(world, &plan)?)?;
        Ok(Self { plan, payloads })
    }

    /// Carries it out over an open route; every rank calls it, rank 0 with its lead. The lead keeps the
    /// result, good or bad. Ranks without a worker in this plan, and all ranks after a failure that they share, are ready
    /// for the next run. Only a lost rank ends the launch.
    pub fn carry_out(self, world: &World, connect: &Connect, mut lead: Option<&mut Lead>) -> Result<(), Stop> {
        if let Some(lead) = &mut lead {
            lead.route(connect);
            lead.hear(&world.signals);
        }
        let entered = site::enter(&self.plan, world.comm.rank());
        agree(&world.comm, entered, self.plan.limits.collective)?
            .map_err(|failures| world.stop(Failure::new(Exit::Route, &failures[0].1)))?;
        let mut watcher = Watcher { lead, signals: &world.signals };
        let (comm, plan, place) = (&world.comm, &self.plan, &world.place);
        let done = match &plan.ejfat {
            Some(ejfat) => {
                let transport = ejfat::transport(world, plan, ejfat, connect.ejfat.as_ref())?;
                engine::run(comm, plan, transport, self.payloads, place, &mut watcher)
            }
            None => {
                // An error here is the same on every rank, as the arguments are.
                let transport = Amqp::new(connect.amqp.clone(), plan)
                    .map_err(|fault| world.stop(Failure::new(Exit::Route, fault)))?;
                engine::run(comm, plan, transport, self.payloads, place, &mut watcher)
            }
        };
        // Otherwise the next route cannot be opened, which reports it.
        let _ = site::leave();
        match done {
            Ok(_) => Ok(()),
            Err(error @ RunError::Failed { .. }) => {
                if let Some(lead) = watcher.lead {
                    lead.refused(Failure::new(error.exit(), error));
                }
                Ok(())
            }
            // The lead has reported the reason.
            Err(RunError::RankLost(_)) => Err(Stop::Alone(silent(Exit::Partial))),
            Err(error) => {
                let failure = Failure::new(Exit::Partial, error);
                if let Some(lead) = watcher.lead {
                    lead.lost(&failure);
                }
                Err(Stop::Alone(failure))
            }
        }
    }
}

/// Two builds or two files on two nodes must not be measured as one.
fn same_plan(world: &World, plan: &Plan) -> Result<(), Stop> {
    let theirs = world.comm.broadcast(plan.digest().to_vec(), plan.limits.collective)?;
    let mine = if theirs == plan.digest() { Ok(()) } else { Err("resolved another plan than rank 0".to_owned()) };
    agree(&world.comm, mine, plan.limits.collective)?.map_err(|failures| {
        let (rank, what) = &failures[0];
        let sentence = format!("rank {rank} {what}: install the same streamharness on every node");
        world.stop(Failure::new(Exit::Profile, sentence))
    })
}

/// The bodies of the plan, before anything is started for them; every rank must be able to build them, and the same.
fn same_bodies(world: &World, plan: &Plan) -> Result<Workload, Stop> {
    let built = Workload::new(plan);
    let fingerprint = built.as_ref().map_or(0, Workload::fingerprint).to_le_bytes();
    let theirs = world.comm.broadcast(fingerprint.to_vec(), plan.limits.collective)?;
    let mine = match &built {
        Err(error) => Err(error.to_string()),
        Ok(_) if theirs != fingerprint => {
            Err("bodies are not the same on every node: install the same streamharness and the same libhdf5".to_owned())
        }
        Ok(_) => Ok(()),
    };
    match (agree(&world.comm, mine, plan.limits.collective)?, built) {
        (Ok(()), Ok(workload)) => Ok(workload),
        (Err(failures), _) => Err(world.stop(Failure::new(Exit::Profile, &failures[0].1))),
        (Ok(()), Err(_)) => unreachable!("a rank's own failure is among those agreed on"),
    }
}

/// What arrives is written by ranks with a consumer, if the plan says so.
fn with_sink(world: &World, plan: &Plan, workload: Workload) -> Result<Workload, Stop> {
    let rank = world.comm.rank();
    let opened =
        if plan.placement.role(rank).consumers.is_empty() { Ok(workload) } else { workload.with_sink(plan, rank) };
    let (workload, mine) = match opened {
        Ok(workload) => (Some(workload), Ok(())),
        Err(error) => (None, Err(error.to_string())),
    };
    match (agree(&world.comm, mine, plan.limits.collective)?, workload) {
        (Ok(()), Some(workload)) => Ok(workload),
        (Err(failures), _) => Err(world.stop(Failure::new(Exit::Profile, &failures[0].1))),
        (Ok(()), None) => unreachable!("a rank's own failure is among those agreed on"),
    }
}

/// Passes events of the run to the lead, if this rank has it, and signals to the run.
struct Watcher<'a> {
    lead: Option<&'a mut Lead>,
    signals: &'a Signals,
}

impl Observer for Watcher<'_> {
    fn phase(&mut self, phase: Phase) {
        self.signals.set_streaming(matches!(phase, Phase::Stream | Phase::Finish | Phase::Reduce));
        if let Some(lead) = &mut self.lead {
            lead.phase(phase);
        }
    }

    fn note(&mut self, sentence: &str) {
        if let Some(lead) = &mut self.lead {
            lead.say(sentence);
        }
    }

    fn awaits(&mut self, side: Side, queues: &[String], limit: Duration) {
        if let Some(lead) = &mut self.lead {
            lead.awaits(side, queues, limit);
        }
    }

    fn starts(&mut self, clock: Clock, start_ns: u64) {
        if let Some(lead) = &mut self.lead {
            lead.starts(clock, start_ns);
        }
    }

    fn progress(&mut self, snapshot: &Snapshot) {
        if let Some(lead) = &mut self.lead {
            lead.progress(snapshot);
        }
    }

    fn cut_short(&mut self, snapshot: &Snapshot, ending: &Ending) {
        if let Some(lead) = &mut self.lead {
            lead.cut_short(snapshot, ending);
        }
    }

    fn rank_lost(&mut self, snapshot: &Snapshot, ending: &Ending) {
        if let Some(lead) = &mut self.lead {
            lead.rank_lost(snapshot, ending);
        }
    }

    fn result(&mut self, result: &RunResult) {
        if let Some(lead) = &mut self.lead {
            lead.result(result);
        }
    }

    fn left_behind(&mut self, left: Vec<LeftBehind>, why: &Fault) {
        if let Some(lead) = &mut self.lead {
            lead.left_behind(left, why);
        }
    }

    fn stop_requested(&self) -> Option<String> {
        self.signals.requested().map(str::to_owned)
    }
}
