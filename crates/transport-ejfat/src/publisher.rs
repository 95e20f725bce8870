//! A producer: each message is an event that leaves at once, and nobody confirms it.

use crate::{counts, envelope};
use ejfat::{Sender, Sent, Syncing};
use engine::{
    envelope::Envelope,
    ports::{Alarm, ConnectionFacts, Counts, Fault, FaultKind, Outcome, Outgoing, Publisher},
};
use std::{
    future::{Ready, ready},
    sync::Arc,
    time::UNIX_EPOCH,
};

/// Publishes events.
pub struct EjfatPublisher {
    sender: Sender,
    /// Ends after the last event.
    _syncing: Option<Syncing>,
    facts: ConnectionFacts,
}

impl EjfatPublisher {
    pub(crate) fn new(sender: Sender, syncing: Option<Syncing>, facts: ConnectionFacts) -> Self {
        Self { sender, _syncing: syncing, facts }
    }

    /// What became of all packets so far.
    pub fn sent(&self) -> Sent {
        self.sender.sent()
    }

    fn send(&mut self, message: &Outgoing) -> Result<(), Fault> {
        let broken = |sentence: &str| Fault::new(FaultKind::Broken, sentence);
        let envelope = Envelope::decode(message.envelope.as_str().as_bytes());
        let envelope = envelope.ok_or_else(|| broken("a message has no envelope; report this"))?;
        let clock_us = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        let head = envelope::encode(&envelope);
        let sent = self.sender.send(envelope.sequence, clock_us, &head, &message.body);
        sent.map(drop)
            .map_err(|_| Fault::new(FaultKind::Refused, "an event of EJFAT has at most 4 GiB; use smaller messages"))
    }
}

impl Publisher for EjfatPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Publishing = Ready<(Vec<u8>, Result<Self::Confirm, Fault>)>;

    fn publish(&mut self, message: Outgoing) -> Self::Publishing {
        let sent = self.send(&message);
        ready((message.body, sent.map(|()| ready(Ok(Outcome::NotAsked)))))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn counts(&self) -> Counts {
        counts::of_sender(&self.sender.sent())
    }

    /// None: nothing holds a sender back.
    fn alarms(&self) -> Vec<Arc<Alarm>> {
        Vec::new()
    }

    async fn close(self) {}
}
