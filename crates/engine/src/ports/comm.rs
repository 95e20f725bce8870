//! Communication between the ranks of one launch.

use serde::{Serialize, de::DeserializeOwned};
use std::time::Duration;

/// The most bytes of one collective or message over all ranks: MPI counts with 32 bits and a sign.
pub const BYTES_MAX: u64 = i32::MAX as u64;

/// The most bytes of one control message.
pub const POST_BYTES_MAX: u64 = 128 << 10;

/// The ranks of one launch. Called from the main thread only.
///
/// All ranks enter every collective in the same order, and each collective has a limit: if a rank does not enter within
/// it, the others get [`CommError::Absent`] and must end the launch. Waiting ranks sleep, because laptops run more
/// ranks than they have cores. Empty buffers are valid; more than [`BYTES_MAX`] is refused on every rank.
pub trait Comm {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks.
    fn size(&self) -> usize;

    /// Gives every rank the bytes of rank 0.
    ///
    /// # Errors
    ///
    /// [`CommError::Absent`] if a rank does not enter within `limit`; [`CommError::TooLong`] over [`BYTES_MAX`].
    fn broadcast(&self, bytes: Vec<u8>, limit: Duration) -> Result<Vec<u8>, CommError>;

    /// Gives rank 0 the bytes of every rank, in rank order; the others get an empty list.
    ///
    /// # Errors
    ///
    /// As [`Self::broadcast`]; the size that counts is the sum over all ranks.
    fn gather(&self, bytes: &[u8], limit: Duration) -> Result<Vec<Vec<u8>>, CommError>;

    /// Adds `values` of every rank element by element; the sum is left on rank 0, the values of the
    /// others are unspecified.
    ///
    /// # Errors
    ///
    /// As [`Self::broadcast`].
    fn reduce_sum(&self, values: &mut [u64], limit: Duration) -> Result<(), CommError>;

    /// Returns when every rank has entered.
    ///
    /// # Errors
    ///
    /// [`CommError::Absent`] if a rank does not enter within `limit`.
    fn barrier(&self, limit: Duration) -> Result<(), CommError>;

    /// Sends a small control message and does not wait.
    ///
    /// # Errors
    ///
    /// [`CommError::TooLong`] over [`POST_BYTES_MAX`].
    fn post(&self, to: usize, bytes: &[u8]) -> Result<(), CommError>;

    /// The next control message that has arrived, with its sender.
    ///
    /// # Errors
    ///
    /// [`CommError`] if ranks cannot communicate.
    fn poll(&self) -> Result<Option<(usize, Vec<u8>)>, CommError>;
}

/// Why ranks cannot communicate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommError {
    /// A rank did not enter a collective in time.
    #[error("not every rank reached `{step}` within {} s: a rank died or hangs", limit.as_secs())]
    Absent {
        /// The collective.
        step: &'static str,
        /// How long the others waited.
        limit: Duration,
    },
    /// The data is larger than MPI can count.
    #[error(
        "`{step}` over all ranks needs {bytes} bytes, and MPI takes {max}: start fewer ranks, or make the run shorter"
    )]
    TooLong {
        /// The collective or the message.
        step: &'static str,
        /// Bytes needed.
        bytes: u64,
        /// Bytes possible.
        max: u64,
    },
}

impl CommError {
    /// Refuses more than `max` bytes.
    ///
    /// # Errors
    ///
    /// [`CommError::TooLong`] if `bytes` exceeds `max`.
    pub fn refuse_over(step: &'static str, bytes: u64, max: u64) -> Result<(), Self> {
        if bytes > max { Err(Self::TooLong { step, bytes, max }) } else { Ok(()) }
    }
}

/// Whether every rank succeeded in a step. All ranks learn all failures, as (rank, failure), and none returns before
/// the others know. The inner `Err` holds the failures.
///
/// # Errors
///
/// [`CommError`] if ranks cannot communicate within `limit`.
pub fn agree<E: Serialize + DeserializeOwned>(
    comm: &impl Comm,
    mine: Result<(), E>,
    limit: Duration,
) -> Result<Result<(), Vec<(usize, E)>>, CommError> {
    let encoded = encode(&mine.err());
    let gathered = comm.gather(&encoded, limit)?;
    let failures: Vec<(usize, E)> = gathered
        .iter()
        .enumerate()
        .filter_map(|(rank, bytes)| decode::<Option<E>>(bytes).map(|failure| (rank, failure)))
        .collect();
    let failures: Vec<(usize, E)> = decode(&comm.broadcast(encode(&failures), limit)?);
    Ok(if failures.is_empty() { Ok(()) } else { Err(failures) })
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain data encodes")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("ranks run the same binary").0
}
