//! How workers came back after lost connections.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How workers came back after lost connections.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reconnection {
    /// Times without a connection, over all connections of all workers.
    pub all: Outages,
    /// The same by what ended the connections: `closed` by the service with a reason, `ended` by the other side without one,
    /// `reset` by the system or the network, `silent` (no heartbeat), `cancelled` (the service ended the subscription), `late` (no
    /// reply to a request), `rejected` (a connection that was made again and only rejected what was published over it) or `other`.
    pub by_cause: BTreeMap<String, Outages>,
    /// The same by connection; those that were never lost are left out.
    pub connections: Vec<LostConnection>,
}

/// Times without a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outages {
    /// How often a connection was lost.
    pub times: u64,
    /// How often it was made again.
    pub made_again: u64,
    /// Seconds without it in all, from when its worker noticed.
    pub total_s: f64,
    /// The longest time without it, in seconds.
    pub longest_s: f64,
}

/// A connection of a worker that was lost.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LostConnection {
    /// `producer 3` or `consumer 1`, and ` replies` behind it for the connection of its replies.
    pub name: String,
    /// Times without it.
    pub all: Outages,
    /// The same by what ended it.
    pub by_cause: BTreeMap<String, Outages>,
    /// The first of these times, at most twenty.
    pub first: Vec<Outage>,
}

impl LostConnection {
    /// Whether a producer publishes over it.
    pub fn publishes(&self) -> bool {
        self.name.starts_with("producer ") && !self.name.ends_with(" replies")
    }
}

/// One time without a connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outage {
    /// When its worker noticed, in seconds after the start of streaming.
    pub at_s: f64,
    /// How long it lasted, in seconds.
    pub for_s: f64,
    /// What ended the connection.
    pub cause: String,
    /// Tries until it was made again, or until the end.
    pub tries: u32,
    /// Whether it was made again.
    pub made_again: bool,
}

impl LostConnection {
    /// Adds a time without it; at most `kept` are kept one by one.
    pub fn add(&mut self, outage: Outage, kept: usize) {
        self.all.add(&outage);
        let by_cause = self.by_cause.entry(outage.cause.clone()).or_default();
        by_cause.add(&outage);
        if self.first.len() < kept {
            self.first.push(outage);
        }
    }
}

impl Reconnection {
    /// Of all connections that were lost.
    pub fn of(connections: Vec<LostConnection>) -> Self {
        let mut sums = Self::default();
        for lost in &connections {
            sums.all.merge(&lost.all);
            for (cause, outages) in &lost.by_cause {
                sums.by_cause.entry(cause.clone()).or_default().merge(outages);
            }
        }
        Self { connections, ..sums }
    }
}

impl Outages {
    /// Adds one.
    pub fn add(&mut self, outage: &Outage) {
        self.times += 1;
        self.made_again += u64::from(outage.made_again);
        self.total_s += outage.for_s;
        self.longest_s = self.longest_s.max(outage.for_s);
    }

    /// Adds those of another connection.
    pub fn merge(&mut self, other: &Self) {
        self.times += other.times;
        self.made_again += other.made_again;
        self.total_s += other.total_s;
        self.longest_s = self.longest_s.max(other.longest_s);
    }
}
