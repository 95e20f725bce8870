//! One run: phases, worker loops, control and the ports they need. Knows no AMQP, no MPI, no route.

mod answer;
mod begun;
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
mod observer;
pub mod one_way;
mod pace;
pub mod ports;
pub mod produce;
pub mod progress;
mod result;
mod run;
pub mod schedule;
mod stream;
mod usage;
pub mod warmup;
pub mod window;
mod workers;

pub use ceiling::OwnCost;
pub use inspections::{Arrival, Exhibit};
pub use observer::{Observer, Snapshot};
pub use result::{RankReport, RunResult};
pub use run::{Place, RunError, run};
pub use usage::Usage;
pub use workers::WORKERS_THREAD;
