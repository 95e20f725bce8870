//! Resources of this process on its host: CPU time, memory, context switches and busy threads.

pub(crate) mod busy;
pub(crate) mod usage;
