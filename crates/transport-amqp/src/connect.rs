//! One connection, from the address to an open channel, within one limit.

use crate::{
    fault::{Peer, Phase},
    route::{AmqpRoute, ConnectTo, Endpoint, HostPort, Scheme},
    socket::{Greeting, Kit, Socket, Tcp, first_frame},
    tls,
};
use async_rs::Runtime;
use engine::ports::{Alarm, ConnectionFacts, Fault, FaultKind, Role, Service, Worker};
use futures_util::{Stream, StreamExt};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties, Event,
    protocol::{AMQPClass, connection::AMQPMethod, parse_class},
    tcp::RustlsConnector,
    types::AMQPValue,
    uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use profile::{Plan, Spread};
use std::{
    collections::HashMap,
    fmt, io,
    net::{Shutdown, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{Instant, timeout, timeout_at},
};

const REPLY_SUCCESS: u16 = 200;
/// Twice what RabbitMQ 4 insists on, for small bodies and the login.
const FRAME_BYTES_MIN: u32 = 16 << 10;
/// What RabbitMQ proposes.
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// What a connection is for. One that is held back, or busy with large bodies, must not hold back
/// the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A worker's messages or answers on their way out.
    Publish(Worker),
    /// A worker's messages or answers on their way in.
    Read(Worker),
    /// Exchanges and queues, through the n-th address.
    Topology(u32),
}

impl Purpose {
    /// What tells which workers of a rank may share a connection.
    fn kind(self) -> Option<(bool, Role)> {
        match self {
            Self::Publish(worker) => Some((true, worker.role)),
            Self::Read(worker) => Some((false, worker.role)),
            Self::Topology(_) => None,
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worker, word) = match self {
            Self::Topology(_) => return f.write_str("topology"),
            Self::Publish(worker) => (worker, if worker.role == Role::Producer { "" } else { " replies" }),
            Self::Read(worker) => (worker, if worker.role == Role::Consumer { "" } else { " replies" }),
        };
        let role = if worker.role == Role::Producer { "producer" } else { "consumer" };
        write!(f, "{role} {}{word}", worker.index)
    }
}

/// Opens connections to the service.
pub(crate) struct Connector {
    route: AmqpRoute,
    tls: Option<RustlsConnector>,
    connect: Duration,
    broker: Duration,
    heartbeat_s: u16,
    frame_max: u32,
    buffers: Buffers,
    spread: Spread,
    seed: u64,
    producers: u32,
    consumers: u32,
    workers_per_connection: u32,
    /// Connections of this rank that workers share, by kind: the last one, and how many use it.
    shared: Mutex<SharedConnections>,
}

/// Whether it publishes, whose it is and where it goes; the connection, and how many workers use it.
type SharedConnections = HashMap<(bool, Role, String), (Weak<Shared>, u32)>;

