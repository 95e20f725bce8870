//! What one host has started of a testbed over several, as it travels to the host that joins them.

use crate::state::{Part, State};
use serde::{Deserialize, Serialize};

/// Parts that every host has.
pub const OF_EACH_HOST: [&str; 2] = ["supervisor", "reaper"];

/// The parts of one host, and the tunnels that were requested from it. Contains no secret. As JSON: the state leaves out
/// what is empty, which binary formats cannot read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report(String);

impl Report {
    /// Of the state of this host's supervisor, with what only this host can tell.
    pub(crate) fn of(state: &State) -> Self {
        let mut state = state.clone();
        for tunnel in &mut state.tunnels {
            tunnel.agreed = tunnel.agreed();
        }
        Self(serde_json::to_string(&state).expect("a state has no maps with odd keys"))
    }

    /// Adds it to the state of another host.
    pub(crate) fn add_to(self, state: &mut State, host: &str) {
        let other: State = serde_json::from_str(&self.0).expect("all hosts run the same build");
        let parts = other.parts.into_iter().filter(|part| !OF_EACH_HOST.contains(&part.name.as_str()));
        state.parts.extend(parts.map(|part| Part { host: Some(host.to_owned()), ..part }));
        state.tunnels.extend(other.tunnels);
    }
}
