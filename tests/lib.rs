//! Tests that need the whole workspace: real processes, and the architecture itself.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "system/support/mod.rs"]
pub mod support;
