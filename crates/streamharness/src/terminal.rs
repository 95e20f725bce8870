//! Output to the terminal, and the exit code.

pub mod exit;
pub mod stderr;
pub mod stdout;
