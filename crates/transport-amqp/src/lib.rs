//! [`engine::ports::Transport`] over lapin: the only crate that knows AMQP and TLS.
#![forbid(unsafe_code)]

mod connect;
mod consume;
mod fault;
mod publish;
mod route;
mod socket;
mod tls;
mod topology;

pub use consume::AmqpSubscriber;
pub use publish::{AmqpPublisher, Confirm, Written};
pub use route::{AmqpRoute, ConnectTo, Endpoint, RouteError, Scheme, Secret};

use connect::{Connector, Role};
use engine::ports::{Fault, Service, Transport};
use profile::{Acks, Plan, QueuePlan};

// Built in so that `release_max_level_warn` reaches lapin, which traces every frame.
use tracing as _;

/// The streaming service over AMQP 0-9-1.
///
/// Each worker has a connection and a channel of its own; nothing reconnects by itself, since a
/// lost connection is a result. Worker `i` of a role uses endpoint `i mod n` of that role. All
/// methods need a tokio runtime with timers and I/O, which must keep running until every worker is
/// closed; lapin adds one thread per connection.
#[derive(Debug)]
pub struct Amqp {
    connector: Connector,
    confirms: bool,
    acks: bool,
    prefetch: u16,
    content_type: &'static str,
}

impl Amqp {
    /// The service at the end of `route`, with the settings of `plan`. Connects to nothing.
    pub fn new(route: AmqpRoute, plan: &Plan) -> Result<Self, Fault> {
        Ok(Self {
            connector: Connector::new(route, plan)?,
            confirms: plan.service.confirms.wanted(),
            acks: plan.service.acks != Acks::Auto,
            prefetch: plan.service.prefetch,
            content_type: plan.message.format.content_type(),
        })
    }
}

impl Transport for Amqp {
    type Publisher = AmqpPublisher;
    type Subscriber = AmqpSubscriber;

    async fn connect_publisher(&self, index: u32, queue: &QueuePlan) -> Result<AmqpPublisher, Fault> {
        let link = self.connector.open(Role::Producer, index).await?;
        AmqpPublisher::new(link, &queue.name, self.confirms, self.content_type).await
    }

    async fn connect_subscriber(&self, index: u32, queue: &QueuePlan) -> Result<AmqpSubscriber, Fault> {
        let link = self.connector.open(Role::Consumer, index).await?;
        AmqpSubscriber::new(link, &queue.name, self.acks, self.prefetch).await
    }

    /// Declares classic queues that are neither exclusive nor deleted with their last consumer.
    ///
    /// They are transient, as in the paper, where the service allows it. RabbitMQ 4.3 and later
    /// refuses transient queues that are not exclusive: there they are durable. Messages are
    /// transient either way.
    async fn declare(&self, queues: &[QueuePlan]) -> Result<Service, Fault> {
        let link = self.connector.open(Role::Topology, 0).await?;
        topology::declare(link, queues).await
    }

    async fn delete(&self, queues: &[QueuePlan]) -> Result<(), Fault> {
        let link = self.connector.open(Role::Topology, 0).await?;
        topology::delete(link, queues).await
    }
}
