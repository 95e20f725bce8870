//! A SciStream-compatible control plane: a user client, and a control server that drives stock stunnel and HAProxy.
//!
//! Wire-compatible with SciStream 1.2.1. Its terms: the *user client* (S2UC) sends a request to the *control server*
//! (S2CS) of each facility, which starts a *data server* (S2DS) for each request. Bytes pass through data servers only.
//!
//! ```no_run
//! use scistream::{Side, TunnelRequest};
//! use std::time::Duration;
//!
//! # fn example(outbound: Side, inbound: Side) -> scistream::Result<()> {
//! let request = TunnelRequest {
//!     outbound, // where producers are
//!     inbound,  // where the service is
//!     service: vec!["10.0.0.9:5672".to_owned()],
//!     connections: 1,
//!     limit: Duration::from_secs(30),
//!     quick: false,
//! };
//! let tunnel = request.open_blocking()?;
//! println!("producers connect to {:?}", tunnel.entries);
//! # Ok(())
//! # }
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod certificate;
mod client;
mod config;
mod connector;
mod data_server;
mod error;
mod install;
mod listening;
mod negotiated;
mod options;
mod ports;
mod reached;
mod server;
mod service;
mod sessions;
mod trouble;
mod tunnel;
mod uid;
mod wire;

pub use client::Client;
pub use error::Error;
pub use grpc::SelfSigned;
pub use install::{Kind, find_program};
pub use negotiated::{Negotiated, negotiated};
pub use options::Options;
pub use reached::{Reached, is_reachable};
pub use server::{Server, serve};
pub use service::ControlService;
pub use tunnel::{Side, Tunnel, TunnelRequest};
pub use uid::Uid;
pub use wire::Role;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
