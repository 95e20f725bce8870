//! Numbers that a fault could make false: what is lost, what is unknown, what was measured too rarely.
