//! Faults that a run causes on purpose while it streams: `at 10s: restart node 2`.

mod grammar;
mod judge;

use crate::{contents::Rate, values::written_as_text};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

pub(crate) use grammar::as_text;
pub(crate) use judge::resolve;

written_as_text!(Fault);

/// One fault of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// When it is due, from the common start of streaming.
    pub at: Duration,
    /// What is done.
    pub action: Action,
    /// For how long, before it is undone; `None`: until the run ends, or it needs no undoing.
    pub length: Option<Duration>,
}

/// What is done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Its process is killed, and started again when the fault is undone.
    Kill(Part),
    /// Its process does not run, and keeps its connections.
    Stop(Part),
    /// Its process is killed, and started again at once.
    Restart(Part),
    /// No packet passes the link of this host to its switch.
    Cut(String),
    /// The link has this rate.
    SlowTo(String, Rate),
    /// Each packet takes so much longer.
    SlowBy(String, Duration),
    /// This share of packets is dropped, in parts of a million.
    Drop(String, u32),
    /// The service closes all connections.
    CloseConnections,
    /// A node reports that it is short of something, so that the service stops publishers.
    Alarm(Resource, NonZeroU32),
    /// The managed cluster of the run is taken away.
    ExpireCluster,
    /// The leader of a queue moves to another node; 0: of every shared queue.
    MoveLeader(u32),
    /// The process of a rank does not run.
    Suspend(u32),
}

/// A process on the way of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A broker node, counted from 1.
    Node(NonZeroU32),
    /// A proxy of SciStream.
    Proxy(Side),
    /// The control server that has started it.
    ControlServer(Side),
    /// The balancer of the managed service.
    Balancer,
    /// The ingress behind it.
    Ingress,
    /// A gateway of the managed service, counted from 1.
    Gateway(NonZeroU32),
}

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The producers'.
    Producer,
    /// The consumers'.
    Consumer,
}

impl Side {
    /// Its word in a fault.
    pub fn word(self) -> &'static str {
        match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// What a broker can be short of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Memory.
    Memory,
    /// Room on its disk.
    Disk,
}

impl Resource {
    /// Its word in a fault, which is the broker's own.
    pub fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

impl Fault {
    /// When it is undone, from the common start of streaming; `None` if it lasts until the run ends, or needs no undoing.
    pub fn end(&self) -> Option<Duration> {
        Some(self.at + self.length?)
    }

    /// What it is done to, in words: two faults on the same cannot be in force at once.
    pub fn object(&self) -> String {
        self.action.object()
    }
}
