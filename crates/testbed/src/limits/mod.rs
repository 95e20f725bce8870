//! How much CPU each part may take, as a pod of a facility may: what is asked for, and the kernel's groups that hold it.

mod choice;
mod groups;
mod places;

pub use choice::{CpuLimits, Cpus};
pub use groups::Groups;
