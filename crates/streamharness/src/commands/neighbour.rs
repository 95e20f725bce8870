//! `streamharness neighbour`, for a run's own use: another tenant of the service, until that run ends.

use crate::{
    cli::arguments::Around,
    launch::{self, world::RESOLVE_LIMIT},
    rank0::{neighbours::OF_VARIABLE, runs::Runs},
    terminal::exit::{Exit, Failure},
};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    sys::{prctl::set_pdeathsig, signal::Signal},
    unistd::{Pid, getppid},
};
use std::{env, io::Read, path::PathBuf};

/// Streams as the profile on standard input says.
pub fn neighbour(out: PathBuf) -> Result<Exit, Failure> {
    let misused = || Failure::new(Exit::Usage, "neighbour is for a run's own use: set neighbours.tenants of a run");
    let parent: i32 = env::var(OF_VARIABLE).ok().and_then(|text| text.parse().ok()).ok_or_else(misused)?;
    // Whatever ends the run ends this launch in order, too.
    set_pdeathsig(Signal::SIGTERM).map_err(|_| misused())?;
    if getppid().as_raw() != parent {
        return Ok(Exit::Partial);
    }
    leave_its_core();
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(|_| misused())?;
    let profile = serde_json::from_str(&text).map_err(|_| misused())?;
    let around = Around { out: Some(out), ..Around::default() };
    launch::carry_out(RESOLVE_LIMIT, |ranks| Runs::new(&around, ranks, || Ok((profile, None))))
}

/// A launcher binds rank 0 to a core, and a tenant would compete for it.
fn leave_its_core() {
    let mut all = CpuSet::new();
    for core in 0..CpuSet::count() {
        let _ = all.set(core);
    }
    // The kernel keeps those that the job may use. If it refuses, the tenant stays where it is.
    let _ = sched_setaffinity(Pid::from_raw(0), &all);
}
