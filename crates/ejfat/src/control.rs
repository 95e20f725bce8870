//! The control plane over gRPC: its messages, a client, and a compatible server.

mod call;
mod client;
mod follow;
mod identity;
pub mod messages;
mod server;
mod service;

pub use client::{Client, Trust};
pub use follow::follow;
pub use identity::Identity;
pub use server::Server;
pub use service::ControlService;
