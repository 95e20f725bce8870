//! What each rank reports to rank 0 at the end of a run.

use crate::{
    host::{busy::Busy, usage::Usage},
    ports::{ConnectionFacts, Fault},
    run::{place::AllowedCores, workers_thread::WORKERS_THREAD},
    worker::ceiling::OwnCost,
};
use measure::{ConsumerSpan, Counters, Extremes, LatencySummary, Metric, record::Machine};
use serde::{Deserialize, Serialize};

/// What one rank reports at the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RankReport {
    /// This rank.
    pub rank: usize,
    /// Its host.
    pub host: String,
    /// Cores of its host.
    pub cores: u32,
    /// Those that it may use.
    pub allowed: AllowedCores,
    /// Its host, for the record.
    pub machine: Machine,
    /// What its loops cost by themselves.
    pub own_cost: OwnCost,
    /// Its process.
    pub pid: u32,
    /// Its role, in a word.
    pub role: String,
    /// Its producers.
    pub producers: Vec<u32>,
    /// Its consumers.
    pub consumers: Vec<u32>,
    /// Its counts.
    pub counters: Counters,
    /// What it used while streaming.
    pub usage: Usage,
    /// How busy its threads were inside the window, where the kernel reports it.
    pub busy: Option<Busy>,
    /// How late its senders were, where they had a schedule.
    pub schedule_lag: Option<LatencySummary>,
    /// How long it streamed, in seconds.
    pub stream_s: f64,
    /// What its producers' connections agreed on.
    pub producer_facts: Vec<ConnectionFacts>,
    /// What its consumers' connections agreed on.
    pub consumer_facts: Vec<ConnectionFacts>,
    /// What broke.
    pub fault: Option<Fault>,
    /// The most messages that one of its producers sent one after the other to catch up.
    pub catchup_run_max: u64,
    /// When its producers sent their first message, in common time.
    pub first_sent_ns: Option<u64>,
    /// When they sent their last one.
    pub last_sent_ns: Option<u64>,
    /// When the last delivery or reply came to it.
    pub last_arrival_ns: Option<u64>,
    /// Whether it learned of the measured window after that had begun.
    pub late_window: bool,
    /// Exact extremes of its latencies, which a sum of counters cannot carry.
    pub extremes: [Extremes; Metric::COUNT],
    /// When its consumers were busy.
    pub spans: Vec<ConsumerSpan>,
    /// Its producers' side of the ledger, encoded.
    pub sent: Vec<(u32, Vec<u8>)>,
    /// Bytes of its consumers' side of the ledger, which comes when rank 0 calls for it.
    pub ledger_bytes: u64,
    /// When the first body arrived that was not what was sent, in common time.
    pub first_corrupt_ns: Option<u64>,
    /// The replies to its producers, each by consumer where they are gathered, encoded.
    pub replies: Vec<Vec<Vec<u8>>>,
}

impl RankReport {
    /// The part of the window for which its busiest thread ran for something: a spin until a message is due is for nothing.
    pub fn of_core(&self) -> Option<f64> {
        let busy = self.busy.as_ref()?;
        let spins = busy.thread == WORKERS_THREAD && self.stream_s > 0.0;
        let spun = if spins { self.counters.spun_ns as f64 / (self.stream_s * 1e9) } else { 0.0 };
        Some((busy.of_core - spun).max(0.0))
    }

    /// The extremes of all ranks.
    pub(crate) fn merge_extremes(ranks: &[Self]) -> [Extremes; Metric::COUNT] {
        let mut merged = [Extremes::default(); Metric::COUNT];
        for rank in ranks {
            merged.iter_mut().zip(&rank.extremes).for_each(|(merged, one)| merged.merge(one));
        }
        merged
    }
}
