//! Tests that need the whole workspace: real processes, and the architecture itself.
