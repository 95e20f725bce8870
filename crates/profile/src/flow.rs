//! What a pattern comes to: who gets a message, who answers it, and by which exchanges and queues.

use crate::{
    knobs::{LeaderLocator, QueueType},
    placement::Placement,
    values::{Overflow, Pattern},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A pattern as plain numbers, so that the worker loops know no patterns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Consumers that get each message: 1 where they share the work, else all.
    pub copies: u32,
    /// Answers that the producer of a message gets: 0, 1, or one of each consumer.
    pub replies: u32,
    /// Whether the answers of all consumers to a message belong together.
    pub gathers: bool,
}

impl Flow {
    pub(crate) fn new(pattern: Pattern, placement: &Placement) -> Self {
        let copies = if pattern.is_broadcast() { placement.consumers } else { 1 };
        let replies = if pattern.is_answered() { copies } else { 0 };
        Self { copies, replies, gathers: pattern.is_broadcast() && pattern.is_answered() }
    }
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePlan {
    /// Its name, unique to the run.
    pub name: String,
    /// What the service keeps it in.
    pub kind: QueueType,
    /// Whether it outlives a restart of the service.
    pub durable: bool,
    /// Whether it belongs to the connection that declares it, and goes with it. Otherwise rank 0
    /// declares it before the run and deletes it afterwards.
    pub exclusive: bool,
    /// Messages it holds at most; none is no limit.
    pub max_length: Option<u64>,
    /// Body bytes it holds at most; none is no limit.
    pub max_bytes: Option<u64>,
    /// What it does when full.
    pub overflow: Overflow,
    /// How long a message may wait in it; none is for ever.
    pub ttl: Option<Duration>,
    /// On which node its leader is put.
    pub leader: LeaderLocator,
    /// The broker deletes the queue by itself after this long without a consumer, so that a run
    /// that died leaves nothing on a shared service. Streams cannot.
    pub expires: Option<Duration>,
    /// Where its messages come from; none is by its own name.
    pub binding: Option<Binding>,
}

/// How a queue gets the messages of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub key: String,
}

/// One exchange of the run, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its name, unique to the run.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// By the routing key.
    Direct,
    /// To every queue.
    Fanout,
}

/// Where a publisher publishes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The exchange; empty is the default one, which routes to the queue that the key names.
    pub exchange: String,
    /// Routing keys to use in turn. None where each message says its own.
    pub keys: Vec<String>,
    /// Where answers to its messages go.
    pub reply_to: Option<String>,
    /// Whether the service is asked to confirm.
    pub confirms: bool,
}

/// What a subscriber reads, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The queue.
    pub queue: QueuePlan,
    /// Whether deliveries are acknowledged.
    pub acks: bool,
    /// Unacknowledged deliveries it may hold; 0 is no limit.
    pub prefetch: u16,
    /// Unacknowledged deliveries its channel may hold; 0 is no limit.
    pub prefetch_channel: u16,
}
