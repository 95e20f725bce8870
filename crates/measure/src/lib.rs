//! The results of a run: histograms, counters, the delivery ledger, estimators and the record. Pure.
//!
//! *During* a run every worker owns its [`Histograms`], [`LiveCounters`] and one side of the ledger ([`Sent`] or
//! [`Deliveries`]), and no other worker writes to them, so nothing here locks. *After* it they are merged
//! ([`Histograms::reduce_vector`], [`Counters::to_vector`], [`join`]) into the immutable [`Record`], from which
//! [`tables`] are made.
//!
//! ```
//! use measure::{Deliveries, Sent, join};
//!
//! let (mut sent, mut deliveries) = (Sent::new(true), Deliveries::new());
//! for _ in 0..3 {
//!     let sequence = sent.publish();
//!     sent.confirm(sequence);
//! }
//! for sequence in [0, 2] {
//!     deliveries.observe(0, sequence, false);
//! }
//! let integrity = join(&[(0, sent.finish())], [deliveries]);
//! assert_eq!((integrity.expected, integrity.delivered, integrity.lost), (3, 2, 1));
//! assert_eq!(integrity.first_lost[0].sequence, 1);
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod assertion;
pub mod audiences;
pub mod bands;
pub mod counters;
mod exit;
mod fault_cost;
pub mod foreign;
mod held;
pub mod histogram;
pub mod hlog;
pub mod integrity;
pub mod ledger;
pub mod metric;
mod pacing;
pub mod record;
pub mod replies;
#[cfg(test)]
mod sample;
mod sentences;
mod service;
pub mod tables;
pub mod throughput;
mod timeline;

pub use assertion::{Assertion, AssertionError};
pub use audiences::{Handed, join, join_each, join_replies, join_with};
pub use bands::{Bands, LiveBands};
pub use counters::{Count, Counters, LiveCounters};
pub use exit::Exit;
pub use fault_cost::Disturbed;
pub use held::{Held, OnTheWay};
pub use histogram::{Extremes, Histogram, LatencySummary};
pub use hlog::{Buckets, hlog, read_hlog};
pub use integrity::{FirstCorrupt, Integrity};
pub use ledger::{Deliveries, Foreign, LedgerError, MessageId, Observation, Sent, SentSummary};
pub use metric::{Histograms, Metric};
pub use pacing::Pacing;
pub use record::{Record, RecordError};
pub use replies::Replies;
pub use service::{ServiceSample, into_series};
pub use throughput::{ConsumerSpan, Throughput, Volume, WindowKind};
pub use timeline::Timeline;
