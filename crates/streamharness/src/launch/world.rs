//! The ranks of one launch: what they share, how they decide together, and how they end together.

use crate::{
    host::{environment, machine},
    launch::{launcher, signals::Signals},
    terminal::{
        exit::{Exit, Failure},
        stderr,
    },
};
use comm_mpi::MpiComm;
use engine::{
    Place,
    clock::{Clock, boot_id},
    ports::{Comm, CommError},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{thread, time::Duration};

/// How long ranks wait for rank 0 to read its profile, and for each other before anything has begun.
pub const RESOLVE_LIMIT: Duration = Duration::from_secs(60);
/// How long ranks wait for each other before they fail together.
const FAREWELL_LIMIT: Duration = Duration::from_secs(10);

/// How long a rank that says nothing gives rank 0 to say it.
const SPEAKER_FIRST: Duration = Duration::from_secs(3);

/// Gives rank 0 time to say why all end: a launcher ends the other ranks as soon as one has failed, usually this one in its
/// sleep.
pub fn let_rank_0_speak() {
    thread::sleep(SPEAKER_FIRST);
}

/// One rank of a launch, and what it knows of the others.
pub struct World {
    /// How it talks to them.
    pub comm: MpiComm,
    /// What people ask of it by signals.
    pub signals: Signals,
    /// Where it runs.
    pub place: Place,
    /// For each rank the number of its host, in the order in which hosts are met.
    pub hosts: Vec<u32>,
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
    let library = MpiComm::library();
    let comm = match stated.forewarning(&library) {
        None => MpiComm::init(speaks),
        Some(sentence) => {
            if speaks {
                stderr::say(sentence);
            } else {
                let_rank_0_speak();
            }
            let init = launcher::unheard(|| MpiComm::init(speaks));
            init.map_err(|error| Failure::new(Exit::Usage, shortage::explain(&error)))?
        }
    };
    let comm = comm.map_err(|error| Failure::new(Exit::Usage, error))?;
    if let Err(failure) = launcher::check(stated, comm.size(), &library) {
        if speaks {
            return Err(failure);
        }
        let_rank_0_speak();
        return Err(silent(failure.exit));
    }
    let place = Place {
        boot: boot_id(),
        allowed: environment::allowed_cores(),
        machine: machine::describe(),
        clock: Clock::default(),
    };
    let mut world = World { comm, signals, place, hosts: Vec::new() };
    let ended = world.meet().and_then(|()| work(&world));
    // A launcher ends the ranks that are left as soon as one has ended with a failure: they are about to.
    world.signals.set_streaming(true);
    match ended {
        Ok(exit) => Ok(exit),
        Err(Stop::Together(failure)) => {
            // Told before anyone ends: a launcher stops the other ranks as soon as one has failed.
            failure.tell();
            let _ = world.comm.barrier(FAREWELL_LIMIT);
            Err(silent(failure.exit))
        }
        Err(Stop::Alone(failure)) => {
            // The others wait for a rank that will not come: only an abort ends them.
            failure.tell();
            world.comm.abort(failure.exit as u8)
        }
    }
}

impl World {
    /// Whether this is rank 0, which reads, decides, tells and writes.
    pub fn leads(&self) -> bool {
        self.comm.rank() == 0
    }

    /// Learns on which host each rank is.
    fn meet(&mut self) -> Result<(), Stop> {
        let names = self.comm.gather(self.place.machine.host.as_bytes(), RESOLVE_LIMIT)?;
        let mut known: Vec<&Vec<u8>> = Vec::new();
        let numbers = names.iter().map(|name| {
            let number = known.iter().position(|other| *other == name).unwrap_or(known.len());
            if number == known.len() {
                known.push(name);
            }
            number as u32
        });
        let numbers: Vec<u8> = numbers.flat_map(u32::to_le_bytes).collect();
        let bytes = self.comm.broadcast(numbers, RESOLVE_LIMIT)?;
        self.hosts = bytes.as_chunks::<4>().0.iter().map(|number| u32::from_le_bytes(*number)).collect();
        Ok(())
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

    /// The end of the launch for a reason that every rank has; only rank 0 says it.
    pub fn stop(&self, failure: Failure) -> Stop {
        Stop::Together(if self.leads() { failure } else { silent(failure.exit) })
    }
}

/// A failure that somebody else tells.
pub fn silent(exit: Exit) -> Failure {
    Failure { exit, sentence: String::new() }
}
