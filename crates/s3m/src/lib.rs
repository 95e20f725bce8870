//! The S3M streaming API: a client that provisions a managed service, and a compatible local service.
//!
//! ```no_run
//! use s3m::{Client, PREFIX};
//!
//! let client = Client::new("https://s3m.example", PREFIX, "token", None)?;
//! for cluster in client.list()? {
//!     println!("{cluster:?}");
//! }
//! # Ok::<(), s3m::Error>(())
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod backing;
mod client;
mod error;
mod server;
mod service;
mod wire;

pub use backing::{Backing, Tenancy};
pub use client::{Client, PREFIX};
pub use error::{Error, Result};
pub use server::{Identity, serve};
pub use service::{Service, Settings};
pub use wire::{Backend, Cluster, Lifetime, Provision, Provisioned};

#[cfg(test)]
mod tests;
