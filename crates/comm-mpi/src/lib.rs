//! `engine::Comm` over MPI: the only crate that links it.
//!
//! MPI is called from the main thread only (`Funneled`). Waiting ranks sleep: before a blocking collective all ranks
//! meet in a non-blocking barrier that is tested between naps, so that the collective itself, in which MPI spins, is
//! short because all ranks are present.
//!
//! ```no_run
//! use comm_mpi::{ALL_RANKS_MAX, MpiComm};
//! use engine::ports::Comm;
//! use std::time::Duration;
//!
//! let comm = MpiComm::init(ALL_RANKS_MAX, true).expect("first use of MPI in this process");
//! let text = comm.broadcast(b"the profile".to_vec(), Duration::from_secs(60)).expect("all ranks are there");
//! assert_eq!(text, b"the profile");
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

mod buffers;
mod nap;
mod watchdog;

use buffers::{parts, sendable};
use engine::{
    awake::Patience,
    ports::{BYTES_MAX, Comm, CommError, POST_BYTES_MAX},
};
use mpi::{
    Threading,
    collective::{Root, SystemOperation},
    datatype::PartitionMut,
    environment::Universe,
    point_to_point::{Destination, Source},
    topology::{Communicator, SimpleCommunicator},
    traits::{CommunicatorCollectives, MatchedReceiveVec},
};
use nap::Nap;
use std::time::Duration;
use watchdog::Watchdog;

/// How long MPI may take to start and to end, which it does only with all ranks, unless [`LIMIT_VARIABLE`] is set.
pub const ALL_RANKS_MAX: Duration = Duration::from_secs(90);
/// The environment variable that sets another limit than [`ALL_RANKS_MAX`].
pub const LIMIT_VARIABLE: &str = "STREAMHARNESS_MPI_LIMIT";
/// How much longer other ranks wait, so that they are silent where a launcher ends them as soon as one has failed.
const SPEAKER_FIRST: Duration = Duration::from_secs(3);
/// Tag of control messages.
const CONTROL: mpi::Tag = 1;
/// Bytes for control messages that are posted and not yet received: statuses of a few minutes.
const POST_BUFFER_BYTES: usize = 8 * POST_BYTES_MAX as usize;

/// The ranks of an MPI launch. Dropping it finalises MPI.
pub struct MpiComm {
    world: SimpleCommunicator,
    _universe: Universe,
    /// Watches over the end of MPI, which comes when the field above is dropped.
    ends: Option<Watchdog>,
    all_ranks_max: Duration,
    speaks: bool,
}

/// Why MPI did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    /// MPI was already started in this process.
    #[error("MPI was already initialised in this process")]
    Twice,
    /// The library cannot be used with other threads.
    #[error("this MPI library gives no thread support (MPI_THREAD_FUNNELED): build it with threads")]
    Threads,
}

/// Watches over a call that returns only after all ranks have made it. The rank that `speaks` reports first.
fn all_ranks(what: &str, limit: Duration, speaks: bool) -> Watchdog {
    let why = format!(
        "MPI did not {what} within {} s: not every rank came, so one of them hangs or was suspended, or its node is out of \
         reach; see the launcher's output, and start the run again, or give more time with {LIMIT_VARIABLE}=10m",
        limit.as_secs()
    );
    Watchdog::with_sentence(why, if speaks { limit } else { limit + SPEAKER_FIRST })
}

/// Receives messages that were posted and never read: otherwise MPICH over UCX warns of them on stdout, after the
/// table.
impl Drop for MpiComm {
    fn drop(&mut self) {
        while let Ok(Some(_)) = self.poll() {}
        self.ends = Some(all_ranks("end", self.all_ranks_max, self.speaks));
    }
}

impl MpiComm {
    /// Starts MPI. Without a launcher this is a world of one rank. If a rank does not come, the process ends after
    /// `all_ranks_max` with exit code 7; the rank that `speaks` reports first. The same limit holds for the end of MPI.
    ///
    /// # Errors
    ///
    /// [`InitError`] if MPI was already started, or if the library has no thread support.
    pub fn init(all_ranks_max: Duration, speaks: bool) -> Result<Self, InitError> {
        let starts = all_ranks("start", all_ranks_max, speaks);
        let (mut universe, threading) = mpi::initialize_with_threading(Threading::Funneled).ok_or(InitError::Twice)?;
        drop(starts);
        if threading < Threading::Funneled {
            return Err(InitError::Threads);
        }
        universe.set_buffer_size(POST_BUFFER_BYTES);
        Ok(Self { world: universe.world(), _universe: universe, ends: None, all_ranks_max, speaks })
    }

