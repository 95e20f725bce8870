//! A fault that a run has caused on purpose, and what it cost.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One fault of the plan. Times are in seconds since the common start of streaming.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// As it was written, such as `at 10s: restart node 2`.
    pub fault: String,
    /// When it was due.
    pub due_s: f64,
    /// When it began; absent if the run had ended before, or if it could not begin.
    #[serde(default)]
    pub begun_s: Option<f64>,
    /// When it was complete: the process is gone, the part that was started again serves, the leader is elsewhere.
    #[serde(default)]
    pub complete_s: Option<f64>,
    /// When it was undone completely: the part serves again; absent where there is nothing to undo.
    #[serde(default)]
    pub undone_s: Option<f64>,
    /// Why it was not carried out, or not undone; absent if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// What it cost; absent where that is not known.
    #[serde(default)]
    pub cost: Option<FaultCost>,
    /// Why the cost is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_cost: Option<String>,
}

/// What a fault cost, from its beginning until the next one began or producers stopped. Times in seconds since it began.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultCost {
    /// Consumers in all.
    pub consumers: u32,
    /// Consumers that got nothing for longer than the schedule explains.
    pub stalled: u32,
    /// Those of them that got something again.
    pub recovered: u32,
    /// When the first of them stopped getting anything, or when the first worker lost its connection; absent if none did.
    pub noticed_s: Option<f64>,
    /// When they got their first delivery after it: the median; absent if none did.
    pub first_delivery_median_s: Option<f64>,
    /// The last of them; absent if one of them never did.
    pub first_delivery_last_s: Option<f64>,
    /// The longest time for which one of them got nothing.
    pub longest_stall_s: Option<f64>,
    /// Deliveries that were missing against the schedule at the worst moment.
    pub missed: u64,
    /// The 99th percentile of latency from the due time, in the 5 s before the first fault; absent with too few messages.
    pub p99_before_ns: Option<u64>,
    /// When the 99th percentile of a second was within 10 % of that again; absent if it never was, or is not known.
    pub p99_back_s: Option<f64>,
    /// Messages that the run lost; absent if it had several faults, since nothing tells by which of them a message that was in the
    /// service was lost.
    pub lost: Option<u64>,
    /// Messages of the run that came twice; absent likewise.
    pub duplicated: Option<u64>,
    /// Messages of the run whose fate is not known; absent likewise.
    pub undetermined: Option<u64>,
}
