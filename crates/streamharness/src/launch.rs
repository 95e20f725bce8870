//! One launch, the same on every rank: resolve, open the route, run, record.

use crate::{
    arguments::Run,
    environment,
    exit::{Exit, Failure},
    flags,
    lead::{Facts, Lead},
    machine,
    route::{self, Route},
    signals::Signals,
};
use comm_mpi::MpiComm;
use engine::{
    Observer, Place, RunError, RunResult, Snapshot,
    clock::{Clock, boot_id},
    control::Ending,
    ports::{Comm, CommError, agree},
};
use management::Access;
use payload::Workload;
use profile::{Plan, Profile};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::time::Duration;
use testbed::Ephemeral;
use transport_amqp::Amqp;

/// How long ranks wait for rank 0 to read its profile.
const RESOLVE_LIMIT: Duration = Duration::from_secs(60);
/// How long ranks wait for each other before they fail together.
const FAREWELL_LIMIT: Duration = Duration::from_secs(10);

/// What rank 0 read, and every rank resolves.
#[derive(Serialize, Deserialize)]
struct Written {
    profile: Profile,
    run: u32,
}

/// Takes part in a launch as one of its ranks.
pub fn run(arguments: &Run) -> Result<Exit, Failure> {
    let signals = Signals::catch(environment::speaks_for_the_launch())
        .map_err(|error| Failure::new(Exit::Usage, format!("signals cannot be caught: {error}")))?;
    let comm = MpiComm::init().map_err(|error| Failure::new(Exit::Usage, error))?;
    match launched(&comm, arguments, &signals) {
        Ok(exit) => Ok(exit),
        Err(Stop::Together(failure)) => {
            // Told before anyone ends: a launcher stops the other ranks as soon as one has failed.
            failure.tell();
            let _ = comm.barrier(FAREWELL_LIMIT);
            Err(silent(failure.exit))
        }
        Err(Stop::Alone(failure)) => {
            // The others wait for a rank that will not come: only an abort ends them.
            failure.tell();
            comm.abort(failure.exit as u8)
        }
    }
}

/// How a launch ends early.
enum Stop {
    /// Every rank ends with this.
    Together(Failure),
    /// This rank knows that others cannot be reached.
    Alone(Failure),
}

impl From<CommError> for Stop {
    fn from(error: CommError) -> Self {
        Self::Alone(Failure::new(Exit::Partial, error))
    }
}

fn launched(comm: &MpiComm, arguments: &Run, signals: &Signals) -> Result<Exit, Stop> {
    let written = from_rank_0(comm, RESOLVE_LIMIT, || read(arguments))?;
    let hosts = hosts(comm)?;
    let plan = Plan::resolve_on(&written.profile, &hosts, written.run)
        .map_err(|error| Stop::Together(spoken_by_rank_0(comm, flags::failure(error))))?;
    same_plan(comm, &plan)?;
    let payloads = same_bodies(comm, &plan)?;

    let mut lead = (comm.rank() == 0)
        .then(|| Lead::new(Facts::new(&plan, written.run, comm.size()), arguments.out.clone(), arguments.strict));
    let mut opened: Option<Route> = None;
    let connect = from_rank_0(comm, plan.limits.route, || {
        let lead = lead.as_mut().expect("rank 0 leads");
        lead.prepare_output()?;
        lead.announce(&plan);
        let route = opened.insert(route::open(&written.profile, &mut |line| lead.say(line))?);
        Ok(route.connect.clone())
    })?;
    if let Some(lead) = &mut lead {
        let management = opened.as_ref().and_then(|route| route.management.clone());
        lead.route(&connect.hops, management.map(|access| Access { queues: plan.name_prefix(), ..access }));
    }
    let refused = |failure: Failure| Stop::Together(spoken_by_rank_0(comm, failure));
    let transport = Amqp::new(connect.amqp, &plan).map_err(|fault| refused(Failure::new(Exit::Route, fault)))?;

    let place = Place {
        host: environment::host(),
        boot: boot_id(),
        cores: environment::cores(),
        allowed: environment::allowed_cores(),
        machine: machine::describe(),
        clock: Clock::default(),
    };
    let mut watcher = Watcher { lead: lead.as_mut(), signals };
    let ran = engine::run(comm, &plan, transport, payloads, &place, &mut watcher);
    if let Some(Route { ephemeral, tunnel, .. }) = opened {
        drop(tunnel);
        if let Some(Err(error)) = ephemeral.map(Ephemeral::close) {
            eprintln!("streamharness: {error}");
        }
    }
    match ran {
        Ok(_) => {
            let exit = from_rank_0(comm, plan.limits.collective, || lead.as_ref().expect("rank 0 leads").exit())?;
            Ok(Exit::from_code(exit))
        }
        Err(RunError::Failed { .. }) if comm.rank() != 0 => Err(Stop::Together(silent(Exit::Route))),
        Err(error @ RunError::Failed { .. }) => Err(Stop::Together(Failure::new(Exit::Route, error))),
        // The lead has told why.
        Err(RunError::RankLost(_)) => Err(Stop::Alone(silent(Exit::Partial))),
        Err(error) => Err(Stop::Alone(Failure::new(Exit::Partial, error))),
    }
}

