//! Whole runs in one process: ranks are threads, the broker is in memory, faults are on demand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod faults;
mod loads;
mod one_end;
mod patterns;
mod reading;
mod reconnect;
mod runs;
mod support;
