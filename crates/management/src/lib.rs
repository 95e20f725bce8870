//! The service's side of a run, as RabbitMQ's management API tells it: its settings, and its queues while they stream.

#![warn(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

mod answers;
mod client;
mod watcher;

pub use client::{Access, Client, Error};
pub use watcher::{Seen, Watcher};
