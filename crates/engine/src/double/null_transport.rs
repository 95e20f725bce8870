//! A transport that accepts everything and delivers the same bodies for ever: the remaining cost is the harness's own.

use crate::{
    envelope::{Envelope, SealKey},
    ports::{Alarm, Body, ConnectionFacts, Delivery, Fault, Outcome, Outgoing, Publisher, Subscriber},
};
use std::{
    future::{Ready, ready},
    sync::Arc,
};

/// Accepts every message at once.
#[derive(Debug, Default)]
pub struct NullPublisher {
    facts: ConnectionFacts,
}

impl Publisher for NullPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Publishing = Ready<(Vec<u8>, Result<Self::Confirm, Fault>)>;

    fn publish(&mut self, message: Outgoing) -> Self::Publishing {
        std::hint::black_box(message.envelope);
        ready((message.body, Ok(ready(Ok(Outcome::Accepted)))))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn alarms(&self) -> Vec<Arc<Alarm>> {
        Vec::new()
    }

    async fn close(self) {}
}

/// Delivers the same bodies over and over, without a copy: copying them out of frames is the
/// client library's cost.
#[derive(Debug)]
pub struct NullSubscriber {
    facts: ConnectionFacts,
    messages: Vec<(Arc<[u8]>, Envelope)>,
    delivered: u64,
}

impl NullSubscriber {
    /// Delivers `bodies`, at least one, which must be those of messages 0, 1 ... of producer 0.
    pub fn new(run: u32, key: SealKey, bodies: Vec<Body>) -> Self {
        assert!(!bodies.is_empty(), "there is something to deliver");
        let message = |(sequence, body): (u64, Body)| {
            let Body { bytes, checksum, .. } = body;
            (
                bytes.into(),
                Envelope { run, producer: 0, sequence, due_ns: 0, sent_ns: 0, checksum, seal: 0 }.sealed(key),
            )
        };
        let messages = (0..).zip(bodies).map(message).collect();
        Self { facts: ConnectionFacts::default(), messages, delivered: 0 }
    }
}

impl Subscriber for NullSubscriber {
    type Body = Arc<[u8]>;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery<Arc<[u8]>>, Fault> {
        let (body, envelope) = &self.messages[self.delivered as usize % self.messages.len()];
        self.delivered += 1;
        Ok(Delivery {
            body: body.clone(),
            envelope: Some(*envelope),
            tag: self.delivered,
            redelivered: false,
            reply_to: None,
            replied_by: None,
            mark: None,
        })
    }

    async fn ack(&mut self, _tag: u64, _multiple: bool) -> Result<(), Fault> {
        Ok(())
    }

    async fn held(&mut self) -> Result<u64, Fault> {
        Ok(0)
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}