/// Sizes of socket buffers that were asked for.
#[derive(Debug, Clone, Copy)]
struct Buffers {
    send_bytes: Option<u32>,
    receive_bytes: Option<u32>,
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Connector {
    /// Without a plan: to see whether it can be connected to within `limit`.
    pub(crate) fn once(route: AmqpRoute, limit: Duration) -> Result<Self, Fault> {
        if route.producer.is_empty() || route.consumer.is_empty() {
            return Err(Fault::new(
                FaultKind::Unreachable,
                "the route has no address for producers or none for consumers: give --url, or --producer-url and --consumer-url",
            ));
        }
        let encrypted = route.producer.iter().chain(&route.consumer).any(|endpoint| endpoint.scheme == Scheme::Amqps);
        let tls = if encrypted { Some(tls::connector(&route)?) } else { None };
        Ok(Self {
            route,
            tls,
            connect: limit,
            broker: limit,
            heartbeat_s: 0,
            frame_max: frame_max(0),
            buffers: Buffers { send_bytes: None, receive_bytes: None },
            spread: Spread::RoundRobin,
            seed: 0,
            producers: 1,
            consumers: 1,
            workers_per_connection: 1,
            shared: Mutex::default(),
        })
    }

    pub(crate) fn new(route: AmqpRoute, plan: &Plan) -> Result<Self, Fault> {
        Ok(Self {
            broker: plan.limits.broker,
            heartbeat_s: plan.service.heartbeat_s,
            frame_max: plan.service.frame_max.unwrap_or_else(|| frame_max(plan.message.body_bytes)),
            buffers: Buffers {
                send_bytes: plan.service.send_buffer_bytes,
                receive_bytes: plan.service.receive_buffer_bytes,
            },
            spread: plan.spread,
            seed: plan.seed,
            producers: plan.placement.producers,
            consumers: plan.placement.consumers,
            workers_per_connection: plan.service.workers_per_connection,
            ..Self::once(route, plan.limits.connect)?
        })
    }

    /// Addresses through which queues can be declared.
    pub(crate) fn topology_addresses(&self) -> u32 {
        self.route.consumer.len() as u32
    }

    /// Where a connection goes to.
    fn endpoint(&self, purpose: Purpose) -> &Endpoint {
        let Self { route, spread, seed, producers, consumers, .. } = self;
        let of = |endpoints: &[Endpoint], index, workers, seed| {
            spread.of(index, workers, endpoints.len() as u32, seed) as usize
        };
        match purpose {
            Purpose::Publish(Worker { role: Role::Producer, index })
            | Purpose::Read(Worker { role: Role::Producer, index }) => {
                &route.producer[of(&route.producer, index, *producers, *seed)]
            }
            Purpose::Publish(Worker { index, .. }) | Purpose::Read(Worker { index, .. }) => {
                &route.consumer[of(&route.consumer, index, *consumers, !*seed)]
            }
            // Consumers are the nearer to the service where a route treats the two differently.
            Purpose::Topology(n) => &route.consumer[n as usize % route.consumer.len()],
        }
    }

    /// A channel on a connection of this purpose. Must be called in the runtime that will drive it.
    pub(crate) async fn open(&self, purpose: Purpose) -> Result<Link, Fault> {
        let Some(kind) = purpose.kind().filter(|_| self.workers_per_connection > 1) else {
            return self.connect(purpose).await;
        };
        let endpoint = self.endpoint(purpose);
        let kind = (kind.0, kind.1, HostPort(&endpoint.host, endpoint.port).to_string());
        let known = self.shared().get(&kind).map(|(shared, users)| (shared.upgrade(), *users));
        if let Some((Some(shared), users)) = known
            && users < self.workers_per_connection
        {
            let request = shared.connection.create_channel();
            let channel = match timeout(self.broker, request).await {
                Ok(channel) => channel.map_err(|error| shared.peer.refused("open a channel", &error))?,
                Err(_) => return Err(shared.peer.unanswered("open a channel", self.broker)),
            };
            self.shared().insert(kind, (Arc::downgrade(&shared), users + 1));
            return Ok(Link { shared, channel: Arc::new(channel), limit: self.broker });
        }
        let link = self.connect(purpose).await?;
        self.shared().insert(kind, (Arc::downgrade(&link.shared), 1));
        Ok(link)
    }

    fn shared(&self) -> MutexGuard<'_, SharedConnections> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self, purpose: Purpose) -> Result<Link, Fault> {
        let endpoint = self.endpoint(purpose);
        let deadline = Instant::now() + self.connect;
        let (host, port) = ConnectTo::apply(&self.route.connect_to, &endpoint.host, endpoint.port);
        let redirected = (host != endpoint.host || port != endpoint.port).then(|| (host.clone(), port));
        let peer = Peer { endpoint: endpoint.clone(), reached_at: redirected };
        let mut facts = ConnectionFacts { address: HostPort(&host, port).to_string(), ..ConnectionFacts::default() };

        let tcp = timeout_at(deadline, reach(&peer, &host, port, self.buffers))
            .await
            .unwrap_or_else(|_| Err(peer.too_slow(Phase::Reach, self.connect, b"")))?;
        let handle = nodelay(&tcp).map_err(|error| peer.unreachable(&error))?;
        facts.nodelay = Some(true);
        facts.send_buffer_bytes = handle.send_buffer_size().ok().map(|bytes| bytes as u64);
        facts.receive_buffer_bytes = handle.recv_buffer_size().ok().map(|bytes| bytes as u64);
        facts.congestion_control = handle.tcp_congestion().ok().map(|name| text_of(&name));
        facts.local_address =
            handle.local_addr().ok().and_then(|address| address.as_socket()).map(|socket| socket.ip());

        let greeting = Greeting::default();
        let stream = match (endpoint.scheme, &self.tls) {
            (Scheme::Amqps, Some(tls)) => {
                let handshake = AsyncTcpStream::Plain(Tcp::new(tcp, true)).into_rustls(tls, &endpoint.host);
                timeout_at(deadline, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(
                    |error| match error.kind() {
                        io::ErrorKind::TimedOut => peer.too_slow(Phase::Tls, self.connect, b""),
                        _ => peer.tls(&error),
                    },
                )?
            }
            _ => AsyncTcpStream::Plain(Tcp::new(tcp, false)),
        };
        if let AsyncTcpStream::Rustls(stream) = &stream {
            let session = stream.get_ref().1;
            facts.tls_version = session.protocol_version().and_then(|version| version.as_str()).map(tls_version);
            facts.tls_cipher =
                session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).map(tls_cipher);
        }

        let login = self.login(&peer, purpose, Socket::new(stream, greeting.clone()));
        let result = timeout_at(deadline, login).await;
        let (connection, channel) = match result {
            Ok(Ok(opened)) => opened,
            failed => {
                // Ends lapin's thread, which would wait for an answer for ever.
                let _ = handle.shutdown(Shutdown::Both);
                let said = greeting.bytes();
                return Err(match failed {
                    Ok(Err(error)) => peer.login(&error, &said),
                    _ => peer.too_slow(Phase::Login, self.connect, &said),
                });
            }
        };
        facts.frame_max_bytes = u64::from(connection.configuration().frame_max());
        let alarm = Arc::new(Alarm::default());
        tokio::spawn(watch(connection.events_listener(), alarm.clone()));
        let service = service(&greeting.bytes());
        let shared = Arc::new(Shared { connection, peer: Arc::new(peer), facts, service, alarm, handle });
        Ok(Link { shared, channel: Arc::new(channel), limit: self.broker })
    }

