//! What another tenant of the service achieved beside the run.

use super::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One tenant: a launch of its own, from before the start of the run until the end of its stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Neighbour {
    /// Its run.
    pub run_id: String,
    /// The cluster that was provisioned for it; absent where it has only queues of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Messages that it sent.
    pub sent: u64,
    /// Messages that were delivered to it. What was on its way at its end is missing.
    pub delivered: u64,
    /// Messages that were delivered again, in another order than sent, or damaged.
    pub wrong: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Seconds for which it streamed.
    pub stream_s: f64,
    /// How it ended.
    pub ended: String,
}

impl Neighbour {
    /// By its own record.
    pub fn of(record: &Record) -> Self {
        let integrity = &record.integrity;
        Self {
            run_id: record.run_id.clone(),
            cluster: record.route.provisioned.as_ref().map(|provisioned| provisioned.cluster.clone()),
            sent: record.totals.sent.messages,
            delivered: record.totals.received.messages,
            wrong: integrity.duplicated + integrity.reordered + integrity.corrupt,
            bytes: record.totals.received.bytes,
            stream_s: record.phases.get("stream").copied().unwrap_or_default(),
            ended: record.status.reason.clone(),
        }
    }
}
