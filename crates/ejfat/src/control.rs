//! The control plane over gRPC: its messages, a client, and a compatible server.

mod call;
mod client;
mod follow;
pub mod messages;
mod server;
mod service;

pub use client::{Client, Trust};
pub use follow::follow;
pub use server::Server;
pub use service::ControlService;
