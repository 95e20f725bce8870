//! A broker in memory, with faults on demand.

use super::memory_faults::{Faults, Injected, Kind};
use crate::{
    envelope::Envelope,
    ports::{
        Alarm, ConnectionFacts, Delivery, Fault, FaultKind, Look, Loss, Number, Outcome, Outgoing, Publisher, ReplyTo,
        Service, Subscriber, Transport, Undeleted, Until, Worker,
    },
};
use profile::{Binding, Exchange, Overflow, QueuePlan, Source, Target};
use std::{
    collections::{HashMap, VecDeque},
    future::{Future, Ready, ready},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};

/// A message that was held back is delivered anyway if nothing follows it for this long.
const HELD_BACK_MAX: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A broker that all ranks of one test share. A consumer that ends by itself keeps its deliveries.
#[derive(Debug, Clone, Default)]
pub struct MemoryBroker {
    faults: Faults,
    state: Arc<Mutex<State>>,
    arrived: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    exchanges: HashMap<String, Vec<(String, String)>>,
    queues: HashMap<String, Queue>,
    publishes: u64,
    copies: u64,
    injected: Injected,
    acks: u64,
    broken: bool,
    stalled_until: Option<Instant>,
    /// How often all connections were ended. Those of an earlier time are over.
    generation: u64,
    /// Tries to connect that fail.
    unreachable: u32,
    /// Publishing connections that were made after an end.
    made_again: u32,
    consumers: u64,
    /// Deliveries to each consumer that are not acknowledged: their tags, queues and messages.
    unacknowledged: HashMap<u64, VecDeque<(u64, String, Stored)>>,
    /// The number in the properties of each message of an external program.
    mark: Option<Number>,
}

#[derive(Debug, Default)]
struct Queue {
    ready: VecDeque<Stored>,
    held_back: Option<Stored>,
    max_length: Option<u64>,
    overflow: Option<Overflow>,
    /// The consumer that it belongs to.
    owner: Option<u64>,
    consumers: u32,
}

#[derive(Debug, Clone)]
struct Stored {
    body: Vec<u8>,
    envelope: Option<Envelope>,
    reply_to: Option<Arc<str>>,
    replied_by: Option<u32>,
    redelivered: bool,
}

impl Queue {
    fn is_full(&self) -> bool {
        self.max_length.is_some_and(|max| self.ready.len() as u64 >= max)
    }
}

impl State {
    fn declare(&mut self, plan: &QueuePlan, owner: Option<u64>) {
        let QueuePlan { max_length, overflow, .. } = *plan;
        let queue = Queue { max_length, overflow: Some(overflow), owner, ..Queue::default() };
        self.queues.insert(plan.name.clone(), queue);
        if let Some(Binding { exchange, key }) = &plan.binding {
            self.exchanges.entry(exchange.clone()).or_default().push((key.clone(), plan.name.clone()));
        }
    }

    fn remove(&mut self, queue: &str) {
        self.queues.remove(queue);
        self.exchanges.values_mut().for_each(|bound| bound.retain(|(_, name)| name != queue));
    }