    async fn login(&self, peer: &Peer, purpose: Purpose, socket: Socket) -> lapin::Result<(Connection, Channel)> {
        let name = format!("streamharness {purpose}");
        let properties = ConnectionProperties::default()
            .with_connection_name(name.into())
            .with_client_property("product".into(), "streamharness".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let socket = Mutex::new(Some(socket));
        let hand_over = async move |_: AMQPUri, _: Runtime<Kit>| {
            let socket = socket.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            socket.map(AsyncTcpStream::Plain).ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected).into())
        };
        let uri = self.uri(&peer.endpoint);
        let connection = Connection::connector(uri, Runtime::new(Kit::current()), hand_over, properties).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    fn uri(&self, endpoint: &Endpoint) -> AMQPUri {
        let password = endpoint.password.as_ref().unwrap_or(&self.route.password).expose();
        let mut uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: endpoint.user.clone(), password: password.to_owned() },
                host: endpoint.host.clone(),
                port: endpoint.port,
            },
            vhost: endpoint.vhost.clone(),
            query: Default::default(),
        };
        uri.query.heartbeat = Some(self.heartbeat_s);
        uri.query.frame_max = Some(self.frame_max);
        uri
    }
}

/// Raises and clears an alarm as the service says. Ends with the connection.
async fn watch(mut events: impl Stream<Item = Event> + Unpin, alarm: Arc<Alarm>) {
    while let Some(event) = events.next().await {
        match event {
            Event::ConnectionBlocked(_) => alarm.raise(),
            Event::ConnectionUnblocked => alarm.clear(),
            _ => {}
        }
    }
}

async fn reach(peer: &Peer, host: &str, port: u16, buffers: Buffers) -> Result<TcpStream, Fault> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| peer.unresolved(&error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match dial(address, buffers).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(peer.unreachable(&last))
}

/// Buffers are sized first: the window that TCP offers follows from them.
async fn dial(address: SocketAddr, buffers: Buffers) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(bytes) = buffers.send_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = buffers.receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(address).await
}

/// Sets TCP_NODELAY, reads it back, and returns a second handle on the socket.
/// A name that the kernel ends with zeros.
fn text_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim_end_matches('\0').to_owned()
}

fn nodelay(tcp: &TcpStream) -> io::Result<socket2::Socket> {
    tcp.set_nodelay(true)?;
    if !tcp.nodelay()? {
        return Err(io::Error::other("TCP_NODELAY cannot be set"));
    }
    socket2::SockRef::from(tcp).try_clone()
}

/// `TLSv1.3`, where rustls says `TLSv1_3`.
fn tls_version(name: &str) -> String {
    name.replace('_', ".")
}

/// The name in the standard, where rustls puts the version into that of a TLS 1.3 suite.
fn tls_cipher(name: &str) -> String {
    name.replacen("TLS13_", "TLS_", 1)
}

/// The smallest frame that holds a body, within bounds.
///
/// lapin has two buffers of 32 frames per connection and cycles through all of them, so frames no
/// larger than needed keep what is copied in the processor's cache: 512 KiB instead of 4 MiB each
/// for bodies of 16 kB, and a tenth less CPU time per message. The service may lower it further.
fn frame_max(body_bytes: u64) -> u32 {
    const FRAME_OVERHEAD_BYTES: u64 = 8;
    let needed = body_bytes.saturating_add(FRAME_OVERHEAD_BYTES);
    u32::try_from(needed).unwrap_or(u32::MAX).clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX)
}

