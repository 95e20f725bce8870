//! Distance in user space: a forwarder between two network devices that hands each packet on after its delay.
//!
//! It takes the place of `netem` on kernels without it. [`open_device`] makes the two devices, [`carry()`] is the loop
//! between them, and [`Conditions`] says what happens to a packet on its way.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod carry;
mod conditions;
mod counters;
mod device;
mod fate;
mod lateness;
mod prefer;
mod queue;

pub use carry::carry;
pub use conditions::{Conditions, queue_bytes};
pub use counters::Counters;
pub use device::open_device;
pub use lateness::Lateness;
pub use prefer::prefer;
