//! What a load balancer balances by. Pure.

mod tables;

pub use tables::{Calendar, Dropped, Epoch, Member, NO_MEMBER, Route, Tables};
