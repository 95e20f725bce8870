//! The cost of the harness itself, rank by rank and in sum.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The cost of the harness, so that a number about the system is not one about the harness.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Harness {
    /// The rate that the same loops reach with a transport that does nothing, if it was measured.
    #[serde(default)]
    pub ceiling_messages_per_second: Option<f64>,
    /// Processor time of a producer's loop over a transport that does nothing, per message.
    #[serde(default)]
    pub own_producer_us_per_message: Option<f64>,
    /// Processor time of a consumer's loop over a transport that does nothing, per message, with the
    /// checks of the plan.
    #[serde(default)]
    pub own_consumer_us_per_message: Option<f64>,
    /// Processor time of all ranks over messages sent and received.
    #[serde(default)]
    pub cpu_us_per_message: Option<f64>,
    /// Processor time of the inspection of one body by the library of its format; absent if none was inspected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspection_us: Option<f64>,
    /// 99 % of the sends were late by at most this; absent where there was no schedule.
    #[serde(default)]
    pub schedule_lag_p99_ns: Option<u64>,
    /// How senders kept their schedule: `kept`, `saturated`, `generator-limited`, `cut short` by a fault or by lost connections
    /// that kept them from it, or `too few messages` to judge. Absent without a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// Whether senders were seen not to keep their schedule for reasons of their own. Then the run is not a
    /// result about the system.
    pub generator_limited: bool,
    /// Messages that were overdue when they were sent, because of an earlier stall.
    #[serde(default)]
    pub catchup_messages: u64,
    /// The most of them that a sender sent one after the other.
    #[serde(default)]
    pub catchup_run_max: u64,
    /// Time that senders waited for a confirm, a credit or the socket with a message to send, summed over senders.
    #[serde(default)]
    pub backpressure_ns: u64,
    /// Time in which senders had a message that was overdue, whatever the reason, summed over senders.
    #[serde(default)]
    pub late_ns: u64,
    /// Whether the service held senders back behind their schedule: the offered load exceeds its capacity.
    #[serde(default)]
    pub saturated: bool,
    /// Messages that were due inside the measured window, sent or not; 0 where there was no schedule.
    #[serde(default)]
    pub due_messages: u64,
    /// Of these, sent before the window ended.
    #[serde(default)]
    pub in_time_messages: u64,
    /// Messages that were due before their sender stopped, and were never sent.
    #[serde(default)]
    pub unsent_messages: u64,
    /// Time in which senders had a message to send whose body had not been read from its file, summed over senders; absent where
    /// no files were read while they were sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading_ns: Option<u64>,
    /// Whether that was more than one part in a hundred of their time: the rate is that of reading files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reading_limited: bool,
    /// What it cost to write arrived messages; absent where none was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<SinkCost>,
    /// Whether clients were short of CPU: a thread ran for over 80 % of the window, or the rate is near the ceiling. Then
    /// the run is no claim about the service.
    #[serde(default)]
    pub client_cpu_high: bool,
    /// Whether more ranks worked on a host than may use its cores.
    #[serde(default)]
    pub oversubscribed: bool,
    /// How ranks with workers differ, by the name of their field.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub over_ranks: BTreeMap<String, Spread>,
    /// Connections that were lost and made again.
    #[serde(default)]
    pub reconnects: u64,
    /// The largest resident memory of any rank.
    #[serde(default)]
    pub max_rss_bytes: Option<u64>,
}

/// What it cost to write arrived messages. Such a run is no measurement.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SinkCost {
    /// Where they are.
    pub dir: String,
    /// How many were written.
    pub messages: u64,
    /// Time that consumers spent on it, or waited for it, summed over consumers.
    pub seconds: f64,
}

/// How a figure differs over ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one, or the mean of the middle two.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// That of some values; none where there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let median = (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.0;
        Some(Self { min, median, max })
    }
}

/// The counts of one rank.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RankSummary {
    /// Its rank.
    pub rank: u32,
    /// Where it ran.
    pub host: String,
    /// Its process.
    pub pid: u32,
    /// `producer`, `consumer`, `producer+consumer` or `idle`.
    pub role: String,
    /// The producers placed on it.
    #[serde(default)]
    pub producers: Vec<u32>,
    /// The consumers placed on it.
    #[serde(default)]
    pub consumers: Vec<u32>,
    /// Messages published for the first time.
    pub sent: u64,
    /// Messages accepted.
    pub confirmed: u64,
    /// Negative confirms.
    pub rejected: u64,
    /// Deliveries, duplicates included.
    pub received: u64,
    /// Body bytes sent and received.
    pub bytes: u64,
    /// Processor time over messages sent and received.
    #[serde(default)]
    pub cpu_us_per_message: Option<f64>,
    /// Processor time, user and system.
    pub cpu_s: f64,
    /// Of `cpu_s`: in the program itself.
    #[serde(default)]
    pub cpu_user_s: f64,
    /// Of `cpu_s`: in the kernel on its behalf.
    #[serde(default)]
    pub cpu_system_s: f64,
    /// Times that a thread gave its core up to wait for something.
    #[serde(default)]
    pub voluntary_switches: u64,
    /// Times that a thread was made to give its core up.
    #[serde(default)]
    pub involuntary_switches: u64,
    /// Cores that it may use at once, by its binding and its control group; absent where that is not known.
    #[serde(default)]
    pub cores: Option<u32>,
    /// The thread that ran the most inside the window.
    #[serde(default)]
    pub busiest_thread: Option<String>,
    /// For which part of the window it ran, spinning apart: of one core.
    #[serde(default)]
    pub busiest_thread_of_core: Option<f64>,
    /// Time inside the window for which threads were ready to run and had no core, summed over threads.
    #[serde(default)]
    pub cpu_wait_s: Option<f64>,
    /// Half of its sends were late by at most this; absent where there was no schedule.
    #[serde(default)]
    pub schedule_lag_p50_ns: Option<u64>,
    /// 99 % of its sends were late by at most this.
    #[serde(default)]
    pub schedule_lag_p99_ns: Option<u64>,
    /// The latest of its sends.
    #[serde(default)]
    pub schedule_lag_max_ns: Option<u64>,
    /// Time from the start to the end of the stream.
    pub wall_s: f64,
    /// The largest resident memory.
    #[serde(default)]
    pub max_rss_bytes: Option<u64>,
    /// Why it failed, if it did.
    #[serde(default)]
    pub failure: Option<String>,
}