    /// Ends every rank of the launch with `code`, if an orderly end is not possible.
    pub fn abort(&self, code: u8) -> ! {
        self.world.abort(i32::from(code))
    }

    /// Name and version of the MPI library.
    pub fn library() -> String {
        let version = mpi::environment::library_version().unwrap_or_default();
        let first = version.split([',', '\n']).next().unwrap_or_default().trim_end_matches('\0');
        // MPICH separates its version with a tab.
        first.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Sleeps until every rank is here, at most `limit` of time awake.
    fn meet(&self, step: &'static str, limit: Duration) -> Result<(), CommError> {
        let mut patience = Patience::new(limit);
        let nap = Nap::default();
        let mut barrier = self.world.immediate_barrier();
        loop {
            barrier = match barrier.test() {
                Ok(_) => return Ok(()),
                Err(pending) => pending,
            };
            if patience.left().is_zero() {
                // The barrier can be neither cancelled nor completed: the launch is about to be aborted.
                std::mem::forget(barrier);
                return Err(CommError::Absent { step, limit });
            }
            nap.take();
        }
    }

    fn root(&self) -> mpi::topology::Process<'_> {
        self.world.process_at_rank(0)
    }

    fn is_root(&self) -> bool {
        self.world.rank() == 0
    }
}

impl Comm for MpiComm {
    fn rank(&self) -> usize {
        self.world.rank() as usize
    }

    fn size(&self) -> usize {
        self.world.size() as usize
    }

    fn broadcast(&self, mut bytes: Vec<u8>, limit: Duration) -> Result<Vec<u8>, CommError> {
        self.meet("broadcast", limit)?;
        let _watchdog = Watchdog::watch("broadcast", limit);
        let mut length = bytes.len() as u64;
        self.root().broadcast_into(&mut length);
        CommError::refuse_over("broadcast", length, BYTES_MAX)?;
        bytes.resize(length as usize, 0);
        if length > 0 {
            self.root().broadcast_into(&mut bytes[..]);
        }
        Ok(bytes)
    }

    fn gather(&self, bytes: &[u8], limit: Duration) -> Result<Vec<Vec<u8>>, CommError> {
        self.meet("gather", limit)?;
        let _watchdog = Watchdog::watch("gather", limit);
        // Every rank learns all lengths, so that all ranks refuse a size that one of them cannot receive.
        let mut lengths = vec![0u64; self.size()];
        self.world.all_gather_into(&(bytes.len() as u64), &mut lengths[..]);
        let (starts, lengths) = parts("gather", &lengths)?;
        let total: usize = lengths.iter().map(|length| *length as usize).sum();
        let mut all = vec![0u8; if self.is_root() { total } else { 0 }];
        if total > 0 && self.is_root() {
            let mut partition = PartitionMut::new(&mut all[..], &lengths[..], &starts[..]);
            self.root().gather_varcount_into_root(sendable(bytes), &mut partition);
        } else if total > 0 {
            self.root().gather_varcount_into(sendable(bytes));
        }
        if !self.is_root() {
            return Ok(Vec::new());
        }
        let part = |(start, length): (&i32, &i32)| all[*start as usize..(*start + *length) as usize].to_vec();
        Ok(starts.iter().zip(&lengths).map(part).collect())
    }

    fn reduce_sum(&self, values: &mut [u64], limit: Duration) -> Result<(), CommError> {
        self.meet("reduce", limit)?;
        CommError::refuse_over("reduce", size_of_val(values) as u64, BYTES_MAX)?;
        let _watchdog = Watchdog::watch("reduce", limit);
        if values.is_empty() {
            return Ok(());
        }
        if self.is_root() {
            let mut sums = vec![0; values.len()];
            self.root().reduce_into_root(values, &mut sums[..], SystemOperation::sum());
            values.copy_from_slice(&sums);
        } else {
            self.root().reduce_into(values, SystemOperation::sum());
        }
        Ok(())
    }

    fn barrier(&self, limit: Duration) -> Result<(), CommError> {
        self.meet("barrier", limit)
    }

    fn post(&self, to: usize, bytes: &[u8]) -> Result<(), CommError> {
        // A message larger than the buffer would end the launch.
        CommError::refuse_over("post", bytes.len() as u64, POST_BYTES_MAX)?;
        self.world.process_at_rank(to as i32).buffered_send_with_tag(sendable(bytes), CONTROL);
        Ok(())
    }

    fn poll(&self) -> Result<Option<(usize, Vec<u8>)>, CommError> {
        let waiting = self.world.any_process().immediate_matched_probe_with_tag(CONTROL);
        Ok(waiting.map(|waiting| {
            let (bytes, status) = waiting.matched_receive_vec::<u8>();
            (status.source_rank() as usize, bytes)
        }))
    }
}
