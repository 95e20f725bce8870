//! The engine's port for streaming over EJFAT: events by UDP, with or without a load balancer.
//!
//! Nothing is acknowledged and nothing is published again, so what is lost is a result of a run. What the port asks that
//! EJFAT does not have is refused, or does nothing: docs/ejfat.md has the list.

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod counts;
mod envelope;
mod fault;
mod patience;
mod publisher;
mod session;
mod settings;
mod subscriber;
mod transport;

pub use publisher::EjfatPublisher;
pub use settings::{Route, Settings};
pub use subscriber::{EjfatSubscriber, EventBody};
pub use transport::EjfatTransport;
