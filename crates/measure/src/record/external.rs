//! The end of a stream that belongs to programs of others, and what the run can prove without it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A run of one end only.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct External {
    /// The end that is not the run's own: `producers` or `consumers`.
    pub side: String,
    /// What the numbers prove, in one sentence.
    pub proves: String,
    /// Messages that the run's queues no longer held when it ended: external consumers took them, and what became of them there is not
    /// known. Absent if the queue is not the run's own, or was not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken: Option<u64>,
    /// Confirmed messages over the time from the first publish to the last; absent without producers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_per_second: Option<f64>,
    /// Size of the smallest message of external producers; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_min: Option<u64>,
    /// Size of the largest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// Messages of external producers without the named timestamp, or with one that no clock shows; absent if none was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_timestamp: Option<u64>,
}
