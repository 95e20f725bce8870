//! How well and how fast clocks are compared over MPI: every rank stands for a host of its own.
//!
//!     cargo build --release -p comm-mpi --example clocks
//!     mpirun -n 64 --oversubscribe target/release/examples/clocks

use comm_mpi::{ALL_RANKS_MAX, MpiComm};
use engine::{clock::Clock, clocks::synchronise, ports::Comm};
use std::{error::Error, time::Duration, time::Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let comm = MpiComm::init(ALL_RANKS_MAX, true)?;
    let limit = Duration::from_secs(30);
    let started = Instant::now();
    let clocks = synchronise(&comm, Clock::default(), format!("host {}", comm.rank()).as_bytes(), limit)?;
    let synchronised_s = started.elapsed().as_secs_f64();
    let error = clocks.again(&comm, limit)?.error;
    if comm.rank() == 0 {
        println!("ranks {} seconds {synchronised_s:.3} bound_ns {}", comm.size(), error.bound_ns);
        // They do share a clock, so that all that was seen is error.
        println!("seen_off_ns {} drift_ppb {}", error.residual_ns, error.drift_ppb);
    }
    Ok(())
}
