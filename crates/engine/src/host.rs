//! What the host gives this process: CPU, memory, threads and files.

pub(crate) mod busy;
pub(crate) mod usage;
