//! A broker in memory, with faults on demand.

use crate::{
    envelope::Envelope,
    ports::{
        ConnectionFacts, Delivery, Fault, FaultKind, Outcome, Outgoing, Publisher, Service, Subscriber, Transport,
    },
};
use profile::{Overflow, QueuePlan};
use std::{
    collections::{HashMap, VecDeque},
    future::{Ready, ready},
    sync::{Arc, Mutex, MutexGuard},
};
use tokio::sync::Notify;

/// What goes wrong, each by the number of the message that reaches the broker, from 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Loses every n-th message after accepting it.
    pub lose_every: Option<u64>,
    /// Delivers every n-th message twice.
    pub duplicate_every: Option<u64>,
    /// Delivers every n-th message after the one that follows it.
    pub swap_every: Option<u64>,
    /// Flips a bit in every n-th message.
    pub corrupt_every: Option<u64>,
    /// Refuses every n-th publish.
    pub reject_every: Option<u64>,
    /// Breaks every connection at the n-th message.
    pub break_at: Option<u64>,
    /// Refuses every login.
    pub refuse_login: bool,
}

/// A broker that all ranks of one test share. Deliveries are not redelivered: a consumer that ends
/// keeps what it was given.
#[derive(Debug, Clone, Default)]
pub struct MemoryBroker {
    faults: Faults,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    queues: HashMap<String, Queue>,
    arrivals: u64,
    broken: bool,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<(Vec<u8>, Envelope)>,
    held_back: Option<(Vec<u8>, Envelope)>,
    max_length: Option<u64>,
    overflow: Option<Overflow>,
}

impl MemoryBroker {
    /// A broker with these faults.
    pub fn with(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    /// Names of the queues that exist.
    pub fn queues(&self) -> Vec<String> {
        self.lock().queues.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no worker panics with the lock")
    }

    fn login(&self) -> Result<(), Fault> {
        if self.faults.refuse_login {
            Err(Fault::new(FaultKind::Login, "the service refuses the login"))
        } else {
            Ok(())
        }
    }

    fn accept(&self, queue: &str, mut body: Vec<u8>, envelope: Envelope) -> Result<Outcome, Fault> {
        let mut state = self.lock();
        state.arrivals += 1;
        let arrival = state.arrivals;
        let hit = |every: Option<u64>| every.is_some_and(|n| arrival.is_multiple_of(n));
        state.broken |= self.faults.break_at.is_some_and(|n| arrival >= n);
        if state.broken {
            drop(state);
            self.arrived.notify_waiters();
            return Err(Fault::new(FaultKind::Lost, "the broker closed the connection"));
        }
        let Some(queue) = state.queues.get_mut(queue) else { return Ok(Outcome::Returned) };
        let full = queue.max_length.is_some_and(|max| queue.ready.len() as u64 >= max);
        if hit(self.faults.reject_every) || (full && queue.overflow == Some(Overflow::RejectPublish)) {
            return Ok(Outcome::Rejected);
        }
        if hit(self.faults.lose_every) {
            return Ok(Outcome::Accepted);
        }
        if hit(self.faults.corrupt_every) {
            body[0] ^= 1;
        }
        if hit(self.faults.swap_every) && queue.held_back.is_none() {
            queue.held_back = Some((body, envelope));
        } else {
            if hit(self.faults.duplicate_every) {
                queue.ready.push_back((body.clone(), envelope));
            }
            queue.ready.push_back((body, envelope));
            queue.ready.extend(queue.held_back.take());
        }
        drop(state);
        self.arrived.notify_waiters();
        Ok(Outcome::Accepted)
    }
}

impl Transport for MemoryBroker {
    type Publisher = MemoryPublisher;
    type Subscriber = MemorySubscriber;

    async fn connect_publisher(&self, _index: u32, queue: &QueuePlan) -> Result<MemoryPublisher, Fault> {
        self.login()?;
        Ok(MemoryPublisher { broker: self.clone(), queue: queue.name.clone(), facts: ConnectionFacts::default() })
    }

    async fn connect_subscriber(&self, _index: u32, queue: &QueuePlan) -> Result<MemorySubscriber, Fault> {
        self.login()?;
        let (broker, queue) = (self.clone(), queue.name.clone());
        Ok(MemorySubscriber { broker, queue, facts: ConnectionFacts::default(), tag: 0 })
    }

    async fn declare(&self, queues: &[QueuePlan]) -> Result<Service, Fault> {
        let mut state = self.lock();
        for queue in queues {
            let QueuePlan { max_length, overflow, .. } = *queue;
            state.queues.insert(queue.name.clone(), Queue { max_length, overflow: Some(overflow), ..Queue::default() });
        }
        Ok(Service { product: "memory".to_owned(), version: "1".to_owned() })
    }

    async fn delete(&self, queues: &[QueuePlan]) -> Result<(), Fault> {
        let mut state = self.lock();
        for queue in queues {
            state.queues.remove(&queue.name);
        }
        Ok(())
    }
}

/// A producer's connection to a [`MemoryBroker`].
#[derive(Debug)]
pub struct MemoryPublisher {
    broker: MemoryBroker,
    queue: String,
    facts: ConnectionFacts,
}

impl Publisher for MemoryPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Written = Ready<(Vec<u8>, Result<Self::Confirm, Fault>)>;

    fn publish(&mut self, message: Outgoing) -> Self::Written {
        let envelope = Envelope::decode(message.envelope.as_str().as_bytes()).expect("the engine made it");
        let outcome = self.broker.accept(&self.queue, message.body.clone(), envelope);
        ready((message.body, outcome.map(|outcome| ready(Ok(outcome)))))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}

/// A consumer's connection to a [`MemoryBroker`].
#[derive(Debug)]
pub struct MemorySubscriber {
    broker: MemoryBroker,
    queue: String,
    facts: ConnectionFacts,
    tag: u64,
}

impl Subscriber for MemorySubscriber {
    type Body = Vec<u8>;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        let known = self.broker.lock().queues.contains_key(&self.queue);
        if known { Ok(()) } else { Err(Fault::new(FaultKind::Refused, format!("no queue `{}`", self.queue))) }
    }

    async fn next(&mut self) -> Result<Delivery<Vec<u8>>, Fault> {
        loop {
            // Made before looking, so that what arrives in between is not missed.
            let arrived = self.broker.arrived.notified();
            let (message, broken) = {
                let mut state = self.broker.lock();
                let message = state.queues.get_mut(&self.queue).and_then(|queue| queue.ready.pop_front());
                (message, state.broken)
            };
            if let Some((body, envelope)) = message {
                self.tag += 1;
                return Ok(Delivery { body, envelope: Some(envelope), tag: self.tag, redelivered: false });
            }
            if broken {
                return Err(Fault::new(FaultKind::Lost, "the broker closed the connection"));
            }
            arrived.await;
        }
    }

    async fn ack(&mut self, _tag: u64, _multiple: bool) -> Result<(), Fault> {
        Ok(())
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}
