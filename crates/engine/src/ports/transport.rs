//! Streaming: connect, publish, subscribe, acknowledge.

use crate::{
    envelope::{Envelope, EnvelopeText},
    ports::Alarm,
};
use profile::{Exchange, QueuePlan, Source, Target};
use serde::{Deserialize, Serialize};
use std::{fmt, future::Future, net::IpAddr, sync::Arc};

/// A streaming service as seen by the workers of one rank.
///
/// Implementations decide to which address a worker connects (its index chooses among several) and
/// keep every wait within the plan's limits. Worker loops are generic over this trait, so that
/// nothing stands between them and the client library. Publishing, consuming and replying each
/// have a connection of their own: one that is held back must not hold back the others.
pub trait Transport: Send + Sync + 'static {
    /// Publishes messages or replies.
    type Publisher: Publisher;
    /// Reads messages or replies.
    type Subscriber: Subscriber;

    /// Connects a worker to publish to `target`.
    fn connect_publisher(
        &self,
        worker: Worker,
        target: &Target,
    ) -> impl Future<Output = Result<Self::Publisher, Fault>> + Send;

    /// Connects a worker to read `source`. It does not before [`Subscriber::subscribe`], since
    /// exchanges and queues are declared only after every worker has connected.
    fn connect_subscriber(
        &self,
        worker: Worker,
        source: &Source,
    ) -> impl Future<Output = Result<Self::Subscriber, Fault>> + Send;

    /// Declares exchanges, shared queues and their bindings. Called on rank 0 only.
    fn declare(
        &self,
        exchanges: &[Exchange],
        queues: &[QueuePlan],
    ) -> impl Future<Output = Result<Service, Fault>> + Send;

    /// Messages that `queues` of [`Self::declare`] hold, those apart that are delivered and not acknowledged. An error where
    /// one of them does not tell. Called on rank 0 only.
    fn held(&self, queues: &[QueuePlan]) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// Deletes what [`Self::declare`] declared, what is gone already included. Returns what the service did not delete; an
    /// error where it could not even be asked. Called on rank 0 only.
    fn delete(
        &self,
        exchanges: &[Exchange],
        queues: &[QueuePlan],
    ) -> impl Future<Output = Result<Vec<Undeleted>, Fault>> + Send;
}

/// An exchange or a queue that could not be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undeleted {
    /// Its name.
    pub name: String,
    /// Why not.
    pub fault: Fault,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Worker {
    /// What it is.
    pub role: Role,
    /// Which of its kind, over all ranks.
    pub index: u32,
}

/// What a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sends messages, and reads the replies to them.
    Producer,
    /// It reads messages, and replies to them.
    Consumer,
}

/// A connection that publishes.
pub trait Publisher: Send + 'static {
    /// Resolves to what the service says about one message.
    type Confirm: Future<Output = Result<Outcome, Fault>> + Send + Unpin + 'static;
    /// Resolves when the message has been written to the network: the buffer comes back, for the
    /// ring, and the confirm is still to come.
    type Written: Future<Output = (Vec<u8>, Result<Self::Confirm, Fault>)> + Send + Unpin + 'static;

    /// Publishes one message. The futures of one publisher must first be polled in the order in
    /// which they were made: that is the order on the wire.
    fn publish(&mut self, message: Outgoing) -> Self::Written;

    /// What was agreed when it connected.
    fn facts(&self) -> &ConnectionFacts;

    /// Tell when the service holds its connections back, and why it ended one that nobody waits on; one for each.
    fn alarms(&self) -> Vec<Arc<Alarm>>;

    /// Closes the connection, after everything written has left.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// A connection that reads.
