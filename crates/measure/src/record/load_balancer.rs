//! A load balancer of EJFAT during a run, as its control plane reports it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The load balancer while a run streamed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadBalancer {
    /// Epochs that were seen.
    pub epochs: u64,
    /// Slots of a calendar.
    pub slots: u64,
    /// When each sample was taken, in seconds since the stream began.
    pub at_s: Vec<f64>,
    /// The consumers, by name.
    pub consumers: Vec<Shares>,
    /// Packets that it got and passed on, and one count for each reason of a drop; empty if the control plane does not report them.
    #[serde(default)]
    pub packets: BTreeMap<String, u64>,
    /// Values that could not be read, and why.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// How much of the stream one consumer is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shares {
    /// Its name with the control plane.
    pub name: String,
    /// Its slots in the newest calendar at each sample; 0 where it had none.
    pub slots: Vec<u64>,
}

impl LoadBalancer {
    /// The mean share of each consumer over all samples.
    pub fn mean_shares(&self) -> impl Iterator<Item = (&str, f64)> {
        let most = self.slots as f64 * self.at_s.len() as f64;
        self.consumers.iter().filter(move |_| most > 0.0).map(move |consumer| {
            let slots: u64 = consumer.slots.iter().sum();
            (consumer.name.as_str(), slots as f64 / most)
        })
    }

    /// Packets that it dropped, each reason that there was.
    pub fn drops(&self) -> impl Iterator<Item = (&str, u64)> {
        let drops =
            self.packets.iter().filter(|(name, count)| !["received", "passed"].contains(&name.as_str()) && **count > 0);
        drops.map(|(name, count)| (name.as_str(), *count))
    }
}
