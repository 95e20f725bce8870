//! The service's side of a run, through RabbitMQ's management API: its settings, and its queues while they stream.
//!
//! ```no_run
//! use management::{Access, Client};
//!
//! let client = Client::new(Access {
//!     url: "http://localhost:15672".to_owned(),
//!     user: "me".to_owned(),
//!     password: "from a file".to_owned(),
//!     token_file: None,
//!     ca_pem: None,
//!     vhost: "/".to_owned(),
//!     queues: "streamharness.".to_owned(),
//! })?;
//! println!("{:?}", client.settings()?);
//! # Ok::<(), management::Error>(())
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

mod client;
mod replies;
mod watcher;

pub use client::{Access, Client, Error};
pub use watcher::{Seen, Watcher};
