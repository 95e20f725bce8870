//! How the workers of a rank connect again: as before, to the next address of their side.

use crate::{
    ports::{Publisher, Role, Subscriber, Transport, Worker},
    run::{alarms::ConnectionAlarms, times::Times},
    time::{clock::Clock, delay::mixed},
    worker::{
        progress::Progress,
        reconnect::{Connection, Dial, Reconnector},
    },
};
use profile::{Plan, Reconnect, Source, Target};
use std::sync::Arc;

/// What all workers of a rank need to connect again.
pub(crate) struct Again<'a, T> {
    pub transport: &'a Arc<T>,
    pub plan: &'a Plan,
    pub clock: Clock,
    pub times: &'a Times,
    pub alarms: &'a ConnectionAlarms,
}

impl<T: Transport> Again<'_, T> {
    /// For a connection that publishes; `None` if its loss ends the run.
    pub fn publisher(
        &self,
        role: Role,
        index: u32,
        target: Target,
        progress: &Progress,
    ) -> Option<Reconnector<T::Publisher>> {
        let (transport, alarms) = (self.transport.clone(), self.alarms.clone());
        let dial: Dial<T::Publisher> = Box::new(move |attempt, _| {
            let (transport, alarms, target) = (transport.clone(), alarms.clone(), target.clone());
            Box::pin(async move {
                let publisher = transport.connect_publisher(Worker { role, index, attempt }, &target).await?;
                alarms.add(publisher.alarms());
                Ok(publisher)
            })
        });
        let rule = self.plan.service.reconnect?;
        Some(self.reconnector(rule, (role, index), role == Role::Consumer, dial, progress))
    }

    /// For a connection that consumes; `None` if its loss ends the run.
    pub fn subscriber(
        &self,
        role: Role,
        index: u32,
        source: Source,
        progress: &Progress,
    ) -> Option<Reconnector<T::Subscriber>> {
        let transport = self.transport.clone();
        let dial: Dial<T::Subscriber> = Box::new(move |attempt, delivered| {
            let (transport, source) = (transport.clone(), Source { delivered, ..source.clone() });
            Box::pin(async move {
                let mut subscriber = transport.connect_subscriber(Worker { role, index, attempt }, &source).await?;
                subscriber.subscribe().await?;
                Ok(subscriber)
            })
        });
        let rule = self.plan.service.reconnect?;
        Some(self.reconnector(rule, (role, index), role == Role::Producer, dial, progress))
    }

    fn reconnector<C: Send + 'static>(
        &self,
        rule: Reconnect,
        (role, index): (Role, u32),
        replies: bool,
        dial: Dial<C>,
        progress: &Progress,
    ) -> Reconnector<C> {
        let name = format!("{role} {index}{}", if replies { " replies" } else { "" });
        let salt = u64::from(index) << 2 | u64::from(role == Role::Consumer) << 1 | u64::from(replies);
        let connection =
            Connection { name, seed: mixed(self.plan.seed ^ mixed(salt)), dial, down: progress.down.clone() };
        Reconnector::new(rule, connection, self.clock, self.times.start_ns)
    }
}
