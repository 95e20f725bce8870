//! The sending side: events to packets on several sockets, paced, with synchronization from a thread of its own.

mod pacing;
mod sender;
mod syncing;

pub use pacing::{Pacer, Pacing};
pub use sender::{Sender, SenderOptions, Sending};
pub use syncing::Syncing;
