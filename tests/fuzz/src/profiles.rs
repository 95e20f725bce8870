//! Any text as a profile or an experiment: a sentence with the error, or plans that every rank agrees on.

use profile::{Experiment, Layer, Origin, Plan, combine};
use std::io::{Error, ErrorKind, Result};

/// Points of an experiment that are made into plans.
const POINTS_MAX: usize = 4;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(layer) = Layer::parse(Origin::CommandLine, text) {
        resolve(&[layer]);
    }
    if let Ok(layer) = Layer::assignment(text) {
        resolve(&[layer]);
    }
    let own = |name: &str| if name == "own.toml" { Ok(text.to_owned()) } else { no_file(name) };
    if let Ok(experiment) = Experiment::read("own.toml", own) {
        for point in experiment.points(1).into_iter().take(POINTS_MAX) {
            resolve(&[point.base, point.cell]);
        }
    }
}

fn resolve(layers: &[Layer]) {
    let Ok(profile) = combine(layers, no_file) else { return };
    for ranks in [1, 3, 64] {
        if let Ok(plan) = Plan::resolve(&profile, ranks, 1) {
            let again = Plan::resolve(&profile, ranks, 1).expect("it was resolved just now");
            assert_eq!(again, plan, "every rank resolves the same plan");
            let json = serde_json::to_value(&plan).expect("a plan goes into the record");
            let read: Plan = serde_json::from_value(json).expect("a plan is read back from the record");
            assert_eq!(read, plan);
        }
    }
}

fn no_file(_: &str) -> Result<String> {
    Err(Error::from(ErrorKind::NotFound))
}
