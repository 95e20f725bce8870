//! The port for streaming: connect, publish, subscribe, acknowledge.

use crate::{
    envelope::{Envelope, EnvelopeText},
    ports::{Alarm, Loss},
};
use measure::{
    Exit,
    record::{Connection, Tls},
};
use profile::{Exchange, QueuePlan, Role, Source, Target};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};

/// A streaming service as seen by the workers of one rank.
///
/// Implementations decide to which address a worker connects (its index chooses among several) and
/// keep every wait within the plan's limits. Worker loops are generic over this trait, so that
/// nothing stands between them and the client library. Publishing, consuming and replying each
/// have a connection of their own: one that is held back must not hold back the others.
pub trait Transport: Send + Sync + 'static {
    /// Publishes messages or replies.
    type Publisher: Publisher;
    /// Consumes messages or replies.
    type Subscriber: Subscriber;

    /// Connects a worker to publish to `target`.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the service is unreachable, or refuses TLS or the login.
    fn connect_publisher(
        &self,
        worker: Worker,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Publisher, Fault>> + Send;

    /// Connects a worker that will consume from `source`. Consumption starts with [`Subscriber::subscribe`], since
    /// exchanges and queues are declared only after every worker has connected.
    ///
    /// # Errors
    ///
    /// As [`Self::connect_publisher`].
    fn connect_subscriber(
        &self,
        worker: Worker,
        source: &Source,
    ) -> impl Future<Output = Result<Self::Subscriber, Fault>> + Send;

    /// Declares exchanges, shared queues and their bindings; those that are somebody else's must be there, and usable as the plan wants
    /// to. Called on rank 0 only.
    ///
    /// # Errors
    ///
    /// [`FaultKind::Refused`] if the service refuses an exchange or a queue; other faults of the connection.
    fn declare(
        &self,
        exchanges: &[Exchange],
        queues: &[QueuePlan],
    ) -> impl Future<Output = Result<Service, Fault>> + Send;

    /// Number of messages that `queues` of [`Self::declare`] hold, without those delivered and not acknowledged. Called
    /// on rank 0 only.
    ///
    /// # Errors
    ///
    /// [`Fault`] if a queue does not report its number of messages.
    fn held(&self, queues: &[QueuePlan]) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// Looks at queues until something holds of them, or until nothing has changed in them for `patience`; returns the last look, one
    /// for each queue. Called on rank 0 only.
    ///
    /// # Errors
    ///
    /// [`Fault`] if a queue cannot be looked at.
    fn look(
        &self,
        queues: &[QueuePlan],
        until: Until,
        patience: Duration,
    ) -> impl Future<Output = Result<Vec<Look>, Fault>> + Send;

    /// Deletes what [`Self::declare`] declared; objects that no longer exist count as deleted. Returns the objects that
    /// the service did not delete. Called on rank 0 only.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the service did not reply.
    fn delete(
        &self,
        exchanges: &[Exchange],
        queues: &[QueuePlan],
    ) -> impl Future<Output = Result<Vec<Undeleted>, Fault>> + Send;
}

/// What a look at a queue shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Look {
    /// Messages that wait in it, without those delivered and not acknowledged.
    pub messages: u64,
    /// Consumers of it.
    pub consumers: u32,
}

/// What queues are looked at for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Each has a consumer.
    Consumed,
    /// One has a message.
    Filled,
    /// None has a message.
    Empty,
}

impl Until {
    /// Whether it holds of these looks.
    pub fn holds(self, looks: &[Look]) -> bool {
        match self {
            Self::Consumed => looks.iter().all(|look| look.consumers > 0),
            Self::Filled => looks.iter().any(|look| look.messages > 0),
            Self::Empty => looks.iter().all(|look| look.messages == 0),
        }
    }
}

/// An exchange or a queue that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeleted {
    /// Its name.
    pub name: String,
    /// Why not.
    pub fault: Fault,
}

/// The worker that a connection belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    /// Producer or consumer.
    pub role: Role,
    /// Its index among the workers of its kind, over all ranks.
    pub index: u32,
    /// How often it has tried to connect before, for this purpose: each try goes to the next address of its side.
    pub attempt: u32,
}

/// A connection that publishes.
pub trait Publisher: Send + 'static {
    /// Resolves to the service's outcome for one message.
    type Confirm: Future<Output = Result<Outcome, Fault>> + Send + Unpin + 'static;
    /// Resolves when the message has been written to the network. It returns the buffer, for the ring, and the confirm,
    /// which is still pending.
    type Publishing: Future<Output = (Vec<u8>, Result<Self::Confirm, Fault>)> + Send + Unpin + 'static;

    /// Publishes one message. The first polls of one publisher's futures must be in the order in which the futures were
    /// made: that is the order on the wire.
    fn publish(&mut self, message: Outgoing) -> Self::Publishing;

    /// The parameters that were negotiated when it connected.
    fn facts(&self) -> &ConnectionFacts;

    /// What the transport itself has counted so far.
    fn counts(&self) -> Counts {
        Counts::new()
    }

    /// Alarms, one per connection: they show when the service holds the connection back, and why it ended a connection
    /// on which no confirm is awaited.
    fn alarms(&self) -> Vec<Arc<Alarm>>;

    /// Ends a connection that was lost at once, without a farewell, so that the service may know of its end.
    fn abandon(&mut self) {}

    /// Closes the connection, after everything written has left.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A connection that consumes.
