//! The ranks of one launch: their shared state, their joint decisions, and their joint end.

use crate::{
    host::{
        environment, machine,
        reach::{self, Address},
    },
    launch::{build, launcher, signals::Signals},
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use comm_mpi::{ALL_RANKS_MAX, LIMIT_VARIABLE, MpiComm};
use engine::{
    Place,
    clock::{Clock, boot_id},
    ports::{Comm, CommError},
};
use profile::Span;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    env, thread,
    time::{Duration, Instant},
};

/// How long ranks wait for rank 0 to read its profile, and for each other before the first run.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(60);
/// How long ranks wait for each other before they fail together.
const FAREWELL_LIMIT: Duration = Duration::from_secs(10);

/// How long another rank leaves rank 0 to report a failure that all ranks share.
const SPEAKER_FIRST: Duration = Duration::from_secs(3);

/// Gives rank 0 time to report why all ranks end: a launcher ends the other ranks as soon as one has failed, usually this
/// one in its sleep.
pub fn let_rank_0_report() {
    thread::sleep(SPEAKER_FIRST);
}

/// One rank of a launch, and the hosts of the others.
pub struct World {
    /// The communicator of all ranks.
    pub comm: MpiComm,
    /// The signals that it has received.
    pub signals: Signals,
    /// Where it runs.
    pub place: Place,
    /// For each rank the number of its host, in the order in which hosts are met.
    pub hosts: Vec<u32>,
    /// How long MPI took to start.
    pub mpi_start: Duration,
    /// Those hosts, that of rank 0 first; on rank 0 only.
    pub known: Vec<Host>,
    /// The process of each rank, on its own host; on rank 0 only.
    pub pids: Vec<u32>,
}

/// A host of the launch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// The addresses of its interfaces.
    pub addresses: Vec<Address>,
    /// The cores that its ranks are bound to.
    pub cores: Vec<u32>,
}

/// How a launch ends early.
pub enum Stop {
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

/// Takes part in a launch as one of its ranks, and ends as the others do.
pub fn enter(work: impl FnOnce(&World) -> Result<Exit, Stop>) -> Result<Exit, Failure> {
    // Before MPI starts: without a launcher that it knows, it makes every process rank 0 of its own launch.
    let (stated, speaks) = (launcher::stated(), environment::speaks_for_the_launch());
    let signals = Signals::catch(speaks).map_err(|error| {
        Failure::new(Exit::Usage, format!("signals cannot be caught: {}", shortage::explain(&error)))
    })?;
    let limit = match mpi_limit() {
        Err(failure) if !speaks => {
            let_rank_0_report();
            return Err(silent(failure.exit));
        }
        limit => limit?,
    };
    let library = MpiComm::library();
    let begun = Instant::now();
    let comm = match stated.forewarning(&library) {
        None => MpiComm::init(limit, speaks),
        Some(sentence) => {
            if speaks {
                stderr::say(sentence);
            } else {
                let_rank_0_report();
            }
            let init = launcher::without_stderr(|| MpiComm::init(limit, speaks));
            init.map_err(|error| Failure::new(Exit::Usage, shortage::explain(&error)))?
        }
    };
    let comm = comm.map_err(|error| Failure::new(Exit::Usage, error))?;
    let mpi_start = begun.elapsed();
    if let Err(failure) = launcher::check(stated, comm.size(), &library) {
        if speaks {
            return Err(failure);
        }
        let_rank_0_report();
        return Err(silent(failure.exit));
    }
    let machine = machine::describe();
    let place =
        Place { boot: boot_id(), allowed: environment::allowed_cores(), clock: Clock::of_host(&machine.host), machine };
    let mut world = World { comm, signals, place, hosts: Vec::new(), mpi_start, known: Vec::new(), pids: Vec::new() };
    let ended = world.meet().and_then(|()| work(&world));
    // All ranks are about to end. The launcher's signal that another rank has failed must not end this one before.
    world.signals.set_streaming(true);
    match ended {
        Ok(exit) => Ok(exit),
        Err(Stop::Together(failure)) => {
            // Reported before any rank ends: a launcher stops the other ranks as soon as one has failed.
            failure.report();
            let _ = world.comm.barrier(FAREWELL_LIMIT);
            Err(silent(failure.exit))
        }
        Err(Stop::Alone(failure)) => {
            // The others wait for a lost rank: only an abort ends them.
            failure.report();
            world.comm.abort(failure.exit as u8)
        }
    }
}

/// How long MPI may take to start and to end.
fn mpi_limit() -> Result<Duration, Failure> {
    let Ok(text) = env::var(LIMIT_VARIABLE) else { return Ok(ALL_RANKS_MAX) };
    let limit =
        text.parse::<Span>().map_err(|error| Failure::new(Exit::Usage, format!("{LIMIT_VARIABLE}: {error}")))?;
    Ok(limit.0)
}

impl World {
    /// Whether this is rank 0, which reads, decides, reports and writes.
    pub fn leads(&self) -> bool {
        self.comm.rank() == 0
    }

