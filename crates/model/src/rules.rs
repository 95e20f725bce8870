//! What each end does, as the harness and the broker do it: producers, queues, consumers.

pub mod consumer;
pub mod producer;
pub mod queue;