pub trait Subscriber: Send + 'static {
    /// A body that arrived, in the client library's own type.
    type Body: AsRef<[u8]> + Send + 'static;

    /// Declares the queue if it belongs to this connection, and starts to consume from it.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the service refuses the queue or the subscription.
    fn subscribe(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// The next delivery; pending while there is none. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the connection or channel ended. The stream of deliveries is then over.
    fn next(&mut self) -> impl Future<Output = Result<Delivery<Self::Body>, Fault>> + Send;

    /// Acknowledges delivery `tag`, and with `multiple` all before it.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the connection or channel ended.
    fn ack(&mut self, tag: u64, multiple: bool) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Number of messages that its queue holds, without those delivered and not acknowledged.
    ///
    /// # Errors
    ///
    /// [`Fault`] if the queue does not report its number of messages.
    fn held(&mut self) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// The parameters that were negotiated when it connected.
    fn facts(&self) -> &ConnectionFacts;

    /// What the transport itself has counted so far.
    fn counts(&self) -> Counts {
        Counts::new()
    }

    /// Ends a connection that was lost at once, without a farewell, so that the service may know of its end.
    fn abandon(&mut self) {}

    /// Stops consuming and closes the connection, after acknowledgements have left.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// One message on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The body, lent: it is returned when written.
    pub body: Vec<u8>,
    /// The harness's own data, for the basic property `correlation_id`.
    pub envelope: EnvelopeText,
    /// Destination of a reply; `None` for a message.
    pub reply: Option<ReplyTo>,
}

/// The destination and the sender of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The routing key of the producer's reply queue.
    pub key: Arc<str>,
    /// The consumer that replies.
    pub consumer: u32,
}

/// One message that arrived.
#[derive(Debug)]
pub struct Delivery<B> {
    /// The body.
    pub body: B,
    /// The harness's own data about it; `None` for a foreign message.
    pub envelope: Option<Envelope>,
    /// The delivery tag to acknowledge.
    pub tag: u64,
    /// Whether the service flags it as redelivered.
    pub redelivered: bool,
    /// The routing key of a reply to it, if one is wanted.
    pub reply_to: Option<Arc<str>>,
    /// The consumer whose reply this is, if it is one.
    pub replied_by: Option<u32>,
    /// The number that its subscriber was asked to read ([`Source::mark`]).
    pub mark: Option<Number>,
}

/// A number that others have written into the properties of a message.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(i64),
    /// Another one.
    Part(f64),
}

impl Number {
    /// A number in words, as some clients write them.
    pub fn of_text(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse().map(Self::Whole).or_else(|_| text.parse().map(Self::Part)).ok()
    }
}

/// The service's outcome for a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The service has accepted the message.
    Accepted,
    /// The service rejects it (for example because a queue is full): publish it again.
    Rejected,
    /// The service could not route it to any queue.
    Returned,
    /// No confirm was requested (confirms `none`).
    NotAsked,
}

/// Negotiated and measured properties of one connection.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionFacts {
    /// The TLS handshake; `None` without TLS.
    pub tls: Option<Tls>,
    /// The socket, and what it carries.
    pub connection: Connection,
    /// Address of this side; `None` without a socket.
    pub local_address: Option<IpAddr>,
}

/// Counts of a transport by name, such as packets sent and packets that the kernel dropped.
pub type Counts = BTreeMap<String, u64>;

/// The service's description of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Product, such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// Settings that it applies differently than requested, each as a sentence.
    pub notes: Vec<String>,
}

/// Why streaming failed: a kind that code acts on and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Fault {
    /// The kind that code acts on.
    pub kind: FaultKind,
    /// The sentence for people. It contains no secret.
    pub sentence: String,
    /// What ended the connection, if that is known.
    pub loss: Option<Loss>,
}

/// Kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// The address is unreachable, or does not reply in time.
    Unreachable,
    /// The service replies and refuses the login.
    Login,
    /// The TLS handshake failed: certificate, host name, version.
    Tls,
    /// The connection or channel ended during the run.
    Lost,
    /// The service refuses a request (for example a queue's arguments).
    Refused,
    /// The system lacks what the program needs: files, processes, threads.
    Shortage,
    /// The workload's bodies cannot be built.
    Bodies,
    /// The program itself failed: a worker panicked or did not stop.
    Broken,
}

impl FaultKind {
    /// The exit code of a run that it ends.
    pub fn exit(self) -> Exit {
        match self {
            Self::Unreachable | Self::Login | Self::Tls | Self::Lost | Self::Refused | Self::Shortage => Exit::Route,
            Self::Bodies => Exit::Profile,
            Self::Broken => Exit::Partial,
        }
    }
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(kind: FaultKind, sentence: impl fmt::Display) -> Self {
        Self { kind, sentence: sentence.to_string(), loss: None }
    }

    /// A connection that was lost.
    pub fn lost(loss: Loss, sentence: impl fmt::Display) -> Self {
        Self { loss: Some(loss), ..Self::new(FaultKind::Lost, sentence) }
    }
}
