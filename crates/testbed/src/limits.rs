//! CPU limits of parts, like those of a facility's pods: the limits as written, and the control groups that apply them.

mod choice;
mod groups;
mod places;

pub use choice::{CpuLimits, Cpus};
pub use groups::{Groups, Limited};
