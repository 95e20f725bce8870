//! The tasks of rank 0 beside its workers: it leads runs, shows them, and writes their files.

pub mod balancing;
pub mod before;
pub mod congestion;
pub mod demands;
pub mod faults;
pub mod keeper;
pub mod lead;
pub mod neighbours;
pub mod output;
pub mod progress;
pub mod repeat;
pub mod runs;
#[cfg(test)]
pub mod sample;
pub mod series;
pub mod shown;
pub mod summary;
pub mod sweep;
