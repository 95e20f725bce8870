//! Clocks of ranks, and everything that depends on time: schedules, pauses, the measured window, waits with a limit.

pub mod awake;
pub mod clock;
pub mod clocks;
pub(crate) mod delay;
pub(crate) mod one_way;
pub(crate) mod pace;
pub(crate) mod schedule;
pub(crate) mod warm_up;
pub(crate) mod window;
