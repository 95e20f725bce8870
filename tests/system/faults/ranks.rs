//! Ranks that are damaged by messages, suspended, or started by the wrong launcher.