    /// Ends all connections: what was not acknowledged returns to its queue, and queues of single consumers end.
    fn drop_connections(&mut self, unreachable: u32) {
        self.generation += 1;
        self.unreachable = unreachable;
        self.injected.dropped += 1;
        for (_, name, stored) in self.unacknowledged.drain().flat_map(|(_, deliveries)| deliveries.into_iter().rev()) {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.ready.push_front(Stored { redelivered: true, ..stored });
            }
        }
        let owned = self.queues.iter().filter(|(_, queue)| queue.owner.is_some());
        let owned: Vec<_> = owned.map(|(name, _)| name.clone()).collect();
        owned.iter().for_each(|name| self.remove(name));
    }

    /// The queues that a message goes to.
    fn route(&self, exchange: &str, key: &str) -> Vec<String> {
        match self.exchanges.get(exchange) {
            _ if exchange.is_empty() => self.queues.contains_key(key).then(|| key.to_owned()).into_iter().collect(),
            None => Vec::new(),
            Some(bound) => bound.iter().filter(|(wanted, _)| wanted == key).map(|(_, queue)| queue.clone()).collect(),
        }
    }

    /// Puts one copy into a queue, unless it is to be lost.
    fn enqueue(&mut self, name: &str, mut stored: Stored, faults: Option<&Faults>) {
        let State { queues, injected, copies, .. } = self;
        let queue = queues.get_mut(name).expect("it was routed there");
        let Some(faults) = faults else {
            queue.ready.push_back(stored);
            return;
        };
        *copies += 1;
        let number = *copies;
        let hit = |kind| faults.hit(kind, number);
        if hit(Kind::Lose) {
            injected.lost += 1;
            return;
        }
        if hit(Kind::Corrupt) {
            injected.corrupted += 1;
            stored.body[0] ^= 1;
        }
        if hit(Kind::Swap) && queue.held_back.is_none() {
            queue.held_back = Some(stored);
            return;
        }
        if hit(Kind::Duplicate) {
            injected.duplicated += 1;
            queue.ready.push_back(stored.clone());
        }
        if hit(Kind::Redeliver) {
            injected.redelivered += 1;
            queue.ready.push_back(stored.clone());
            stored.redelivered = true;
        }
        let forged = stored.envelope.filter(|_| hit(Kind::Forge)).map(|envelope| Stored {
            envelope: Some(Envelope { sequence: envelope.sequence ^ 1, seal: !envelope.seal, ..envelope }),
            ..stored.clone()
        });
        let producer = |stored: &Stored| stored.envelope.map(|envelope| envelope.producer);
        let this = producer(&stored);
        queue.ready.push_back(stored);
        if queue.held_back.as_ref().is_some_and(|held| producer(held) == this) {
            injected.swapped += 1;
            queue.ready.extend(queue.held_back.take());
        }
        if hit(Kind::Foreign) {
            injected.foreign += 1;
            let body = b"not of this run".to_vec();
            let nobody = Stored { body, envelope: None, reply_to: None, replied_by: None, redelivered: false };
            queue.ready.push_back(nobody);
        }
        injected.forged += u64::from(forged.is_some());
        queue.ready.extend(forged);
    }
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

    /// Each message has this number in its properties from now on.
    pub fn mark(&self, mark: Number) {
        self.lock().mark = Some(mark);
    }

    /// How often each fault was injected.
    pub fn injected(&self) -> Injected {
        self.lock().injected
    }

    /// How often consumers acknowledged something.
    pub fn acks(&self) -> u64 {
        self.lock().acks
    }

    fn held_in(&self, queue: &str) -> Result<u64, Fault> {
        let state = self.lock();
        let found = state.queues.get(queue).filter(|_| !state.broken);
        let held = found.map(|queue| (queue.ready.len() + usize::from(queue.held_back.is_some())) as u64);
        held.ok_or_else(|| Fault::new(FaultKind::Lost, format!("no queue `{queue}`")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no worker panics with the lock")
    }

    /// Returns the number of times that connections were ended before this one.
    fn login(&self) -> Result<u64, Fault> {
        let mut state = self.lock();
        if self.faults.refuse_login {
            return Err(Fault::new(FaultKind::Login, "the service refuses the login"));
        }
        if state.unreachable > 0 {
            state.unreachable -= 1;
            return Err(Fault::new(FaultKind::Unreachable, "nobody listens"));
        }
        Ok(state.generation)
    }

    fn accept(&self, exchange: &str, key: &str, stored: &Stored, generation: u64) -> Result<Outcome, Fault> {
        let mut state = self.lock();
        if state.generation != generation {
            return Err(ended());
        }
        // A fault on messages does not hit replies, and the other way round.
        let faults = (stored.replied_by.is_some() == self.faults.replies).then_some(&self.faults);
        state.publishes += u64::from(faults.is_some());
        let publish = state.publishes;
        if let Some((_, time)) = self.faults.stall.filter(|(at, _)| *at == publish && faults.is_some()) {
            state.stalled_until = Some(Instant::now() + time);
        }
        state.broken |= self.faults.break_at.is_some_and(|n| publish >= n);
        if state.broken {
            drop(state);
            self.arrived.notify_waiters();
            return Err(Fault::new(FaultKind::Lost, "the broker closed the connection"));
        }
        let drops = faults.is_some_and(|faults| faults.drop_every.is_some_and(|n| publish.is_multiple_of(n)));
        if drops {
            // Every other time the message was accepted, and only its confirm is lost.
            let arrives = state.injected.dropped.is_multiple_of(2);
            let queues = if arrives { state.route(exchange, key) } else { Vec::new() };
            queues.iter().for_each(|name| state.enqueue(name, stored.clone(), None));
            state.drop_connections(self.faults.unreachable);
            drop(state);
            self.arrived.notify_waiters();
            return Err(ended());
        }
        let queues = state.route(exchange, key);
        if queues.is_empty() {
            return Ok(Outcome::Returned);
        }
        if faults.is_some_and(|faults| faults.hit(Kind::Reject, publish)) {
            state.injected.rejected += 1;
            return Ok(Outcome::Rejected);
        }
        let mut outcome = Outcome::Accepted;
        for name in queues {
            let queue = &state.queues[&name];
            // As RabbitMQ does: the other queues get it, and the publisher learns that not all did.
            if queue.is_full() && queue.overflow == Some(Overflow::RejectPublish) {
                outcome = Outcome::Rejected;
            } else {
                state.enqueue(&name, stored.clone(), faults);
            }
        }
        drop(state);
        self.arrived.notify_waiters();
        Ok(outcome)
    }
}

fn ended() -> Fault {
    Fault::lost(Loss::Closed, "the broker ended the connection")
}

impl Transport for MemoryBroker {
    type Publisher = MemoryPublisher;
    type Subscriber = MemorySubscriber;

    async fn connect_publisher(&self, _worker: Worker, target: &Target) -> Result<MemoryPublisher, Fault> {
        let (generation, facts) = (self.login()?, ConnectionFacts::default());
        let mut state = self.lock();
        state.made_again += u32::from(generation > 0);
        let rejects = generation > 0 && state.made_again <= self.faults.rejecting;
        let target = target.clone();
        Ok(MemoryPublisher { broker: self.clone(), target, published: 0, facts, generation, rejects })
    }

    async fn connect_subscriber(&self, _worker: Worker, source: &Source) -> Result<MemorySubscriber, Fault> {
        let generation = self.login()?;
        let (broker, queue, acks) = (self.clone(), source.queue.clone(), source.acks);
        let (facts, since) = (ConnectionFacts::default(), Instant::now());
        let mut state = self.lock();
        state.consumers += 1;
        Ok(MemorySubscriber { broker, queue, facts, tag: 0, since, generation, id: state.consumers, acks })
    }

    async fn declare(&self, exchanges: &[Exchange], queues: &[QueuePlan]) -> Result<Service, Fault> {
        let mut state = self.lock();
        for exchange in exchanges.iter().filter(|exchange| !exchange.attached) {
            state.exchanges.insert(exchange.name.clone(), Vec::new());
        }
        queues.iter().filter(|queue| !queue.attached).for_each(|queue| state.declare(queue, None));
        Ok(Service { product: "memory".to_owned(), version: "1".to_owned(), notes: Vec::new() })
    }

    async fn held(&self, queues: &[QueuePlan]) -> Result<u64, Fault> {
        queues.iter().map(|queue| self.held_in(&queue.name)).sum()
    }

    async fn look(&self, queues: &[QueuePlan], until: Until, patience: Duration) -> Result<Vec<Look>, Fault> {
        let since = Instant::now();
        loop {
            let of = |queue: &QueuePlan| {
                let consumers = self.lock().queues.get(&queue.name).map_or(0, |queue| queue.consumers);
                Ok(Look { messages: self.held_in(&queue.name)?, consumers })
            };
            let looks = queues.iter().map(of).collect::<Result<Vec<_>, Fault>>()?;
            if until.holds(&looks) || since.elapsed() >= patience {
                return Ok(looks);
            }
            sleep_until(Instant::now() + LOOK_EVERY).await;
        }
    }

    async fn delete(&self, exchanges: &[Exchange], queues: &[QueuePlan]) -> Result<Vec<Undeleted>, Fault> {
        if self.faults.refuse_deletes {
            return Err(Fault::new(FaultKind::Login, "the service refuses the login"));
        }
        if self.faults.silent_deletes {
            std::future::pending::<()>().await;
        }
        let mut state = self.lock();
        queues.iter().for_each(|queue| state.remove(&queue.name));
        for exchange in exchanges {
            state.exchanges.remove(&exchange.name);
        }
        Ok(Vec::new())
    }
}

/// A publishing connection to a [`MemoryBroker`].
#[derive(Debug)]
pub struct MemoryPublisher {
    broker: MemoryBroker,
    target: Target,
    published: usize,
    facts: ConnectionFacts,
    generation: u64,
    rejects: bool,
}

impl Publisher for MemoryPublisher {
    type Confirm = Ready<Result<Outcome, Fault>>;
    type Publishing = Pin<Box<dyn Future<Output = (Vec<u8>, Result<Self::Confirm, Fault>)> + Send>>;

    fn publish(&mut self, message: Outgoing) -> Self::Publishing {
        let Outgoing { body, envelope, reply } = message;
        let Target { exchange, keys, reply_to, .. } = &self.target;
        let (key, replied_by) = match reply {
            Some(ReplyTo { key, consumer }) => (key.to_string(), Some(consumer)),
            None => (keys[self.published % keys.len()].clone(), None),
        };
        self.published += 1;
        let envelope = Envelope::decode(envelope.as_str().as_bytes());
        let stored = Stored {
            body: body.clone(),
            envelope,
            reply_to: reply_to.as_deref().map(Arc::from),
            replied_by,
            redelivered: false,
        };
        let outcome = match self.rejects {
            true => Ok(Outcome::Rejected),
            false => self.broker.accept(exchange, &key, &stored, self.generation),
        };
        let written = (body, outcome.map(|outcome| ready(Ok(outcome))));
        match self.broker.lock().stalled_until.filter(|until| *until > Instant::now()) {
            Some(until) => Box::pin(async move {
                sleep_until(until).await;
                written
            }),
            None => Box::pin(ready(written)),
        }
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    fn alarms(&self) -> Vec<Arc<Alarm>> {
        Vec::new()
    }

    async fn close(self) {}
}

/// A consuming connection to a [`MemoryBroker`].
#[derive(Debug)]
pub struct MemorySubscriber {
    broker: MemoryBroker,
    queue: QueuePlan,
    facts: ConnectionFacts,
    tag: u64,
    since: Instant,
    generation: u64,
    id: u64,
    acks: bool,
}

impl MemorySubscriber {
    fn name(&self) -> &str {
        &self.queue.name
    }
}

impl Subscriber for MemorySubscriber {
    type Body = Vec<u8>;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        let mut state = self.broker.lock();
        if state.generation != self.generation {
            return Err(ended());
        }
        if self.queue.exclusive {
            state.declare(&self.queue, Some(self.id));
        }
        let queue = state.queues.get_mut(self.name()).map(|queue| queue.consumers += 1);
        if queue.is_some() {
            Ok(())
        } else {
            Err(Fault::new(FaultKind::Refused, format!("no queue `{}`", self.name())))
        }
    }

    async fn next(&mut self) -> Result<Delivery<Vec<u8>>, Fault> {
        if let Some((_, late)) = self.broker.faults.late_reader.filter(|(end, _)| self.name().ends_with(end))
            && self.tag == 0
        {
            // Counted from the subscription, so that a cancelled and repeated call waits no longer.
            sleep_until(self.since + late).await;
        }
        loop {
            let stalled_until = self.broker.lock().stalled_until.filter(|until| *until > Instant::now());
            if let Some(until) = stalled_until {
                sleep_until(until).await;
            }
            // Made before looking, so that what arrives in between is not missed.
            let arrived = self.broker.arrived.notified();
            let (message, held_back, broken) = {
                let mut state = self.broker.lock();
                if state.generation != self.generation {
                    return Err(ended());
                }
                let broken = state.broken;
                let queue = state.queues.get_mut(self.name());
                let (message, held_back) = match queue {
                    Some(queue) => (queue.ready.pop_front(), queue.held_back.is_some()),
                    None => (None, false),
                };
                if let Some(stored) = message.as_ref().filter(|_| self.acks) {
                    let delivered = (self.tag + 1, self.queue.name.clone(), Stored::clone(stored));
                    state.unacknowledged.entry(self.id).or_default().push_back(delivered);
                }
                (message, held_back, broken)
            };
            if let Some(stored) = message {
                self.tag += 1;
                let Stored { body, envelope, reply_to, replied_by, redelivered } = stored;
                let mark = self.broker.lock().mark;
                return Ok(Delivery { body, envelope, tag: self.tag, redelivered, reply_to, replied_by, mark });
            }
            if broken {
                return Err(Fault::new(FaultKind::Lost, "the broker closed the connection"));
            }
            if !held_back {
                arrived.await;
            } else if timeout(HELD_BACK_MAX, arrived).await.is_err() {
                let mut state = self.broker.lock();
                if let Some(queue) = state.queues.get_mut(self.name()) {
                    queue.ready.extend(queue.held_back.take());
                }
            }
        }
    }

    async fn ack(&mut self, tag: u64, multiple: bool) -> Result<(), Fault> {
        let mut state = self.broker.lock();
        if state.generation != self.generation {
            return Err(ended());
        }
        assert!(tag <= self.tag, "RabbitMQ ends a channel on which an unknown delivery is acknowledged");
        state.acks += 1;
        let deliveries = state.unacknowledged.entry(self.id).or_default();
        deliveries.retain(|(known, ..)| *known != tag && (!multiple || *known > tag));
        Ok(())
    }

    async fn held(&mut self) -> Result<u64, Fault> {
        self.broker.held_in(self.name())
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.facts
    }

    async fn close(self) {}
}

impl Drop for MemorySubscriber {
    fn drop(&mut self) {
        let mut state = self.broker.lock();
        if state.queues.get(&self.queue.name).is_some_and(|queue| queue.owner == Some(self.id)) {
            state.remove(&self.queue.name);
        }
    }
}
