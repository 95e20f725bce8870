//! How the ranks of one launch talk to each other.

use std::time::Duration;

/// The most bytes of one collective or message over all ranks: MPI counts with 32 bits and a sign.
pub const BYTES_MAX: u64 = i32::MAX as u64;

/// The most bytes of one control message.
pub const POST_BYTES_MAX: u64 = 128 << 10;

/// The ranks of one launch. Called from the main thread only.
///
/// Every collective is entered by all ranks in the same order, and each has a limit: if some rank
/// does not come within it, the others get [`CommError::Absent`] and must end the launch. While
/// they wait they sleep: laptops run more ranks than they have cores. What is empty is as good as
/// any other bytes; what is longer than [`BYTES_MAX`] is refused on every rank.
pub trait Comm {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn size(&self) -> usize;

    /// Gives every rank the bytes of rank 0.
    fn broadcast(&self, bytes: Vec<u8>, limit: Duration) -> Result<Vec<u8>, CommError>;

    /// Gives rank 0 the bytes of every rank, in rank order; the others get an empty list.
    fn gather(&self, bytes: &[u8], limit: Duration) -> Result<Vec<Vec<u8>>, CommError>;

    /// Adds `values` of every rank element by element; the sum is left on rank 0, the values of the
    /// others are unspecified.
    fn reduce_sum(&self, values: &mut [u64], limit: Duration) -> Result<(), CommError>;

    /// Returns when every rank has come.
    fn barrier(&self, limit: Duration) -> Result<(), CommError>;

    /// Sends a small control message and does not wait.
    fn post(&self, to: usize, bytes: &[u8]) -> Result<(), CommError>;

    /// The next control message that has arrived, with its sender.
    fn poll(&self) -> Result<Option<(usize, Vec<u8>)>, CommError>;
}

/// Why ranks cannot talk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommError {
    /// Some rank did not come to a collective in time.
    #[error("not every rank reached `{step}` within {} s: a rank died or hangs", limit.as_secs())]
    Absent {
        /// The collective.
        step: &'static str,
        /// How long the others waited.
        limit: Duration,
    },
    /// There is more than MPI can count.
    #[error(
        "`{step}` over all ranks needs {bytes} bytes, and MPI takes {max}: start fewer ranks, or make the run shorter"
    )]
    TooLong {
        /// The collective or the message.
        step: &'static str,
        /// What it needs.
        bytes: u64,
        /// What is possible.
        max: u64,
    },
}

impl CommError {
    /// Refuses more than `max` bytes.
    pub fn refuse_over(step: &'static str, bytes: u64, max: u64) -> Result<(), Self> {
        if bytes > max { Err(Self::TooLong { step, bytes, max }) } else { Ok(()) }
    }
}

/// Whether every rank succeeded in a step: all ranks learn all failures, as (rank, sentence), and
/// none returns before the others know.
pub fn agree(
    comm: &impl Comm,
    mine: Result<(), String>,
    limit: Duration,
) -> Result<Result<(), Vec<(usize, String)>>, CommError> {
    let encoded = bincode::encode_to_vec(mine.err(), bincode::config::standard()).expect("text encodes");
    let gathered = comm.gather(&encoded, limit)?;
    let failures: Vec<(usize, String)> = gathered
        .iter()
        .enumerate()
        .filter_map(|(rank, bytes)| decode::<Option<String>>(bytes).map(|sentence| (rank, sentence)))
        .collect();
    let bytes = bincode::encode_to_vec(&failures, bincode::config::standard()).expect("text encodes");
    let failures: Vec<(usize, String)> = decode(&comm.broadcast(bytes, limit)?);
    Ok(if failures.is_empty() { Ok(()) } else { Err(failures) })
}

fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> T {
    bincode::decode_from_slice(bytes, bincode::config::standard()).expect("ranks run the same binary").0
}
