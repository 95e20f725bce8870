//! A transport that accepts everything and delivers the same body for ever: what is left is the
//! harness.

use crate::{
    envelope::Envelope,
    ports::{Body, ConnectionFacts, Delivery, Fault, Outcome, Outgoing, Publisher, Subscriber},
};
use std::future::{Ready, ready};

/// Accepts every message at once.
#[derive(Debug, Default)]
pub struct NullPublisher {
    facts: ConnectionFacts,
}

impl Publisher for NullPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Written = Ready<(Vec<u8>, Result<Self::Confirm, Fault>)>;

    fn publish(&mut self, message: Outgoing) -> Self::Written {
        std::hint::black_box(message.envelope);
        ready((message.body, Ok(ready(Ok(Outcome::Accepted)))))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}

/// Delivers one body over and over, each time with the next sequence number. The body is copied
/// for each delivery, as a client library copies it out of its frames.
#[derive(Debug)]
pub struct NullSubscriber {
    facts: ConnectionFacts,
    body: Vec<u8>,
    envelope: Envelope,
}

impl NullSubscriber {
    /// Delivers `body`, which must be that of message 0 of producer 0.
    pub fn new(run: u32, body: Body) -> Self {
        let envelope = Envelope { run, producer: 0, sequence: 0, due_ns: 0, sent_ns: 0, checksum: body.checksum };
        Self { facts: ConnectionFacts::default(), body: body.bytes, envelope }
    }
}

impl Subscriber for NullSubscriber {
    async fn subscribe(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery, Fault> {
        let envelope = Some(self.envelope);
        self.envelope.sequence += 1;
        Ok(Delivery { body: self.body.clone(), envelope, tag: self.envelope.sequence, redelivered: false })
    }

    async fn ack(&mut self, _tag: u64, _multiple: bool) -> Result<(), Fault> {
        Ok(())
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}
