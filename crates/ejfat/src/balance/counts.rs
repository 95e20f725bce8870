//! What a load balancer counted.

use crate::balance::tables::Dropped;
use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// Every packet that arrived is passed on or has one reason why it is not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BalancerCounts {
    /// Packets that arrived.
    pub received: u64,
    /// Packets that were passed on.
    pub passed: u64,
    /// Bytes of packets that were passed on, with all that the load balancer got of them.
    pub passed_bytes: u64,
    /// Packets that were not, by their reason in the order of [`Dropped::ALL`].
    pub dropped: [u64; Dropped::ALL.len()],
    /// Packets that did not arrive since the buffer of a socket was full; `None` if the kernel does not report them.
    pub kernel_drops: Option<u64>,
}

impl BalancerCounts {
    /// How many packets were dropped for this reason.
    pub fn of(&self, reason: Dropped) -> u64 {
        self.dropped[reason as usize]
    }

    /// Every packet by what became of it.
    pub fn packets(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let passed = [("received", self.received), ("passed", self.passed)];
        let dropped = Dropped::ALL.iter().zip(self.dropped).map(|(reason, count)| (reason.name(), count));
        passed.into_iter().chain(dropped).chain(self.kernel_drops.map(|drops| ("kernel_drops", drops)))
    }

    /// As one line of JSON.
    pub fn json(&self) -> String {
        let mut text = format!(
            "{{\"received\":{},\"passed\":{},\"passed_bytes\":{}",
            self.received, self.passed, self.passed_bytes
        );
        for (reason, count) in Dropped::ALL.iter().zip(self.dropped) {
            let _ = write!(text, ",\"{}\":{count}", reason.name());
        }
        let drops = self.kernel_drops.map_or_else(|| "null".to_owned(), |drops| drops.to_string());
        let _ = write!(text, ",\"kernel_drops\":{drops}}}");
        text
    }
}

/// The counts while threads count.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    passed: AtomicU64,
    passed_bytes: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

impl Counters {
    pub fn add(&self, counts: &BalancerCounts) {
        self.received.fetch_add(counts.received, Relaxed);
        self.passed.fetch_add(counts.passed, Relaxed);
        self.passed_bytes.fetch_add(counts.passed_bytes, Relaxed);
        for (total, count) in self.dropped.iter().zip(counts.dropped).filter(|(_, count)| *count > 0) {
            total.fetch_add(count, Relaxed);
        }
    }

    pub fn read(&self) -> BalancerCounts {
        BalancerCounts {
            received: self.received.load(Relaxed),
            passed: self.passed.load(Relaxed),
            passed_bytes: self.passed_bytes.load(Relaxed),
            dropped: self.dropped.each_ref().map(|count| count.load(Relaxed)),
            kernel_drops: None,
        }
    }
}
