//! A pattern in numbers: copies of a message, replies to it, and its exchanges and queues.

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
    /// Number of the run's consumers that get each message: 1 if they share the work, otherwise all.
    pub copies: u32,
    /// Number of replies to each message: 0, 1, or one per consumer.
    pub replies: u32,
    /// Whether the replies of all consumers to a message form one gather.
    pub gathers: bool,
}

impl Flow {
    pub(crate) fn new(pattern: Pattern, placement: &Placement) -> Self {
        // What external consumers get is not known.
        let copies = if pattern.is_broadcast() { placement.consumers } else { placement.consumers.min(1) };
        let replies = if pattern.has_replies() { copies.max(1) } else { 0 };
        Self { copies, replies, gathers: pattern.is_broadcast() && pattern.has_replies() }
    }
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePlan {
    /// Its name, unique to the run.
    pub name: String,
    /// Its queue type.
    pub kind: QueueType,
    /// Whether it outlives a restart of the service.
    pub durable: bool,
    /// Whether it belongs to the connection that declares it, and is deleted with it. Otherwise rank 0 declares it
    /// before the run and deletes it afterwards.
    pub exclusive: bool,
    /// Limit on its messages; `None`: unlimited.
    pub max_length: Option<u64>,
    /// Limit on its body bytes; `None`: unlimited.
    pub max_bytes: Option<u64>,
    /// Behaviour of a full queue.
    pub overflow: Overflow,
    /// How long a message may wait in it; `None`: for ever.
    pub ttl: Option<Duration>,
    /// Placement of its leader.
    pub leader: LeaderLocator,
    /// The broker deletes the queue by itself after this long without a consumer, so that a dead run leaves nothing on
    /// a shared service. Streams cannot expire.
    pub expires: Option<Duration>,
    /// Its binding; `None`: the default exchange, by the queue's name.
    pub binding: Option<Binding>,
    /// Whether it is somebody else's, who has declared it and deletes it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

/// How a queue gets the messages of an exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub key: String,
}

/// One durable exchange of the run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its name, unique to the run.
    pub name: String,
    /// How it routes.
    pub kind: ExchangeKind,
    /// Whether it is somebody else's, who has declared it and deletes it; then its kind is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

/// How an exchange routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExchangeKind {
    /// By the routing key.
    Direct,
    /// To every queue.
    Fanout,
}

/// The target of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The exchange; empty for the default one, which routes to the queue named by the key.
    pub exchange: String,
    /// Routing keys to use in turn. Empty if each message has its own.
    pub keys: Vec<String>,
    /// Routing key of replies to its messages.
    pub reply_to: Option<String>,
    /// Whether publisher confirms are on.
    pub confirms: bool,
}

/// The queue of a subscriber, and its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The queue.
    pub queue: QueuePlan,
    /// Whether deliveries are acknowledged.
    pub acks: bool,
    /// Unacknowledged deliveries it may hold; 0 means unlimited.
    pub prefetch: u16,
    /// Unacknowledged deliveries its channel may hold; 0 means unlimited.
    pub prefetch_channel: u16,
    /// Deliveries that it has had before: a stream goes on behind them.
    pub delivered: u64,
    /// The number that it reads from each message besides the envelope, if any.
    pub mark: Option<Mark>,
}

/// A number in the properties of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// The property `timestamp`.
    Timestamp,
    /// The header of this name.
    Header(String),
}