/// Reads what was asked for; draws the run's number.
fn read(arguments: &Run) -> Result<Written, Failure> {
    let profile = flags::profile(arguments)?;
    let run = SysRng
        .try_next_u32()
        .map_err(|error| Failure::new(Exit::Usage, format!("the system gives no random numbers: {error}")))?;
    Ok(Written { profile, run })
}

/// For each rank the number of its host, in the order in which hosts are met.
fn hosts(comm: &MpiComm) -> Result<Vec<u32>, CommError> {
    let names = comm.gather(environment::host().as_bytes(), RESOLVE_LIMIT)?;
    let mut known: Vec<&Vec<u8>> = Vec::new();
    let numbers = names.iter().map(|name| {
        let number = known.iter().position(|other| *other == name).unwrap_or(known.len());
        if number == known.len() {
            known.push(name);
        }
        number as u32
    });
    let numbers: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
    let bytes = comm.broadcast(numbers, RESOLVE_LIMIT)?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect())
}

/// Two builds or two files on two nodes must not be measured as one.
fn same_plan(comm: &MpiComm, plan: &Plan) -> Result<(), Stop> {
    let theirs = comm.broadcast(plan.digest().to_vec(), plan.limits.collective)?;
    let mine = if theirs == plan.digest() { Ok(()) } else { Err("resolved another plan than rank 0".to_owned()) };
    agree(comm, mine, plan.limits.collective)?.map_err(|failures| {
        let (rank, what) = &failures[0];
        let sentence = format!("rank {rank} {what}: install the same streamharness on every node");
        Stop::Together(spoken_by_rank_0(comm, Failure::new(Exit::Profile, sentence)))
    })
}

/// The bodies of the plan, before anything is started for them; every rank must be able to build them, and the same.
fn same_bodies(comm: &MpiComm, plan: &Plan) -> Result<Workload, Stop> {
    let built = Workload::new(plan);
    let fingerprint = built.as_ref().map_or(0, Workload::fingerprint).to_le_bytes();
    let theirs = comm.broadcast(fingerprint.to_vec(), plan.limits.collective)?;
    let mine = match &built {
        Err(error) => Err(error.to_string()),
        Ok(_) if theirs != fingerprint => {
            Err("bodies are not the same on every node: install the same streamharness and the same libhdf5".to_owned())
        }
        Ok(_) => Ok(()),
    };
    match (agree(comm, mine, plan.limits.collective)?, built) {
        (Ok(()), Ok(workload)) => Ok(workload),
        (Err(failures), _) => Err(Stop::Together(spoken_by_rank_0(comm, Failure::new(Exit::Profile, &failures[0].1)))),
        (Ok(()), Err(_)) => unreachable!("a rank's own failure is among those agreed on"),
    }
}

/// Rank 0 does something, and every rank gets its outcome.
fn from_rank_0<T: Serialize + DeserializeOwned>(
    comm: &MpiComm,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Stop> {
    let config = bincode::config::standard();
    let outcome = if comm.rank() == 0 { Some(work()) } else { None };
    let wire = outcome.map(|outcome| outcome.map_err(|failure| (failure.exit as u8, failure.sentence)));
    let bytes =
        wire.map(|wire| bincode::serde::encode_to_vec(wire, config).expect("outcomes encode")).unwrap_or_default();
    let bytes = comm.broadcast(bytes, limit)?;
    let (outcome, _): (Result<T, (u8, String)>, _) =
        bincode::serde::decode_from_slice(&bytes, config).expect("ranks run the same binary");
    outcome.map_err(|(code, sentence)| {
        Stop::Together(spoken_by_rank_0(comm, Failure::new(Exit::from_code(code), sentence)))
    })
}

/// A failure that every rank has; only rank 0 says it.
fn spoken_by_rank_0(comm: &MpiComm, failure: Failure) -> Failure {
    if comm.rank() == 0 { failure } else { silent(failure.exit) }
}

fn silent(exit: Exit) -> Failure {
    Failure { exit, sentence: String::new() }
}

/// Passes on what happens to the lead, if this rank has it, and signals to the run.
struct Watcher<'a> {
    lead: Option<&'a mut Lead>,
    signals: &'a Signals,
}

impl Observer for Watcher<'_> {
    fn phase(&mut self, name: &'static str) {
        self.signals.set_streaming(matches!(name, "stream" | "finish" | "reduce"));
        if let Some(lead) = &mut self.lead {
            lead.phase(name);
        }
    }

    fn note(&mut self, sentence: &str) {
        if let Some(lead) = &mut self.lead {
            lead.say(sentence);
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

    fn result(&mut self, result: &RunResult) {
        if let Some(lead) = &mut self.lead {
            lead.result(result);
        }
    }

    fn stop_requested(&self) -> Option<String> {
        self.signals.requested().map(str::to_owned)
    }
}
