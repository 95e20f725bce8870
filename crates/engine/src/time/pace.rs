//! Waits for a message's due time, with a finer resolution than the runtime's timers of a millisecond.

use crate::time::clock::Clock;
use nix::{
    sys::{
        time::TimeSpec,
        timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
    },
    unistd::read,
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};
use tokio::io::{Interest, unix::AsyncFd};

/// A kernel timer wakes a thread about this late: a spinning thread wakes this much earlier.
const SPIN_NS: u64 = 60_000;
/// Timers and the common clock may drift apart: a long wait is checked again after this long.
const LEG_NS: u64 = 10_000_000_000;

/// A kernel timer that is awaited like a socket: its thread sleeps, or serves others meanwhile.
#[derive(Debug)]
pub struct Pace {
    timer: AsyncFd<Timer>,
    /// The time for which it is set while it has not fired: a repeated wait for the same time need not set it again.
    set_ns: Option<u64>,
    spin: bool,
    /// For how long it has spun so far.
    pub spun_ns: u64,
}

/// The wrapper that the runtime needs to await a timer.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl Pace {
    /// A timer on the calling runtime; with `spin` it wakes early and spins for the rest.
    pub fn new(spin: bool) -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        let timer = Timer(TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?);
        // Its successor is unsafe because a descriptor may be closed or replaced meanwhile: this one belongs to the
        // timer.
        #[expect(deprecated)]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { timer, set_ns: None, spin, spun_ns: 0 })
    }

    /// Waits until `at_ns` in common time; never returns before it. Cancel safe.
    pub async fn until(&mut self, clock: Clock, at_ns: u64) -> io::Result<()> {
        loop {
            let left_ns = at_ns.saturating_sub(clock.now_ns());
            let early_ns = if self.spin { SPIN_NS } else { 0 };
            if left_ns <= early_ns {
                while clock.now_ns() < at_ns {
                    std::hint::spin_loop();
                }
                self.spun_ns += left_ns;
                return Ok(());
            }
            if self.set_ns != Some(at_ns) {
                let wait = TimeSpec::from_duration(Duration::from_nanos((left_ns - early_ns).min(LEG_NS)));
                self.timer.get_ref().0.set(Expiration::OneShot(wait), TimerSetTimeFlags::empty())?;
                self.set_ns = Some(at_ns);
            }
            let mut ready = self.timer.readable().await?;
            // A timer that was set again has nothing to read, and is awaited again; a timer that has fired has nothing
            // more.
            if ready.try_io(|timer| Ok(read(timer.get_ref(), &mut [0; 8])?)).is_ok() {
                ready.clear_ready();
                self.set_ns = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_is_never_short_and_seldom_a_millisecond_long() {
        let clock = Clock::default();
        for spin in [false, true] {
            let mut pace = Pace::new(spin).unwrap();
            let mut late_ns = Vec::new();
            for _ in 0..50 {
                let at_ns = clock.now_ns() + 300_000;
                pace.until(clock, at_ns).await.unwrap();
                late_ns.push(clock.now_ns().checked_sub(at_ns).expect("never before its time"));
            }
            late_ns.sort_unstable();
            assert!(late_ns[10] < 500_000, "spin {spin}: {late_ns:?}");
        }
    }

    #[tokio::test]
    async fn a_wait_that_was_given_up_does_not_shorten_the_next() {
        let clock = Clock::default();
        let mut pace = Pace::new(false).unwrap();
        for _ in 0..20 {
            let soon_ns = clock.now_ns() + 200_000;
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(2)) => {}
                _ = async { pace.until(clock, soon_ns + 60_000_000_000).await } => panic!("a minute has not passed"),
            }
            let at_ns = clock.now_ns() + 1_000_000;
            pace.until(clock, at_ns).await.unwrap();
            assert!(clock.now_ns() >= at_ns);
        }
    }

    #[tokio::test]
    async fn who_waits_again_for_the_same_instant_is_woken_at_it() {
        let clock = Clock::default();
        let mut pace = Pace::new(false).unwrap();
        for _ in 0..20 {
            let at_ns = clock.now_ns() + 3_000_000;
            for _ in 0..2 {
                tokio::select! {
                    biased;
                    () = tokio::task::yield_now() => {}
                    _ = pace.until(clock, at_ns) => {}
                }
                assert!(pace.set_ns == Some(at_ns) || clock.now_ns() >= at_ns, "it stays set");
            }
            tokio::time::timeout(Duration::from_secs(5), pace.until(clock, at_ns)).await.unwrap().unwrap();
            assert!(clock.now_ns() >= at_ns);
        }
    }
}
