//! What the workers of a rank do with each message: publish it, consume it, reply to it, collect the replies.

pub(crate) mod calendar;
pub(crate) mod ceiling;
pub(crate) mod collect;
pub(crate) mod consume;
mod in_flight;
pub(crate) mod inspections;
pub(crate) mod produce;
pub(crate) mod progress;
pub(crate) mod reply;

/// Other workers of the rank share the thread: let them run after so many turns, however busy.
const TURNS_BEFORE_YIELD: u32 = 64;
