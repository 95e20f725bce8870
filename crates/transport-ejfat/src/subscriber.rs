//! What receives: whole events, in the order in which they became whole.

use crate::{counts, envelope, fault::fault, session::Session};
use ejfat::{Arrival, Receiver, ReceiverCounts};
use engine::ports::{ConnectionFacts, Counts, Delivery, Fault, FaultKind, Subscriber};
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::mpsc;

/// What the events of a subscriber are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages that nobody replies to.
    Messages,
    /// Messages whose producers wait for replies.
    Asking,
    /// Replies; their source is the consumer.
    Replies,
}

/// Consumes events.
pub struct EjfatSubscriber {
    kind: Kind,
    receiver: Receiver,
    events: mpsc::Receiver<Arrival>,
    session: Option<Session>,
    port_bits: u8,
    delivered: u64,
    /// From the first segment to the last one, of all events together.
    assembly_ns: u64,
    /// The key of replies.
    back: Arc<str>,
    facts: ConnectionFacts,
}

/// The body of an event, without the envelope before it.
pub struct EventBody {
    arrival: Arrival,
    from: usize,
}

impl AsRef<[u8]> for EventBody {
    fn as_ref(&self) -> &[u8] {
        &self.arrival.whole.bytes[self.from..]
    }
}

impl EjfatSubscriber {
    pub(crate) fn new(
        kind: Kind,
        receiver: Receiver,
        events: mpsc::Receiver<Arrival>,
        session: Option<Session>,
        port_bits: u8,
        facts: ConnectionFacts,
    ) -> Self {
        Self {
            kind,
            receiver,
            events,
            session,
            port_bits,
            delivered: 0,
            assembly_ns: 0,
            back: Arc::from("back"),
            facts,
        }
    }

    /// Its first address.
    pub fn address(&self) -> SocketAddr {
        self.receiver.address()
    }

    /// What became of all packets so far.
    pub fn counts(&self) -> ReceiverCounts {
        self.receiver.counts()
    }
}

impl Subscriber for EjfatSubscriber {
    type Body = EventBody;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        let address = self.receiver.address();
        match &mut self.session {
            Some(session) => session.register(address, self.port_bits).await.map_err(fault),
            None => Ok(()),
        }
    }

    async fn next(&mut self) -> Result<Delivery<EventBody>, Fault> {
        let ended = || Fault::new(FaultKind::Lost, "the receiver of EJFAT has ended; start the run again");
        let arrival = self.events.recv().await.ok_or_else(ended)?;
        self.delivered += 1;
        self.assembly_ns += arrival.whole.last_ns.saturating_sub(arrival.whole.first_ns);
        let envelope = envelope::decode(&arrival.whole.bytes);
        let from = if envelope.is_some() { envelope::BYTES } else { 0 };
        // The publisher of replies knows the way from the envelope.
        let reply_to = (self.kind == Kind::Asking).then(|| Arc::clone(&self.back));
        let replied_by = (self.kind == Kind::Replies).then(|| u32::from(arrival.whole.key.data_id));
        let body = EventBody { arrival, from };
        Ok(Delivery { body, envelope, tag: self.delivered, redelivered: false, reply_to, replied_by, mark: None })
    }

    /// Nothing: nobody waits for it.
    async fn ack(&mut self, _: u64, _: bool) -> Result<(), Fault> {
        Ok(())
    }

    async fn held(&mut self) -> Result<u64, Fault> {
        Ok(0)
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn counts(&self) -> Counts {
        let mut counts = counts::of_receiver(&self.receiver.counts());
        counts.insert("events_taken".to_owned(), self.delivered);
        counts.insert("assembly_us".to_owned(), self.assembly_ns / 1000);
        counts
    }

    async fn close(mut self) {
        if let Some(session) = self.session.take() {
            session.leave().await;
        }
    }
}
