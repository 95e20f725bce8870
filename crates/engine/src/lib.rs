//! One run: phases, worker loops, control and the ports they need. Knows no AMQP, no MPI, no route.

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod double;
pub mod envelope;
mod host;
pub mod ports;
mod result;
mod run;
mod time;
mod worker;

pub use host::{busy::Busy, usage::Usage};
pub use result::{join::RunResult, left::left_by_killed, report::RankReport};
pub use run::{
    control,
    error::RunError,
    observer::{Observer, Snapshot},
    place::{AllowedCores, Place},
    run,
    workers_thread::WORKERS_THREAD,
};
pub use time::{awake, clock, clocks};
pub use worker::{
    ceiling::OwnCost,
    inspections::{Arrival, CorruptSample},
};
