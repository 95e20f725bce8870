//! The result of a run: reports and sums of all ranks, joined on rank 0.

mod cpu_pressure;
pub(crate) mod fetch;
pub(crate) mod join;
pub(crate) mod left;
pub(crate) mod reduced;
pub(crate) mod report;
pub(crate) mod suspension;
