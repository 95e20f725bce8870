//! The facility network: every host of the paper's testbed as a network namespace, joined by a switch with limited links.

mod allocation;
mod build;
mod counters;
mod enter;
pub mod forwarder;
mod layout;
mod namespace;
mod options;
mod state;
mod tools;

pub use allocation::{Allocation, Placement};
pub use build::Network;
pub use counters::{Count, Link};
pub use enter::Access;
pub use layout::{Host, Hosts, host_of_part};
pub use options::{Congestion, Facility, NetworkChoice, WayText};
pub use state::{Distance, LinkState, NetworkState, ProducersState};
pub use tools::Tools;
