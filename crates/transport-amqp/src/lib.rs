//! [`engine::ports::Transport`] over lapin: the only crate that knows AMQP and TLS.
//!
//! ```no_run
//! use std::time::Duration;
//! use transport_amqp::{AmqpRoute, Endpoint, Secret, reachable};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::parse("amqps://me@broker.example:5671")?;
//! let route = AmqpRoute {
//!     producer: vec![endpoint.clone()],
//!     consumer: vec![endpoint],
//!     connect_to: Vec::new(),
//!     ca_pem: None,
//!     client_cert: None,
//!     password: Secret::new("from a file"),
//!     token_file: None,
//! };
//! reachable(&route, Duration::from_secs(10)).await.map_err(|fault| fault.to_string())?;
//! # Ok(())
//! # }
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]
#![forbid(unsafe_code)]

mod attach;
mod connect;
mod consume;
mod dial;
mod endpoint;
mod fault;
mod files;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod handshake;
mod line;
mod link;
mod native;
mod negotiated;
mod prefetch;
mod publish;
mod purpose;
mod restore;
mod route;
mod secret;
mod socket;
mod support;
mod tables;
mod tls;
mod token;
mod topology;

pub use connect::Presented;
pub use consume::AmqpSubscriber;
pub use endpoint::{Endpoint, RouteError, Scheme};
pub use native::Body;
pub use publish::{AmqpPublisher, Confirm, Publishing};
pub use route::{AmqpRoute, ConnectTo};
pub use secret::Secret;
pub use token::Token;

use connect::Connector;
use engine::ports::{Fault, Look, Service, Transport, Undeleted, Until, Worker};
use link::Link;
use profile::{Exchange, Plan, QueuePlan, QueueType, Source, Target};
use purpose::Purpose;
use restore::Restore;
use std::time::Duration;
use support::Requested;

// Built in so that `release_max_level_warn` reaches lapin, which traces every frame.
use tracing as _;

/// The streaming service over AMQP 0-9-1.
///
/// Each worker has connections of its own, or shares them with others of its kind on its rank, depending on the plan;
/// one to publish and another to consume. Nothing reconnects by itself, since a lost connection is a result: the engine connects
/// once more, and what a lost connection or node took with it is then declared again. All methods need a tokio runtime with
/// timers and I/O, which must keep running until every worker is closed; lapin adds one thread per connection.
#[derive(Debug)]
pub struct Amqp {
    connector: Connector,
    connections: u32,
    body: publish::Shared,
    requested: Requested,
    restore: Restore,
}

impl Amqp {
    /// The service at the end of `route`, with the settings of `plan`. Connects to nothing.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the route's certificates or keys cannot be used.
    pub fn new(route: AmqpRoute, plan: &Plan) -> Result<Self, Fault> {
        Ok(Self {
            connector: Connector::new(route, plan)?,
            connections: plan.service.connections,
            body: publish::Shared { content_type: plan.message.content_type(), persistent: plan.service.persistent },
            requested: Requested {
                body_bytes: plan.message.body_bytes,
                prefetch_channel: plan.service.prefetch_channel,
                names_are_given: plan.service.names.is_some(),
                external: plan.external.as_ref().map(|external| external.side),
            },
            restore: Restore::of(&plan.service.exchanges),
        })
    }

    async fn open(&self, purpose: Purpose, connections: u32) -> Result<Vec<Link>, Fault> {
        let mut links = Vec::new();
        for _ in 0..connections {
            links.push(self.connector.open(purpose).await?);
        }
        Ok(links)
    }
}

/// Connects to the route's first address for consumers as a run would, with verified TLS and a login, and closes the
/// connection; all within about `limit`. Needs a tokio runtime with timers and I/O.
///
/// # Errors
///
/// [`Fault`] with the reason if the service is unreachable, or refuses TLS or the login.
pub async fn reachable(route: &AmqpRoute, limit: Duration) -> Result<(), Fault> {
    let connector = Connector::once(route.clone(), limit)?;
    connector.open(Purpose::Topology(0)).await?.close().await;
    Ok(())
}

/// Resolves the route's first address for consumers, connects with verified TLS, and reads how the service presents itself, which
/// needs no login; all within about `limit`. Needs a tokio runtime with timers and I/O.
///
/// # Errors
///
/// [`Fault`] with the reason if the name is unknown, the service is unreachable or refuses TLS, or the peer does not speak AMQP.
pub async fn presented(route: &AmqpRoute, limit: Duration) -> Result<Presented, Fault> {
    Connector::once(route.clone(), limit)?.presented(Purpose::Topology(0)).await
}

impl Transport for Amqp {
    type Publisher = AmqpPublisher;
    type Subscriber = AmqpSubscriber;

    async fn connect_publisher(&self, worker: Worker, target: &Target) -> Result<AmqpPublisher, Fault> {
        let links = self.open(Purpose::Publish(worker), self.connections).await?;
        if worker.attempt > 0 {
            self.restore.exchange(&links[0], &target.exchange).await?;
        }
        AmqpPublisher::new(links, target, self.body).await
    }

    async fn connect_subscriber(&self, worker: Worker, source: &Source) -> Result<AmqpSubscriber, Fault> {
        // An exclusive queue belongs to one connection, and a stream delivers everything to each connection.
        let one = source.queue.exclusive || source.queue.kind == QueueType::Stream;
        let links = self.open(Purpose::Read(worker), if one { 1 } else { self.connections }).await?;
        // Checked before the request, because the service's own error would be harder to understand.
        support::check(&links[0].shared.service, std::slice::from_ref(&source.queue), &self.requested)?;
        AmqpSubscriber::new(links, source, (worker.attempt > 0).then(|| self.restore.clone())).await
    }

    async fn declare(&self, exchanges: &[Exchange], queues: &[QueuePlan]) -> Result<Service, Fault> {
        let notes = attach::check(&self.connector, exchanges, queues, &self.requested).await?;
        let mut service = topology::declare(&self.connector, exchanges, queues, &self.requested).await?;
        service.notes.extend(notes);
        Ok(service)
    }

    async fn held(&self, queues: &[QueuePlan]) -> Result<u64, Fault> {
        topology::held(&self.connector, queues).await
    }

    async fn look(&self, queues: &[QueuePlan], until: Until, patience: Duration) -> Result<Vec<Look>, Fault> {
        topology::look(&self.connector, queues, until, patience).await
    }

    async fn delete(&self, exchanges: &[Exchange], queues: &[QueuePlan]) -> Result<Vec<Undeleted>, Fault> {
        topology::delete(&self.connector, exchanges, queues).await
    }
}
