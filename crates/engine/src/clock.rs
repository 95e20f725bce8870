//! One time for all ranks: rank 0's monotonic clock, in nanoseconds.

use crate::{
    control::Control,
    ports::{Comm, CommError},
};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Exchanges with a rank of another host; the one with the shortest round trip decides.
const EXCHANGES: usize = 100;

/// Reads the common time on this rank.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// What to add to this host's clock to get rank 0's.
    offset_ns: i64,
}

/// How well the clocks of all ranks agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockError {
    /// Bound on the difference between any rank's common time and rank 0's, in nanoseconds.
    pub bound_ns: u64,
}

impl Clock {
    /// A clock that is off by so much; tests shift clocks with it.
    pub fn shifted(offset_ns: i64) -> Self {
        Self { offset_ns }
    }

    /// Now.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        host_ns().saturating_add_signed(self.offset_ns)
    }
}

/// This host's monotonic clock. Not slewed by NTP, so that one offset holds for a whole run.
#[inline]
fn host_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("Linux has had CLOCK_MONOTONIC_RAW since 2.6.28");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Agrees on the common time. Ranks that share rank 0's boot (see `boot`) share its clock and need
/// no exchange; each other rank exchanges time stamps with rank 0, whose error is at most half the
/// shortest round trip (measuring.md section 3). `host` is this rank's own clock.
pub fn synchronise(
    comm: &impl Comm,
    host: Clock,
    boot: &[u8],
    limit: Duration,
) -> Result<(Clock, ClockError), CommError> {
    let boot_of_rank_0 = comm.broadcast(boot.to_vec(), limit)?;
    let foreign = boot != boot_of_rank_0;
    let asks = comm.gather(&[u8::from(foreign)], limit)?;
    let mut bound_ns = 0;
    let mut clock = host;
    if comm.rank() == 0 {
        for (rank, _) in asks.iter().enumerate().filter(|(_, ask)| ask[..] == [1]) {
            bound_ns = bound_ns.max(serve(comm, rank, host, limit)?);
        }
    } else if foreign {
        let offset_ns = ask(comm, host, limit)?;
        clock = Clock { offset_ns: host.offset_ns + offset_ns };
    }
    comm.barrier(limit)?;
    Ok((clock, ClockError { bound_ns }))
}

/// Rank 0's side: measures the offset of `rank` and tells it. Returns the error bound.
fn serve(comm: &impl Comm, rank: usize, host: Clock, limit: Duration) -> Result<u64, CommError> {
    let (mut best_round_trip, mut best_offset) = (u64::MAX, 0);
    for _ in 0..EXCHANGES {
        let sent = host.now_ns();
        comm.post(rank, &Control::Ping.encode())?;
        let Control::Pong(theirs) = next(comm, limit)? else { continue };
        let received = host.now_ns();
        if received - sent < best_round_trip {
            best_round_trip = received - sent;
            best_offset = (sent + (received - sent) / 2) as i64 - theirs as i64;
        }
    }
    comm.post(rank, &Control::Offset(best_offset).encode())?;
    Ok(best_round_trip / 2)
}

/// The other side: answers until it is told its offset.
fn ask(comm: &impl Comm, host: Clock, limit: Duration) -> Result<i64, CommError> {
    loop {
        match next(comm, limit)? {
            Control::Offset(offset_ns) => return Ok(offset_ns),
            _ => comm.post(0, &Control::Pong(host.now_ns()).encode())?,
        }
    }
}

/// The next control message. Spins rather than sleeps: a nap would be longer than the round trip.
fn next(comm: &impl Comm, limit: Duration) -> Result<Control, CommError> {
    let started = Instant::now();
    while started.elapsed() < limit {
        if let Some((_, bytes)) = comm.poll()? {
            return Ok(Control::decode(&bytes));
        }
        std::thread::yield_now();
    }
    Err(CommError::Absent { step: "clocks", limit })
}

/// What tells two clocks apart: the kernel's boot, and the time namespace that may shift it.
pub fn boot_id() -> Vec<u8> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    [boot, namespace.into_os_string().into_encoded_bytes()].concat()
}
