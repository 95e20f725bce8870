//! What sends: each message or reply is an event that leaves at once, and nobody confirms it.

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
    ways: Ways,
    /// Ends after the last event.
    _syncing: Option<Syncing>,
    facts: ConnectionFacts,
}

/// Where events go. Those that wait for room share their sender.
pub(crate) enum Ways {
    /// Messages, to whoever their slot selects.
    Messages(Arc<Mutex<Sender>>),
    /// Replies through a load balancer, to the slot of their producer.
    BySlot(Arc<Mutex<Sender>>),
    /// Replies to each producer by a sender of its own.
    ToEach(Vec<Arc<Mutex<Sender>>>),
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

/// An event on its way.
struct Begun<'a> {
    sender: &'a Arc<Mutex<Sender>>,
    sending: Sending,
    /// Its first bytes.
    head: [u8; envelope::BYTES],
}

impl Ways {
    /// For messages.
    pub fn messages(sender: Sender) -> Self {
        Self::Messages(shared(sender))
    }

    /// For replies through a load balancer.
    pub fn by_slot(sender: Sender) -> Self {
        Self::BySlot(shared(sender))
    }

    /// For replies past one; by producer.
    pub fn to_each(senders: Vec<Sender>) -> Self {
        Self::ToEach(senders.into_iter().map(shared).collect())
    }

    /// The smallest send buffer that the kernel granted a socket.
    pub fn send_bytes(&self) -> Option<usize> {
        self.senders().iter().map(|sender| lock(sender).send_bytes()).min()
    }

    fn senders(&self) -> &[Arc<Mutex<Sender>>] {
        match self {
            Self::Messages(sender) | Self::BySlot(sender) => std::slice::from_ref(sender),
            Self::ToEach(senders) => senders,
        }
    }

    /// The sender of an event, with the event begun.
    fn begin(&self, event: &Envelope, bytes: usize) -> Result<(&Arc<Mutex<Sender>>, Sending), Fault> {
        let clock_us = u64::try_from(UNIX_EPOCH.elapsed().unwrap_or_default().as_micros()).unwrap_or(u64::MAX);
        let slot = u16::try_from(event.producer).unwrap_or(u16::MAX);
        let (sender, begun) = match self {
            Self::Messages(sender) => (sender, lock(sender).begin(event.sequence, clock_us, bytes)),
            Self::BySlot(sender) => (sender, lock(sender).begin_within(slot, event.sequence, clock_us, bytes)),
            Self::ToEach(senders) => {
                let sender = senders.get(usize::from(slot));
                let nobody =
                    || Fault::new(FaultKind::Broken, "a reply is for a producer that does not exist; report this");
                let sender = sender.ok_or_else(nobody)?;
                (sender, lock(sender).begin(event.sequence, clock_us, bytes))
            }
        };
        let too_long = |_| Fault::new(FaultKind::Refused, "an event of EJFAT has at most 4 GiB; use smaller messages");
        Ok((sender, begun.map_err(too_long)?))
    }
}

impl EjfatPublisher {
    pub(crate) fn new(ways: Ways, syncing: Option<Syncing>, facts: ConnectionFacts) -> Self {
        Self { ways, _syncing: syncing, facts }
    }

    /// What became of all packets so far.
    pub fn sent(&self) -> Sent {
        let mut all = Sent::default();
        self.ways.senders().iter().for_each(|sender| all += lock(sender).sent());
        all
    }

    /// The event of a message or a reply.
    fn begin(&self, message: &Outgoing) -> Result<Begun<'_>, Fault> {
        let broken = |sentence: &str| Fault::new(FaultKind::Broken, sentence);
        let envelope = Envelope::decode(message.envelope.as_str().as_bytes());
        let envelope = envelope.ok_or_else(|| broken("a message has no envelope; report this"))?;
        let head = envelope::encode(&envelope);
        let (sender, sending) = self.ways.begin(&envelope, head.len() + message.body.len())?;
        Ok(Begun { sender, sending, head })
    }
}

fn shared(sender: Sender) -> Arc<Mutex<Sender>> {
    Arc::new(Mutex::new(sender))
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
        let Begun { sender, mut sending, head } = match self.begin(&message) {
            Ok(begun) => begun,
            Err(fault) => return Publishing::Done(ready((message.body, Err(fault)))),
        };
        let body = message.body;
        if lock(sender).go_on(&mut sending, &head, &body) {
            return Publishing::Done(ready(done(body)));
        }
        let sender = Arc::clone(sender);
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
