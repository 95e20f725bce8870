//! EJFAT without its hardware: packets, reassembly, addresses and control plane of ESnet's streaming over UDP.
//!
//! EJFAT's terms: an *event* is one application buffer, cut into *segments* of one UDP packet each; a *tick* is the
//! number in the load balancer's header by which it chooses the *epoch*, and so the *calendar* of 512 *slots*.
//!
//! ```
//! use ejfat::{Event, Limits, Reassembler, Segmenter, Version};
//!
//! let segmenter = Segmenter { version: Version::V3, body_max: 1436 };
//! let event = Event { tick: 1_790_000_000_123_456, slot: 7, entropy: 0xBEEF, data_id: 1, number: 42, bytes: 4000 };
//! let body = vec![7; 4000];
//! let mut reassembler = Reassembler::new(Limits::default());
//! let mut whole = None;
//! for segment in segmenter.cut(&event) {
//!     let packet = [segment.re_header(), &body[segment.range()]].concat();
//!     whole = whole.or(reassembler.accept(&packet, 0));
//! }
//! assert_eq!(whole.expect("all segments have arrived").bytes, body);
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod balance;
mod control;
mod error;
mod plane;
mod process;
mod reassemble;
mod receive;
mod segment;
mod send;
mod socket;
mod uri;
mod wire;

pub use balance::{BalancerCounts, Balancing, Calendar, Dropped, Epoch, Member, NO_MEMBER, Route, Tables};
pub use control::{Client, ControlService, Server, Trust, follow, messages};
pub use error::{Error, Result};
pub use grpc::SelfSigned;
pub use plane::{Instance, Plane, Settings, Strategy};
pub use process::{balance, serve};
pub use reassemble::{Counts, Key, Limits, Reassembler, Whole};
pub use receive::{Arrival, Receiver, ReceiverCounts, ReceiverOptions};
pub use segment::{BodyMax, Event, Segment, Segmenter, Spread};
pub use send::{Pacer, Pacing, Sender, SenderOptions, Sending, Syncing};
pub use socket::{Sent, check_mtu};
pub use uri::{DataAddress, Uri, UriError};
pub use wire::{HeaderError, LbHeader, ReHeader, SLOTS, Sync, Version};
