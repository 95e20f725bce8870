//! A producer: each message is an event that leaves at once, and nobody confirms it.

use crate::{counts, envelope};
use ejfat::{Sender, Sending, Sent, Syncing};
use engine::{
    envelope::Envelope,
    ports::{Alarm, ConnectionFacts, Counts, Fault, FaultKind, Outcome, Outgoing, Publisher},
};
use std::{
    future::{Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::UNIX_EPOCH,
};
use tokio::time::sleep;

type Published = (Vec<u8>, Result<Ready<Result<Outcome, Fault>>, Fault>);

/// Publishes events.
pub struct EjfatPublisher {
    /// Events that wait for room share it.
    sender: Arc<Mutex<Sender>>,
    /// Ends after the last event.
    _syncing: Option<Syncing>,
    facts: ConnectionFacts,
}

/// Resolves when the kernel has the last packet of an event.
pub enum Publishing {
    /// It has.
    Done(Ready<Published>),
    /// A socket was full; nobody's thread waits for it.
    Waiting(Pin<Box<dyn Future<Output = Published> + Send>>),
}

impl Future for Publishing {
    type Output = Published;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Published> {
        match self.get_mut() {
            Self::Done(published) => Pin::new(published).poll(context),
            Self::Waiting(waiting) => waiting.as_mut().poll(context),
        }
    }
}

impl EjfatPublisher {
    pub(crate) fn new(sender: Sender, syncing: Option<Syncing>, facts: ConnectionFacts) -> Self {
        Self { sender: Arc::new(Mutex::new(sender)), _syncing: syncing, facts }
    }

    /// What became of all packets so far.
    pub fn sent(&self) -> Sent {
        lock(&self.sender).sent()
    }

    /// The event of a message, and its first bytes.
    fn begin(&self, message: &Outgoing) -> Result<(Sending, [u8; envelope::BYTES]), Fault> {
        let broken = |sentence: &str| Fault::new(FaultKind::Broken, sentence);
        let envelope = Envelope::decode(message.envelope.as_str().as_bytes());
        let envelope = envelope.ok_or_else(|| broken("a message has no envelope; report this"))?;
        let clock_us = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        let head = envelope::encode(&envelope);
        let sending = lock(&self.sender).begin(envelope.sequence, clock_us, head.len() + message.body.len());
        let too_long = |_| Fault::new(FaultKind::Refused, "an event of EJFAT has at most 4 GiB; use smaller messages");
        Ok((sending.map_err(too_long)?, head))
    }
}

fn lock(sender: &Mutex<Sender>) -> MutexGuard<'_, Sender> {
    sender.lock().unwrap_or_else(PoisonError::into_inner)
}

fn done(body: Vec<u8>) -> Published {
    (body, Ok(ready(Ok(Outcome::NotAsked))))
}

impl Publisher for EjfatPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Publishing = Publishing;

    fn publish(&mut self, message: Outgoing) -> Publishing {
        let (mut sending, head) = match self.begin(&message) {
            Ok(begun) => begun,
            Err(fault) => return Publishing::Done(ready((message.body, Err(fault)))),
        };
        let body = message.body;
        if lock(&self.sender).go_on(&mut sending, &head, &body) {
            return Publishing::Done(ready(done(body)));
        }
        let sender = Arc::clone(&self.sender);
        Publishing::Waiting(Box::pin(async move {
            loop {
                sleep(Sending::WAIT).await;
                if lock(&sender).go_on(&mut sending, &head, &body) {
                    return done(body);
                }
            }
        }))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn counts(&self) -> Counts {
        counts::of_sender(&self.sent())
    }

    /// None: nothing holds a sender back.
    fn alarms(&self) -> Vec<Arc<Alarm>> {
        Vec::new()
    }

    async fn close(self) {}
}
