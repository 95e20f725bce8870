//! A plan for tests.

use profile::{Layer, Origin, Plan, combine};

/// The plan of a profile with these settings, as run 7 of so many ranks.
pub fn plan(text: &str, ranks: usize) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).expect("the settings of a test are valid");
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("and go together");
    Plan::resolve(&profile, ranks, 7).expect("and are complete")
}
