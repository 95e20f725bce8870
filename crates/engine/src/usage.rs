//! What this process has used so far: CPU, memory, context switches.

use nix::sys::resource::{UsageWho, getrusage};
use serde::{Deserialize, Serialize};

/// A reading, or the difference of two.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time of all threads, in seconds.
    pub cpu_s: f64,
    /// Largest resident set so far, in bytes.
    pub max_rss_bytes: u64,
    /// Context switches, voluntary and not.
    pub context_switches: u64,
}

impl Usage {
    /// Reads it.
    pub fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage of the process itself cannot fail");
        let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
        Self {
            cpu_s: seconds(usage.user_time()) + seconds(usage.system_time()),
            max_rss_bytes: usage.max_rss() as u64 * 1024,
            context_switches: (usage.voluntary_context_switches() + usage.involuntary_context_switches()) as u64,
        }
    }

    /// What was used since `start`; memory is a maximum and stays what it is.
    pub fn since(&self, start: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s - start.cpu_s,
            max_rss_bytes: self.max_rss_bytes,
            // A run that is stopped before it streams may be read at its end before it is at its start.
            context_switches: self.context_switches.saturating_sub(start.context_switches),
        }
    }
}
