//! The command line: arguments, and flags as a layer of the profile.

pub mod arguments;
pub mod flags;
