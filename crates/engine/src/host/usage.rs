//! CPU time, memory and context switches of this process so far, and CPU time of a thread.

use nix::{
    sys::resource::{UsageWho, getrusage},
    time::{ClockId, clock_gettime},
};
use std::fs;

/// A reading, or the difference of two.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// CPU time of all threads in user mode, in seconds.
    pub user_s: f64,
    /// CPU time of all threads in kernel mode, in seconds.
    pub system_s: f64,
    /// Largest resident set so far, in bytes.
    pub max_rss_bytes: u64,
    /// Number of times that a thread gave its core up to wait for something.
    pub voluntary_switches: u64,
    /// Number of times that a thread's core was taken away.
    pub involuntary_switches: u64,
}

impl Usage {
    /// Reads it.
    pub fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage of the process itself cannot fail");
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self {
            user_s: seconds(usage.user_time()),
            system_s: seconds(usage.system_time()),
            max_rss_bytes: usage.max_rss() as u64 * 1024,
            voluntary_switches: usage.voluntary_context_switches() as u64,
            involuntary_switches: usage.involuntary_context_switches() as u64,
        }
    }

    /// CPU time in all, in seconds.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// The usage since `start`; `max_rss_bytes` is a maximum and is not subtracted.
    pub fn since(&self, start: &Self) -> Self {
        Self {
            user_s: self.user_s - start.user_s,
            system_s: self.system_s - start.system_s,
            max_rss_bytes: self.max_rss_bytes,
            // If a run is stopped before it streams, the reading at its end may be older than the one at its start.
            voluntary_switches: self.voluntary_switches.saturating_sub(start.voluntary_switches),
            involuntary_switches: self.involuntary_switches.saturating_sub(start.involuntary_switches),
        }
    }
}

/// The resident set of this process now; 0 where the kernel does not tell.
pub(crate) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}

/// CPU time of the calling thread so far, in nanoseconds.
pub(crate) fn thread_cpu_ns() -> u64 {
    let used = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("Linux has had it since 2.6.12");
    used.tv_sec() as u64 * 1_000_000_000 + used.tv_nsec() as u64
}