    /// Learns on which host each rank is.
    fn meet(&mut self) -> Result<(), Stop> {
        self.is_of_one_build()?;
        let config = bincode::config::standard();
        let own = Host {
            name: self.place.machine.host.clone(),
            addresses: reach::addresses(),
            cores: self.place.allowed.bound.clone(),
        };
        let own = bincode::serde::encode_to_vec((own, std::process::id()), config).expect("names and addresses encode");
        let mut numbers = Vec::new();
        for rank in self.comm.gather(&own, RESOLVE_LIMIT)? {
            let ((host, pid), _): ((Host, u32), _) =
                bincode::serde::decode_from_slice(&rank, config).expect("ranks run the same binary");
            self.pids.push(pid);
            let number = self.known.iter().position(|other| other.name == host.name).unwrap_or(self.known.len());
            match self.known.get_mut(number) {
                Some(known) => known.cores.extend(host.cores),
                None => self.known.push(host),
            }
            numbers.extend((number as u32).to_le_bytes());
        }
        let bytes = self.comm.broadcast(numbers, RESOLVE_LIMIT)?;
        self.hosts = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        Ok(())
    }

    /// Refuses ranks of other builds, by messages that all builds read.
    fn is_of_one_build(&self) -> Result<(), Stop> {
        let introductions = self.comm.gather(&build::introduction(&self.place.machine.host), RESOLVE_LIMIT)?;
        let difference = build::difference(&introductions);
        let differs = self.comm.broadcast(vec![u8::from(difference.is_some())], RESOLVE_LIMIT)?;
        if differs == [0] {
            return Ok(());
        }
        Err(self.stop(Failure::new(Exit::Route, difference.unwrap_or_default())))
    }

    /// The number of this rank's host.
    pub fn host(&self) -> usize {
        self.hosts[self.comm.rank()] as usize
    }

    /// Whether no rank before this one is on its host.
    pub fn is_first_of_its_host(&self) -> bool {
        !self.hosts[..self.comm.rank()].contains(&self.hosts[self.comm.rank()])
    }

    /// Rank 0 decides by what all ranks state, and every rank gets the decision.
    pub fn decide<T: Serialize + DeserializeOwned, D: Serialize + DeserializeOwned>(
        &self,
        statement: &T,
        limit: Duration,
        decide: impl FnOnce(Vec<T>) -> Result<D, Failure>,
    ) -> Result<D, Stop> {
        let config = bincode::config::standard();
        let statement = bincode::serde::encode_to_vec(statement, config).expect("statements encode");
        let all = self.comm.gather(&statement, limit)?;
        let decode =
            |bytes: &Vec<u8>| bincode::serde::decode_from_slice(bytes, config).expect("ranks run the same binary").0;
        self.by_rank_0(limit, || decide(all.iter().map(decode).collect()))
    }

    /// Rank 0 does something, and every rank gets its outcome.
    pub fn by_rank_0<T: Serialize + DeserializeOwned>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> Result<T, Failure>,
    ) -> Result<T, Stop> {
        let config = bincode::config::standard();
        let outcome = if self.leads() { Some(work()) } else { None };
        let wire = outcome.map(|outcome| outcome.map_err(|failure| (failure.exit as u8, failure.sentence)));
        let bytes =
            wire.map(|wire| bincode::serde::encode_to_vec(wire, config).expect("outcomes encode")).unwrap_or_default();
        let bytes = self.comm.broadcast(bytes, limit)?;
        let (outcome, _): (Result<T, (u8, String)>, _) =
            bincode::serde::decode_from_slice(&bytes, config).expect("ranks run the same binary");
        outcome.map_err(|(code, sentence)| self.stop(Failure::new(Exit::from_code(code), sentence)))
    }

    /// The end of the launch for a reason that all ranks share; only rank 0 reports it.
    pub fn stop(&self, failure: Failure) -> Stop {
        Stop::Together(if self.leads() { failure } else { silent(failure.exit) })
    }
}

/// A failure that another rank reports.
pub fn silent(exit: Exit) -> Failure {
    Failure { exit, sentence: String::new() }
}
