//! What a launch shows of itself while it runs, over HTTP: OpenMetrics for a collector, and a page for a browser.
//!
//! Rank 0 writes what it knows into a [`View`]; a thread of its own serves it, so a slow browser holds up nothing:
//!
//! | path | what |
//! |---|---|
//! | `/` | the page, one file without parts of others |
//! | `/events` | what the page shows, once a second, as server-sent events |
//! | `/metrics` | the same for Prometheus and others, in the text format of OpenMetrics 1.0 |

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod metrics;
mod server;
mod shown;

pub use server::{Error, Live};
pub use shown::{Moment, Place, Run, View};