pub trait Subscriber: Send + 'static {
    /// A body that arrived, in whatever the client library holds it.
    type Body: AsRef<[u8]> + Send + 'static;

    /// Declares the queue, where it belongs to this connection, and starts to read it.
    fn subscribe(&mut self) -> impl Future<Output = Result<(), Fault>> + Send;

    /// The next delivery; pends while there is none. An error ends the stream. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Delivery<Self::Body>, Fault>> + Send;

    /// Acknowledges delivery `tag`, and with `multiple` all before it.
    fn ack(&mut self, tag: u64, multiple: bool) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Messages that its queue holds, those apart that are delivered and not acknowledged.
    fn held(&mut self) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// What was agreed when it connected.
    fn facts(&self) -> &ConnectionFacts;

    /// Stops consuming and closes the connection, after acknowledgements have left.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// One message on its way out.
#[derive(Debug)]
pub struct Outgoing {
    /// The body, lent: it comes back when written.
    pub body: Vec<u8>,
    /// The harness's own data, for the basic property `correlation_id`.
    pub envelope: EnvelopeText,
    /// Where it goes, if it is a reply.
    pub reply: Option<ReplyTo>,
}

/// Where a reply goes, and who sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo {
    /// The routing key of the producer's reply queue.
    pub key: String,
    /// The consumer that replies.
    pub consumer: u32,
}

/// One message that arrived.
#[derive(Debug)]
pub struct Delivery<B> {
    /// The body.
    pub body: B,
    /// What the harness said about it; none if it is not of ours.
    pub envelope: Option<Envelope>,
    /// What to acknowledge.
    pub tag: u64,
    /// Whether the service says that it delivered this before.
    pub redelivered: bool,
    /// The routing key of a reply to it, if one is wanted.
    pub reply_to: Option<String>,
    /// The consumer whose reply this is, if it is one.
    pub replied_by: Option<u32>,
}

/// What the service says about a published message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It has it.
    Accepted,
    /// It refuses it (a full queue, for one): publish it again.
    Rejected,
    /// It could route it nowhere.
    Returned,
    /// It was not asked (confirms `none`).
    NotAsked,
}

/// What one connection agreed on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFacts {
    /// `host:port` that was connected to.
    pub address: String,
    /// TLS version, such as `TLSv1.3`; none without TLS.
    pub tls_version: Option<String>,
    /// TLS cipher suite; none without TLS.
    pub tls_cipher: Option<String>,
    /// Whether TCP_NODELAY is set, read back from the socket; none where there is no socket.
    pub nodelay: Option<bool>,
    /// The socket's send buffer, as the system has it; none where there is no socket.
    pub send_buffer_bytes: Option<u64>,
    /// The socket's receive buffer, as the system has it; none where there is no socket.
    pub receive_buffer_bytes: Option<u64>,
    /// How the kernel keeps the socket from congesting the network (`TCP_CONGESTION`); none where it does not tell.
    pub congestion_control: Option<String>,
    /// Address of this side; none where there is no socket.
    pub local_address: Option<IpAddr>,
    /// Largest frame agreed, in bytes.
    pub frame_max_bytes: u64,
}

/// What the service says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Product, such as `RabbitMQ`.
    pub product: String,
    /// Its version.
    pub version: String,
    /// What it does in another way than was asked, each in a sentence.
    pub notes: Vec<String>,
}

/// Why streaming failed: a kind to act on and a sentence to show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{sentence}")]
pub struct Fault {
    /// What to act on.
    pub kind: FaultKind,
    /// What to show. Holds no secret.
    pub sentence: String,
}

/// Kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultKind {
    /// Nothing answers at the address, or not in time.
    Unreachable,
    /// The service answers and refuses the login.
    Login,
    /// TLS could not be agreed: certificate, host name, version.
    Tls,
    /// The connection or channel ended during the run.
    Lost,
    /// The service refuses what was asked (a queue's arguments, for one).
    Refused,
}

impl Fault {
    /// A fault with its sentence.
    pub fn new(kind: FaultKind, sentence: impl fmt::Display) -> Self {
        Self { kind, sentence: sentence.to_string() }
    }
}
