//! The workers of a rank: they publish messages, consume them, reply to them and collect the replies.

pub(crate) mod budget;
pub(crate) mod calendar;
pub(crate) mod ceiling;
pub(crate) mod collect;
pub(crate) mod consume;
mod in_flight;
pub(crate) mod inspections;
pub(crate) mod produce;
pub(crate) mod progress;
pub(crate) mod reconnect;
mod reduce;
pub(crate) mod reply;

/// A busy worker yields after this many turns, because other workers of the rank share the thread.
const TURNS_BEFORE_YIELD: u32 = 64;
