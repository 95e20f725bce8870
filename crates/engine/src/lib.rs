//! One run: phases, worker loops, control and the ports they need. Knows no AMQP, no MPI, no route.
//!
//! Every rank calls [`run()`] with its [`Comm`](ports::Comm), [`Transport`](ports::Transport) and
//! [`Payloads`](ports::Payloads); rank 0 gets the result. With the doubles of this crate:
//!
//! ```no_run
//! use engine::double::{MemoryBroker, PlainPayloads, ThreadComm};
//! # use engine::{AllowedCores, Observer, Place, clock::Clock};
//! # struct Quiet;
//! # impl Observer for Quiet {}
//! # fn place() -> Place {
//! #     let (allowed, machine) = (AllowedCores::default(), measure::record::Machine::default());
//! #     Place { boot: Vec::new(), allowed, machine, clock: Clock::default() }
//! # }
//! use profile::{Layer, Origin, Plan, combine};
//!
//! let layer = Layer::parse(Origin::CommandLine, "messages = 1000\nproducers = 1\nconsumers = 1").unwrap();
//! let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
//! let plan = Plan::resolve(&profile, 1, 7).unwrap(); // one rank, run 7
//!
//! let comm = ThreadComm::world(1).remove(0);
//! let payloads = PlainPayloads { bytes: 100, spoilt_every: None };
//! let result = engine::run(&comm, &plan, MemoryBroker::default(), payloads, &place(), &mut Quiet).unwrap();
//! assert_eq!(result.expect("rank 0 has the result").integrity.lost, 0);
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod double;
pub mod envelope;
mod host;
pub mod ports;
pub mod record;
mod result;
mod run;
#[cfg(test)]
mod sample;
mod time;
mod worker;

pub use host::{busy::Busy, usage::Usage};
pub use result::{join::RunResult, report::RankReport};
pub use run::{
    control,
    error::RunError,
    observer::{Observer, Snapshot},
    phase::Phase,
    place::{AllowedCores, Place},
    run,
    workers_thread::WORKERS_THREAD,
};
pub use time::{awake, clock, clocks};
pub use worker::{
    ceiling::OwnCost,
    inspections::{Arrival, CorruptSample},
};
