//! Predicts what a [`profile::Plan`] measures over a testbed that is described as data.
//!
//! Pure: no I/O and no clock. A prediction is a discrete-event simulation, exact to the nanosecond and the same for the same
//! plan, testbed and seed.

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod agenda;
mod calibrate;
mod cargo;
mod described;
mod draws;
mod error;
mod hosts;
#[cfg(test)]
mod laws;
mod network;
mod outcome;
mod record;
mod rules;
mod scaled;
mod shipped;
mod simulation;
mod tally;
mod testbed;
mod world;

pub use calibrate::{Fit, Sample, calibrate};
pub use described::{Hypothesis, assumption_sets, hypotheses};
pub use error::ModelError;
pub use outcome::{Outcome, Use};
pub use record::{Assumed, record};
pub use simulation::simulate;
pub use testbed::Testbed;
