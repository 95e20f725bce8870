//! The facility network: every host of the paper's testbed as a network namespace, joined by a switch with limited links.

mod allocation;
mod buffers;
mod build;
mod counters;
mod disturb;
mod enter;
mod filter;
pub mod forwarder;
mod layout;
mod namespace;
mod opened;
mod options;
mod state;
mod tools;

pub use allocation::{Allocation, Placement};
pub use build::{Network, Offers};
pub use counters::{Count, Link};
pub use disturb::Disturbance;
pub use enter::Access;
pub use layout::{Host, Hosts, host_of_part};
pub use opened::Opened;
pub use options::{Congestion, Facility, NetworkChoice, WayText};
pub use state::{Distance, LinkState, NetworkState, ProducersState, Rule};
pub use tools::Tools;
