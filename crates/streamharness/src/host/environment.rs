//! The environment of this process: launcher, build and host.

use crate::host::machine;
use engine::AllowedCores;
use measure::record::Environment;
use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};
use std::{collections::BTreeMap, env, sync::LazyLock, thread};

/// Variables in which launchers pass a process its rank, before MPI starts.
const RANK_VARIABLES: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Whether this process should report what all ranks would report alike.
pub fn speaks_for_the_launch() -> bool {
    RANK_VARIABLES.iter().find_map(|name| env::var(name).ok()).is_none_or(|rank| rank == "0")
}

/// The version for people, who may have a build for each MPI.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let (mpi, hdf5) = (comm_mpi::MpiComm::library(), payload::hdf5_version());
        format!("{}\nbuilt for {mpi}, with HDF5 {hdf5}", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

/// Whether a launcher started this process.
pub fn is_launched() -> bool {
    RANK_VARIABLES.iter().any(|name| env::var_os(name).is_some())
}

/// The environment as rank 0 knows it; hosts, seed and clocks are filled in with the result.
pub fn describe(world: usize) -> Environment {
    Environment {
        world_size: world as u32,
        cpu_model: machine::cpu_model(),
        cores: Some(machine::cores()),
        kernel: nix::sys::utsname::uname().ok().map(|name| name.release().to_string_lossy().into_owned()),
        mpi_library: Some(comm_mpi::MpiComm::library()),
        launcher: launcher(),
        slurm_job_id: env::var("SLURM_JOB_ID").ok(),
        slurm_nodes: env::var("SLURM_JOB_NODELIST").ok(),
        slurm_partition: env::var("SLURM_JOB_PARTITION").ok(),
        // By build.rs.
        git_commit: option_env!("STREAMHARNESS_COMMIT").map(str::to_owned),
        crates: crates(option_env!("STREAMHARNESS_CRATES").unwrap_or_default()),
        hdf5_library: Some(payload::hdf5_version()),
        harness_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Environment::default()
    }
}

/// Processors that this process may use.
pub fn allowed_cores() -> AllowedCores {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    let bound: Vec<u32> =
        (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false)).map(|core| core as u32).collect();
    // The standard library reads the quotas of control groups, both versions, and counts what is left.
    let usable = thread::available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    let quota = usable.filter(|usable| *usable < bound.len() as u32);
    AllowedCores { bound, quota }
}

/// `lapin 4.12.3,mpi 0.8.2` by name.
fn crates(written: &str) -> BTreeMap<String, String> {
    let pairs = written.split(',').filter_map(|pair| pair.split_once(' '));
    pairs.map(|(name, version)| (name.to_owned(), version.to_owned())).collect()
}

fn launcher() -> Option<String> {
    // srun sets its own variables for the processes of a step; mpirun inside an allocation does not.
    let by = |variable: &str, name: &str| env::var_os(variable).map(|_| name.to_owned());
    by("OMPI_COMM_WORLD_SIZE", "mpirun").or_else(|| by("SLURM_STEP_ID", "srun")).or_else(|| by("PMI_SIZE", "mpiexec"))
}
