//! One run: phases, worker loops, control and the ports they need. Knows no AMQP, no MPI, no route.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
pub mod awake;
mod begun;
mod busy;
mod ceiling;
pub mod clock;
pub mod clocks;
pub mod collect;
pub mod consume;
pub mod control;
mod delay;
pub mod double;
pub mod envelope;
mod fetch;
mod inspections;
mod left;
mod observer;
pub mod one_way;
mod pace;
pub mod ports;
pub mod produce;
pub mod progress;
mod result;
mod run;
pub mod schedule;
mod strain;
mod stream;
mod suspension;
mod usage;
pub mod warmup;
pub mod wind_down;
mod window;
mod workers;

pub use busy::Busy;
pub use ceiling::OwnCost;
pub use inspections::{Arrival, Exhibit};
pub use left::left_by_killed;
pub use observer::{Observer, Snapshot};
pub use result::{RankReport, RunResult};
pub use run::{AllowedCores, Place, RunError, run};
pub use usage::Usage;
pub use workers::WORKERS_THREAD;
