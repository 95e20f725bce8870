//! The report of each rank to rank 0 at the end of a run.

use crate::{
    ports::{ConnectionFacts, Counts, Fault},
    run::place::AllowedCores,
    worker::ceiling::OwnCost,
};
use measure::{
    ConsumerSpan, Extremes, Metric, Timeline,
    record::{LostConnection, Machine, RankSummary},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The report of one rank at the end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RankReport {
    /// Its entry in the record.
    pub summary: RankSummary,
    /// Its host.
    pub machine: Machine,
    /// The cores of its host that it may use.
    pub allowed: AllowedCores,
    /// The cost of its loops by themselves.
    pub own_cost: OwnCost,
    /// How much of the window there was while its threads were watched, where the kernel reports on them.
    pub window_s: Option<f64>,
    /// The parameters that its producers' connections negotiated.
    pub producer_facts: Vec<ConnectionFacts>,
    /// The parameters that its consumers' connections negotiated.
    pub consumer_facts: Vec<ConnectionFacts>,
    /// Counts of its transport, summed over its workers.
    pub transport: Counts,
    /// Its failures.
    pub fault: Option<Fault>,
    /// Its workers' connections that were lost, if they came back.
    pub lost: Vec<LostConnection>,
    /// Replies that its consumers sent again because their connection was lost.
    pub resent: u64,
    /// Whether a connection for replies was lost: what was written to it is of unknown fate.
    pub replies_unsure: bool,
    /// The most messages that one of its producers sent one after the other to catch up.
    pub catchup_run_max: u64,
    /// When its producers sent their first message, in common time.
    pub first_sent_ns: Option<u64>,
    /// When they sent their last one.
    pub last_sent_ns: Option<u64>,
    /// When the last delivery or reply came to it.
    pub last_arrival_ns: Option<u64>,
    /// Whether it received the measured window after its start.
    pub late_window: bool,
    /// For how long it was suspended while it streamed.
    pub suspended: Duration,
    /// Exact extremes of its latencies, which a sum of counters cannot carry.
    pub extremes: [Extremes; Metric::COUNT],
    /// When its consumers were busy.
    pub spans: Vec<ConsumerSpan>,
    /// The deliveries to its consumers over time, if the run causes faults.
    pub timelines: Vec<Timeline>,
    /// Its producers' side of the ledger, encoded.
    pub sent: Vec<(u32, Vec<u8>)>,
    /// Bytes of its consumers' side of the ledger, which comes when rank 0 calls for it.
    pub ledger_bytes: u64,
    /// Sizes of the smallest and the largest message of external producers.
    pub external_bytes: Option<(u64, u64)>,
    /// When the first body arrived that was not what was sent, in common time.
    pub first_corrupt_ns: Option<u64>,
    /// The replies to its producers, each by consumer where they are gathered, encoded.
    pub replies: Vec<Vec<Vec<u8>>>,
}

impl RankReport {
    /// Whether it has workers.
    pub fn works(&self) -> bool {
        !self.summary.producers.is_empty() || !self.summary.consumers.is_empty()
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
