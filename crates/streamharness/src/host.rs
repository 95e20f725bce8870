//! The host that a rank runs on.

pub mod environment;
pub mod machine;
pub mod program;
pub mod reach;
