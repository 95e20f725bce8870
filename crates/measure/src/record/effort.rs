//! What it took to set a route up between two sites.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The effort behind a route, as the testbed has set it up, and who has to act for it, as stated elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effort {
    /// Ports that rules of the firewall open to the producers' site for it.
    pub ports: usize,
    /// Those rules.
    pub rules: usize,
    /// Certificates of the processes that clients or other parts verify, each by its owner.
    pub certificates: Vec<String>,
    /// Secrets that have to be handed over.
    pub secrets: Vec<String>,
    /// Processes at the producers' site, without the producers.
    pub processes_of_producers: usize,
    /// Processes at the service's site, without the consumers.
    pub processes_of_service: usize,
    /// Seconds until the service and the route were up.
    pub set_up_s: f64,
    /// Who has to act; not measured.
    pub parties: Vec<String>,
    /// What has to be done; not measured.
    pub steps: Vec<String>,
    /// Where parties and steps are from.
    pub stated_in: String,
}
