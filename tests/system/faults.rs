//! Faults of peers, brokers, files and launchers: each ends in its true sentence, and no number is false.
//!
//! Those that once crashed a run or put a false number into a record are tested in every run; the others are slow tests.

mod auth;
mod clocks;
mod files;
mod launchers;
mod numbers;
mod peers;
mod ranks;
mod shortage;
mod tls;
mod tunnels;
