//! The load balancer: what it balances by and the threads that pass packets on.

mod counts;
mod running;
mod tables;

pub use counts::BalancerCounts;
pub use running::Balancing;
pub use tables::{Calendar, Dropped, Epoch, Member, NO_MEMBER, Route, Tables};
