//! Plans as the command line would give them.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in their helpers")]

use profile::{Layer, Origin, Plan, combine};

/// Few enough to build in a debug build, and several turns in a short test.
pub const RING_BODIES: u32 = 16;

/// The shipped Dstream workload, or the one that `text` names, with `text` laid over it and a small ring.
pub fn plan(text: &str) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).unwrap();
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let mut plan = Plan::resolve(&profile, 1, 1).unwrap();
    plan.message.ring_bodies = RING_BODIES;
    plan
}
