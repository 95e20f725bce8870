//! What this process can tell about where it runs.

use measure::record::Environment;
use std::{env, fs};

/// Variables in which launchers tell a process its rank, before MPI is up.
const RANK_VARIABLES: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Whether this process should speak where all ranks would say the same.
pub fn speaks_for_the_launch() -> bool {
    RANK_VARIABLES.iter().find_map(|name| env::var(name).ok()).is_none_or(|rank| rank == "0")
}

/// Whether a launcher started this process.
pub fn is_launched() -> bool {
    RANK_VARIABLES.iter().any(|name| env::var_os(name).is_some())
}

/// Name of this host.
pub fn host() -> String {
    nix::unistd::gethostname().map_or_else(|_| "localhost".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// What rank 0 can tell; hosts, seed and clocks are filled in with the result.
pub fn describe(world: usize) -> Environment {
    Environment {
        world_size: world as u32,
        cpu_model: cpu_model(),
        cores: Some(cores()),
        kernel: nix::sys::utsname::uname().ok().map(|name| name.release().to_string_lossy().into_owned()),
        mpi_library: Some(comm_mpi::MpiComm::library()),
        launcher: launcher(),
        slurm_job_id: env::var("SLURM_JOB_ID").ok(),
        harness_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Environment::default()
    }
}

/// Processors of this host. Not those that this process is bound to: launchers bind each rank to
/// its own, and the host has them all.
pub fn cores() -> u32 {
    let online = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN).ok().flatten();
    online.and_then(|cores| u32::try_from(cores).ok()).unwrap_or(1)
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn launcher() -> Option<String> {
    // srun sets its own variables for the processes of a step; mpirun inside an allocation does not.
    let by = |variable: &str, name: &str| env::var_os(variable).map(|_| name.to_owned());
    by("OMPI_COMM_WORLD_SIZE", "mpirun").or_else(|| by("SLURM_STEP_ID", "srun")).or_else(|| by("PMI_SIZE", "mpiexec"))
}
