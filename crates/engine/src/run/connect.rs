//! Connects the workers of a rank, and subscribes those that consume.

use crate::{
    ports::{Comm, Fault, Payloads, Role, Subscriber, Transport, Worker},
    run::rank::Rank,
    worker::reply::Replier,
};
use profile::{Source, Target};
use std::time::Duration;

/// A connected producer, its bodies and the connection for its replies, waiting for the start.
pub(crate) struct Producing<T: Transport, P: Payloads> {
    pub index: u32,
    pub publisher: T::Publisher,
    pub source: P::Source,
    /// Where the pattern has replies.
    pub replies: Option<T::Subscriber>,
}

/// A connected consumer and its connection for replies, waiting for the start.
pub(crate) struct Consuming<T: Transport> {
    pub index: u32,
    pub subscriber: T::Subscriber,
    /// Where the pattern has replies.
    pub replier: Option<Replier<T::Publisher>>,
}

/// The workers of a rank.
pub(crate) type Connected<T, P> = (Vec<Producing<T, P>>, Vec<Consuming<T>>);

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Connects this rank's workers one after another: 64 simultaneous handshakes would compete for the broker, and the
    /// slowest might miss its limit.
    pub fn connect(&self, sources: Vec<P::Source>) -> Result<Connected<T, P>, Fault> {
        let mut producing = Vec::new();
        for (index, source) in self.role.producers.iter().copied().zip(sources) {
            let worker = Worker { role: Role::Producer, index, attempt: 0 };
            let publisher = self.publisher("connecting a producer", worker, self.plan.target_of(index))?;
            let replies = self.plan.reply_source_of(index);
            let replies = replies.map(|source| self.subscriber("connecting a producer's replies", worker, source));
            producing.push(Producing { index, publisher, source, replies: replies.transpose()? });
        }
        let mut consuming = Vec::new();
        for index in self.role.consumers.iter().copied() {
            let worker = Worker { role: Role::Consumer, index, attempt: 0 };
            let subscriber = self.subscriber("connecting a consumer", worker, self.plan.source_of(index))?;
            let replies = self.plan.reply_target();
            let replies = replies.map(|target| self.publisher("connecting a consumer's replies", worker, target));
            let (service, clock) = (&self.plan.service, self.place.clock);
            let replier = replies.transpose()?.map(|publisher| {
                Replier::new(publisher, index, service.reply, self.plan.seed, service.reply_in_flight, clock)
            });
            consuming.push(Consuming { index, subscriber, replier });
        }
        Ok((producing, consuming))
    }

    fn publisher(&self, step: &str, worker: Worker, target: Target) -> Result<T::Publisher, Fault> {
        let (transport, limit) = (self.transport.clone(), self.connect_limit());
        self.call(step, limit, async move { transport.connect_publisher(worker, &target).await })
    }

    fn subscriber(&self, step: &str, worker: Worker, source: Source) -> Result<T::Subscriber, Fault> {
        let (transport, limit) = (self.transport.clone(), self.connect_limit());
        self.call(step, limit, async move { transport.connect_subscriber(worker, &source).await })
    }

    /// Limit for all connections of a worker, one after the other; each connection also has its own limit.
    fn connect_limit(&self) -> Duration {
        self.plan.limits.connect * self.plan.service.connections + Duration::from_secs(1)
    }

    /// Subscribes consumers, and producers to their replies.
    pub fn subscribe(&self, workers: Connected<T, P>) -> Result<Connected<T, P>, Fault> {
        let (producing, consuming) = workers;
        let subscribe = |mut subscriber: T::Subscriber| {
            self.call("subscribing", self.plan.limits.broker, async move {
                subscriber.subscribe().await?;
                Ok(subscriber)
            })
        };
        let producing = producing.into_iter().map(|producing| {
            let replies = producing.replies.map(subscribe).transpose()?;
            Ok(Producing { replies, ..producing })
        });
        let consuming = consuming
            .into_iter()
            .map(|consuming| Ok(Consuming { subscriber: subscribe(consuming.subscriber)?, ..consuming }));
        Ok((producing.collect::<Result<_, Fault>>()?, consuming.collect::<Result<_, Fault>>()?))
    }
}
