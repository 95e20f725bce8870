//! The clock that a rank reads: its host's clock, corrected to rank 0's.

use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Parts of a second per second in which drift is counted.
const BILLION: i64 = 1_000_000_000;

/// Reads the common time on this rank: rank 0's monotonic clock, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    /// The offset to add to this host's clock at `since_ns` to get rank 0's.
    offset_ns: i64,
    /// Nanoseconds per second by which rank 0's clock gains on this host's.
    drift_ppb: i64,
    /// When the offset was right, on this host's clock.
    since_ns: u64,
}

/// Hosts whose clocks are to run at another rate, for tests: `host1=50` is 50 parts per million faster than the kernel's.
const RATES_VARIABLE: &str = "STREAMHARNESS_TEST_CLOCK_PPM";

impl Clock {
    /// The clock of this host: the kernel's, unless a test has set another rate.
    pub fn of_host(host: &str) -> Self {
        let rates = std::env::var(RATES_VARIABLE).unwrap_or_default();
        rate_of(host, &rates).map(|ppm| Self::at_rate(ppm, host_ns())).unwrap_or_default()
    }

    /// A clock that has run at another rate since the kernel's was zero, so that all ranks of a host read the same.
    fn at_rate(ppm: i64, now_ns: u64) -> Self {
        let drift_ppb = 1000 * ppm;
        let offset_ns = i128::from(now_ns) * i128::from(drift_ppb) / i128::from(BILLION);
        Self { offset_ns: offset_ns as i64, drift_ppb, since_ns: now_ns }
    }

    /// A clock that is off by `offset_ns`, for tests.
    pub fn shifted(offset_ns: i64) -> Self {
        Self { offset_ns, ..Self::default() }
    }

    /// A clock that is off by `offset_ns` now, and by `drift_ppb` nanoseconds more each second, for tests.
    pub fn drifting(offset_ns: i64, drift_ppb: i64) -> Self {
        Self { offset_ns, drift_ppb, since_ns: host_ns() }
    }

    /// This clock with a correction: `offset_ns` at its reading `since_ns`, and `drift_ppb` nanoseconds more each
    /// second.
    pub(crate) fn moved(self, offset_ns: i64, drift_ppb: i64, since_ns: u64) -> Self {
        let host_ns = host_ns();
        let read_ns = self.at(host_ns) as i64;
        let moved_ns = read_ns + offset_ns + (read_ns - since_ns as i64) * drift_ppb / BILLION;
        // The drifts of two consecutive corrections add up: their product is below a nanosecond.
        Self { offset_ns: moved_ns - host_ns as i64, drift_ppb: self.drift_ppb + drift_ppb, since_ns: host_ns }
    }

    /// The common time now, in nanoseconds.
    #[inline]
    pub fn now_ns(&self) -> u64 {
        self.at(host_ns())
    }

    /// The common time at which the host's clock reads `host_ns`.
    #[inline]
    pub(crate) fn at(&self, host_ns: u64) -> u64 {
        // An hour times a drift of a tenth of a percent still fits.
        let drifted_ns = (host_ns.wrapping_sub(self.since_ns) as i64) * self.drift_ppb / BILLION;
        host_ns.saturating_add_signed(self.offset_ns + drifted_ns)
    }
}

fn rate_of(host: &str, rates: &str) -> Option<i64> {
    rates.split(',').filter_map(|rate| rate.split_once('=')).find(|(name, _)| *name == host)?.1.parse().ok()
}

/// Sleeps until a common time.
pub(crate) async fn sleep_until(clock: Clock, at_ns: u64) {
    tokio::time::sleep(Duration::from_nanos(at_ns.saturating_sub(clock.now_ns()))).await;
}

/// This host's monotonic clock. Not slewed by NTP, so that one line holds for a whole run.
#[inline]
fn host_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC_RAW).expect("Linux has had CLOCK_MONOTONIC_RAW since 2.6.28");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Identifies a host's clock: the kernel's boot id, and the time namespace that may shift the clock.
pub fn boot_id() -> Vec<u8> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let namespace = std::fs::read_link("/proc/self/ns/time").unwrap_or_default();
    [boot, namespace.into_os_string().into_encoded_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_of_a_host_with_another_rate_read_the_same_whenever_they_started() {
        let ppm = rate_of("host1", "host0=-20,host1=50").unwrap();
        assert_eq!((ppm, rate_of("host2", "host0=-20,host1=50")), (50, None));
        let day_ns = 86_400 * BILLION as u64;
        let (early, late) = (Clock::at_rate(ppm, 100 * day_ns), Clock::at_rate(ppm, 101 * day_ns));
        let read_ns = 102 * day_ns;
        assert!(early.at(read_ns).abs_diff(late.at(read_ns)) <= 1);
        assert_eq!(late.at(read_ns) - read_ns, read_ns / 1_000_000 * 50);
    }
}