/// What the service says about itself in its first frame, `connection.start`.
fn service(greeting: &[u8]) -> Service {
    let start = first_frame(greeting).and_then(|(_, payload)| match parse_class(payload) {
        Ok((_, AMQPClass::Connection(AMQPMethod::Start(start)))) => Some(start),
        _ => None,
    });
    let property = |key: &str| match start.as_ref().and_then(|start| start.server_properties.inner().get(key)) {
        Some(AMQPValue::LongString(text)) => text.to_string(),
        _ => String::new(),
    };
    Service { product: property("product"), version: property("version"), notes: Vec::new() }
}

/// An open connection.
pub(crate) struct Shared {
    connection: Connection,
    pub peer: Arc<Peer>,
    pub facts: ConnectionFacts,
    pub service: Service,
    pub alarm: Arc<Alarm>,
    handle: socket2::Socket,
}

/// A channel of an open connection.
pub(crate) struct Link {
    pub shared: Arc<Shared>,
    pub channel: Arc<Channel>,
    limit: Duration,
}

impl Link {
    pub(crate) fn peer(&self) -> &Arc<Peer> {
        &self.shared.peer
    }

    /// One exchange with the service, within its limit; `what` completes "does not ...".
    pub(crate) async fn exchange<T>(
        &self,
        what: &str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Fault> {
        match timeout(self.limit, request).await {
            Ok(result) => result.map_err(|error| self.peer().refused(what, &error)),
            Err(_) => Err(self.peer().unanswered(what, self.limit)),
        }
    }

    /// Replaces a channel that the service closed after a refusal.
    pub(crate) async fn renew(&mut self) -> Result<(), Fault> {
        let channel = self.exchange("open a channel", self.shared.connection.create_channel()).await?;
        self.channel = Arc::new(channel);
        Ok(())
    }

    /// How long one exchange may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Closes the channel, and the connection with its last one; what was written on the channel has
    /// been handled before.
    pub(crate) async fn close(self) {
        let Self { shared, channel, limit } = self;
        let goodbye = async {
            // Each is refused if it is closed already, which is as well.
            let _ = channel.close(REPLY_SUCCESS, "OK".into()).await;
        };
        let silent = timeout(limit, goodbye).await.is_err();
        let Some(last) = Arc::into_inner(shared) else { return };
        let goodbye = async {
            let _ = last.connection.close(REPLY_SUCCESS, "OK".into()).await;
        };
        if silent || timeout(limit, goodbye).await.is_err() {
            let _ = last.handle.shutdown(Shutdown::Both);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_a_body_where_that_is_reasonable() {
        for (body_bytes, expected) in [
            (0, 16_384),
            (16_000, 16_384),
            (16_377, 16_385),
            (100_000, 100_008),
            (8_000_000, 131_072),
            (u64::MAX, 131_072),
        ] {
            assert_eq!(frame_max(body_bytes), expected);
        }
    }

    #[test]
    fn tls_is_named_as_everywhere_else() {
        assert_eq!(tls_version("TLSv1_3"), "TLSv1.3");
        assert_eq!(tls_cipher("TLS13_AES_256_GCM_SHA384"), "TLS_AES_256_GCM_SHA384");
        assert_eq!(tls_cipher("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"), "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
    }

    #[test]
    fn what_the_service_says_about_itself_is_found_in_its_first_frame() {
        let mut payload = vec![0, 10, 0, 10, 0, 9];
        let mut table = Vec::new();
        for (key, value) in [("product", "RabbitMQ"), ("version", "3.10.8")] {
            table.push(key.len() as u8);
            table.extend(key.as_bytes());
            table.push(b'S');
            table.extend((value.len() as u32).to_be_bytes());
            table.extend(value.as_bytes());
        }
        payload.extend((table.len() as u32).to_be_bytes());
        payload.extend(table);
        for text in ["PLAIN", "en_US"] {
            payload.extend((text.len() as u32).to_be_bytes());
            payload.extend(text.as_bytes());
        }
        let mut frame = vec![1, 0, 0];
        frame.extend((payload.len() as u32).to_be_bytes());
        frame.extend(payload);
        frame.push(0xce);
        assert_eq!(
            service(&frame),
            Service { product: "RabbitMQ".into(), version: "3.10.8".into(), notes: Vec::new() }
        );
        assert_eq!(service(&frame[..frame.len() - 1]), Service::default());
        assert_eq!(service(b"HTTP/1.1 400"), Service::default());
    }
}
