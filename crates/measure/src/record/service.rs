//! The service's side of a run, as its management API reports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The service as its management API showed it while a run streamed. `series.csv` has it second by second.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceView {
    /// The URL of the API.
    pub management: String,
    /// The number of samples.
    pub samples: u64,
    /// Time between two samples.
    pub interval_s: f64,
    /// The most messages that waited in the run's queues.
    #[serde(default)]
    pub ready_max: Option<u64>,
    /// The most messages that were delivered and not yet acknowledged.
    #[serde(default)]
    pub unacknowledged_max: Option<u64>,
    /// The most memory of all nodes.
    #[serde(default)]
    pub memory_max_bytes: Option<u64>,
    /// The largest part of a node's memory limit that was used.
    #[serde(default)]
    pub memory_of_limit_max: Option<f64>,
    /// The most connections, including those of other programs.
    #[serde(default)]
    pub connections_max: Option<u64>,
    /// Alarms that were raised, each with the number of samples in which it was.
    #[serde(default)]
    pub alarms: BTreeMap<String, u64>,
    /// Values that could not be read, and why.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// The service's settings, as far as its management API reports them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceSettings {
    /// Such as `RabbitMQ`.
    #[serde(default)]
    pub product: Option<String>,
    /// Its version.
    #[serde(default)]
    pub version: Option<String>,
    /// The version of Erlang that it runs on.
    #[serde(default)]
    pub erlang: Option<String>,
    /// How much it counts by itself: `none`, `basic`, `detailed`.
    #[serde(default)]
    pub rates_mode: Option<String>,
    /// The nodes of the cluster; empty if their state may not be read.
    #[serde(default)]
    pub nodes: Vec<ServiceNode>,
}

/// One node of the service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceNode {
    /// Its name.
    pub name: String,
    /// Whether it ran when the run began.
    pub running: bool,
    /// Processors that it sees.
    #[serde(default)]
    pub processors: Option<u32>,
    /// Above this it blocks publishers.
    #[serde(default)]
    pub memory_limit_bytes: Option<u64>,
    /// With less free space on its disk it blocks publishers.
    #[serde(default)]
    pub disk_free_limit_bytes: Option<u64>,
    /// Plugins that were enabled by name.
    #[serde(default)]
    pub plugins: Vec<String>,
}
