//! Where a run was carried out, completely enough to repeat it.

use super::ServiceSettings;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a run took place, enough to judge whether two runs can be compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Environment {
    /// The hosts of the ranks, each once.
    pub hosts: Vec<String>,
    /// How many ranks were launched.
    pub world_size: u32,
    /// The processor of rank 0.
    #[serde(default)]
    pub cpu_model: Option<String>,
    /// Processors that rank 0 may run on.
    #[serde(default)]
    pub cores: Option<u32>,
    /// Kernel release of rank 0.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Name and version that the MPI library reports; absent without MPI.
    #[serde(default)]
    pub mpi_library: Option<String>,
    /// `srun`, `mpirun` and so on, if it is known.
    #[serde(default)]
    pub launcher: Option<String>,
    /// Job of the batch system, if there was one.
    #[serde(default)]
    pub slurm_job_id: Option<String>,
    /// The nodes that the job got, as Slurm writes them.
    #[serde(default)]
    pub slurm_nodes: Option<String>,
    /// The partition that it ran in.
    #[serde(default)]
    pub slurm_partition: Option<String>,
    /// The hosts of the ranks, with the interfaces that connections used.
    #[serde(default)]
    pub machines: Vec<Machine>,
    /// Version of streamharness.
    pub harness_version: String,
    /// The service's settings, if its management API reported them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceSettings>,
    /// Commit that streamharness was built from, if it is known.
    #[serde(default)]
    pub git_commit: Option<String>,
    /// Versions of crates that figures depend on, by name: the AMQP client, MPI, HDF5, TLS.
    #[serde(default)]
    pub crates: BTreeMap<String, String>,
    /// Version of libhdf5.
    #[serde(default)]
    pub hdf5_library: Option<String>,
    /// Every payload and every random choice follows from it.
    pub seed: u64,
    /// How far the clock of any rank may be off rank 0's, if it was measured.
    #[serde(default)]
    pub clock_error_ns: Option<u64>,
    /// How clocks of different hosts were brought together; absent where all ranks shared one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clocks: Option<Clocks>,
}

/// One host of a run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Its name.
    pub host: String,
    /// Its processor.
    pub cpu_model: Option<String>,
    /// Processors that are online.
    pub cores: u32,
    /// Its memory.
    pub memory_bytes: Option<u64>,
    /// How the kernel chooses the processor's frequency; absent where it does not.
    pub governor: Option<String>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// TCP's congestion control, unless a socket sets another.
    pub congestion_control: Option<String>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
}

/// A network interface under one of its addresses.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interface {
    /// Such as `eth0`.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its speed, where it has one.
    pub speed_bits_per_second: Option<u64>,
    /// Largest packet.
    pub mtu_bytes: Option<u64>,
    /// The kernel's driver; absent for virtual ones.
    pub driver: Option<String>,
}

/// How the clocks of several hosts compared, before and after streaming.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Clocks {
    /// Hosts with a clock of their own.
    pub hosts: u32,
    /// Bound on the difference of any two ranks' common time, in nanoseconds: that of one-way latency.
    pub pair_error_ns: u64,
    /// By how much the worst clock was off after streaming, in nanoseconds; one-way latency is interpolated over it.
    pub residual_ns: u64,
    /// The largest drift beside rank 0's clock, in nanoseconds per second.
    pub drift_ppb: u64,
}
