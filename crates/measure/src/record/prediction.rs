//! What makes a record a prediction of the model instead of a measurement.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a record was predicted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// The described testbed.
    pub testbed: String,
    /// Factor of the rate of its links.
    pub scale: f64,
    /// The assumptions on top of it, each as `AXIS=VALUE`.
    #[serde(default)]
    pub hypotheses: Vec<String>,
    /// What limits the run, in one sentence.
    pub bottleneck: String,
    /// How busy the busiest parts are, in descending order.
    pub utilisation: Vec<Utilisation>,
    /// Events of the simulation.
    #[serde(default)]
    pub events: u64,
}

/// How busy a part is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Utilisation {
    /// The part: `dsn1 out`, `the thread of rank 0` and so on.
    pub part: String,
    /// The part of the time for which it works, from 0 to 1.
    pub share: f64,
}
