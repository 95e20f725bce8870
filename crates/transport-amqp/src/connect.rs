//! One connection, from the address to an open channel, within one limit.

use crate::{
    dial::{Buffers, nodelay, reach},
    endpoint::{Endpoint, HostPort, Scheme},
    fault::{Peer, Phase},
    files,
    line::{Line, Passed},
    link::{Link, Shared},
    native::Wire,
    negotiated::{frame_max, negotiated_tls, service, text_of},
    purpose::Purpose,
    route::{AmqpRoute, ConnectTo},
    socket::{Connected, Greeting, Kit, LapinStream, Socket, Tcp, first_frame},
    tls,
    token::Renewal,
};
use async_rs::Runtime;
use engine::{
    awake::and_whether_suspended,
    ports::{ConnectionFacts, Fault, FaultKind, Role, Service, Tls, Worker},
};
use futures_util::{AsyncReadExt, AsyncWriteExt, future::Either};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism},
};
use profile::{Client, Plan, Spread};
use std::{
    collections::HashMap,
    fmt, io,
    net::{IpAddr, Shutdown},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    sync::mpsc::unbounded_channel,
    time::{Instant, timeout, timeout_at},
};

/// Requests AMQP 0-9-1.
const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";

/// A service before the login.
#[derive(Debug, Clone, PartialEq)]
pub struct Presented {
    /// The address of its name that was reached.
    pub address: Option<IpAddr>,
    /// The TLS handshake; `None` without TLS.
    pub tls: Option<Tls>,
    /// Product and version, as it states them.
    pub service: Service,
}

/// Opens connections to the service.
pub(crate) struct Connector {
    route: AmqpRoute,
    tls: Option<tls::Tls>,
    token: Option<Arc<Renewal>>,
    connect: Duration,
    broker: Duration,
    heartbeat_s: u16,
    frame_max: u32,
    buffers: Buffers,
    client: Client,
    spread: Spread,
    seed: u64,
    producers: u32,
    consumers: u32,
    workers_per_connection: u32,
    /// Number of files that the connections of a rank need.
    files: u64,
    /// Shared connections of this rank, by kind: the latest one, and the number of its users.
    shared: Mutex<SharedConnections>,
}

/// Key: whether it publishes, its role and its address; value: the connection, and the number of workers that use it.
type SharedConnections = HashMap<(bool, Role, String), (Weak<Shared>, u32)>;

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Connector {
    /// Without a plan: to test whether a connection can be made within `limit`.
    pub(crate) fn once(route: AmqpRoute, limit: Duration) -> Result<Self, Fault> {
        if route.producer.is_empty() || route.consumer.is_empty() {
            return Err(Fault::new(
                FaultKind::Unreachable,
                "the route has no address for producers or none for consumers: give --url, or --producer-url and --consumer-url",
            ));
        }
        let encrypted = route.producer.iter().chain(&route.consumer).any(|endpoint| endpoint.scheme == Scheme::Amqps);
        let tls = if encrypted { Some(tls::Tls::new(&route)?) } else { None };
        let token = route.token_file.as_ref().map(|path| Renewal::new(path, &route.password, limit));
        Ok(Self {
            route,
            tls,
            token,
            connect: limit,
            broker: limit,
            heartbeat_s: 0,
            frame_max: frame_max(0),
            buffers: Buffers { send_bytes: None, receive_bytes: None },
            client: Client::Lapin,
            spread: Spread::RoundRobin,
            seed: 0,
            producers: 1,
            consumers: 1,
            workers_per_connection: 1,
            files: 0,
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
            client: plan.service.client,
            spread: plan.spread,
            seed: plan.seed,
            producers: plan.placement.producers,
            consumers: plan.placement.consumers,
            workers_per_connection: plan.service.workers_per_connection,
            files: files::of_a_rank(plan),
            ..Self::once(route, plan.limits.connect)?
        })
    }

    /// Number of addresses through which queues can be declared.
    pub(crate) fn topology_addresses(&self) -> u32 {
        self.route.consumer.len() as u32
    }

    /// The address of a connection.
    fn endpoint(&self, purpose: Purpose) -> &Endpoint {
        let Self { route, spread, seed, producers, consumers, .. } = self;
        // A worker that connects again goes to the next address, unless all of its side are to use the same one.
        let of = |endpoints: &[Endpoint], worker: Worker, workers, seed| {
            let first = spread.of(worker.index, workers, endpoints.len() as u32, seed) as usize;
            let attempts = if let Spread::Pinned(_) = spread { 0 } else { worker.attempt as usize };
            (first + attempts) % endpoints.len()
        };
        match purpose {
            Purpose::Publish(worker) | Purpose::Read(worker) => match worker.role {
                Role::Producer => &route.producer[of(&route.producer, worker, *producers, *seed)],
                Role::Consumer => &route.consumer[of(&route.consumer, worker, *consumers, !*seed)],
            },
            // Consumers are nearer to the service if a route treats both sides differently.
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
            && shared.is_open()
        {
            let request = shared.connection.create_channel();
            let channel = match timeout(self.broker, request).await {
                Ok(Ok(channel)) => channel,
                Ok(Err(error)) => return Err(shared.line.refused("open a channel", &error).await),
                Err(_) => return Err(shared.line.peer.late("open a channel", self.broker)),
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
        match and_whether_suspended(self.connect_once(purpose)).await {
            // A peer gives up on a handshake whose other end is suspended: the peer is not at fault.
            (Err(_), true) => self.connect_once(purpose).await,
            (connected, _) => connected,
        }
    }

    /// The other side, and where it is reached.
    fn peer(&self, purpose: Purpose) -> (Peer, String, u16) {
        let endpoint = self.endpoint(purpose);
        let (host, port) = ConnectTo::apply(&self.route.connect_to, &endpoint.host, endpoint.port);
        let redirected = (host != endpoint.host || port != endpoint.port).then(|| (host.clone(), port));
        (Peer { endpoint: endpoint.clone(), reached_at: redirected, token: self.token.clone() }, host, port)
    }

    /// How the service presents itself before a login, over a connection that ends with it.
    pub(crate) async fn presented(&self, purpose: Purpose) -> Result<Presented, Fault> {
        let deadline = Instant::now() + self.connect;
        let (peer, host, port) = self.peer(purpose);
        let tcp = reach(&peer, &host, port, self.buffers, (self.connect, deadline)).await?;
        let address = tcp.peer_addr().ok().map(|address| address.ip());
        let stream = self.secure(&peer, tcp, deadline).await?;
        let tls = negotiated_tls(&stream);
        let (greeting, endings) = (Greeting::default(), unbounded_channel().0);
        let mut socket = Socket::new(stream, greeting.clone(), self.frame_max, Arc::default(), endings);
        let request = async {
            socket.write_all(PROTOCOL_HEADER).await?;
            socket.flush().await?;
            let mut piece = [0; 4096];
            while first_frame(&greeting.bytes()).is_none() && socket.read(&mut piece).await? > 0 {}
            io::Result::Ok(())
        };
        let requested = timeout_at(deadline, request).await;
        let service = service(&greeting.bytes());
        match requested {
            _ if !service.product.is_empty() => Ok(Presented { address, tls, service }),
            Err(_) => Err(peer.too_slow(Phase::Login, self.connect, &greeting.bytes())),
            Ok(ended) => {
                let error = ended.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into());
                Err(self.not_let_in(&peer, &error.into(), &greeting))
            }
        }
    }

    async fn connect_once(&self, purpose: Purpose) -> Result<Link, Fault> {
        files::room(self.files)?;
        let deadline = Instant::now() + self.connect;
        let (peer, host, port) = self.peer(purpose);
        let mut facts = ConnectionFacts::default();

        let tcp = reach(&peer, &host, port, self.buffers, (self.connect, deadline)).await?;
        let handle = nodelay(&tcp).map_err(|error| peer.not_connected(&error))?;
        facts.connection.nodelay = Some(true);
        facts.connection.send_buffer_bytes = handle.send_buffer_size().ok().map(|bytes| bytes as u64);
        facts.connection.receive_buffer_bytes = handle.recv_buffer_size().ok().map(|bytes| bytes as u64);
        facts.connection.congestion_control = handle.tcp_congestion().ok().map(|name| text_of(&name));
        facts.local_address =
            handle.local_addr().ok().and_then(|address| address.as_socket()).map(|socket| socket.ip());

        let greeting = Greeting::default();
        let stream = self.secure(&peer, tcp, deadline).await?;
        facts.tls = negotiated_tls(&stream);
        let passed = Arc::new(Passed::default());
        let (endings, reasons) = unbounded_channel();
        let light = self.client == Client::Native && !matches!(purpose, Purpose::Topology(_));
        let (for_lapin, wire) = if light {
            let (wire, rare) = Wire::start(stream, greeting.clone(), self.frame_max, passed.clone(), endings);
            (LapinStream::Rare(rare), Some(wire))
        } else {
            let socket = Socket::new(stream, greeting.clone(), self.frame_max, passed.clone(), endings);
            (LapinStream::Whole(Box::new(socket)), None)
        };
        let login = async {
            let opened = tokio::select! {
                opened = self.login(&peer, purpose, for_lapin) => opened,
                error = passed.missed_end() => Err(error),
            };
            match (&wire, opened) {
                (Some(wire), Ok(opened)) => wire.take_over().await.map(|()| opened),
                // lapin has seen only that the connection was over.
                (Some(wire), Err(error)) if !error.is_amqp_error() => Err(wire.failure().unwrap_or(error)),
                (_, opened) => opened,
            }
        };
        let result = timeout_at(deadline, login).await;
        let (connection, channel) = match result {
            Ok(Ok(opened)) => opened,
            failed => {
                // Ends lapin's thread, which would wait for a reply for ever.
                let _ = handle.shutdown(Shutdown::Both);
                let received = greeting.bytes();
                return Err(match failed {
                    Ok(Err(error)) => self.not_let_in(&peer, &error, &greeting),
                    _ => peer.too_slow(Phase::Login, self.connect, &received),
                });
            }
        };
        facts.connection.frame_max_bytes = u64::from(connection.configuration().frame_max());
        let heartbeat = Duration::from_secs(connection.configuration().heartbeat().into());
        let line = Arc::new(Line::new(peer, passed, heartbeat));
        tokio::spawn(line.clone().watch(connection.events_listener(), reasons));
        let service = service(&greeting.bytes());
        if let Some(wire) = &wire {
            wire.report_to(line.clone());
        }
        let shared = Arc::new(Shared { connection, line, facts, service, handle, wire });
        if let Some(token) = &self.token {
            token.keep(shared.clone());
        }
        Ok(Link { shared, channel: Arc::new(channel), limit: self.broker })
    }

    /// The connection with TLS, if the address asks for it.
    async fn secure(&self, peer: &Peer, tcp: TcpStream, deadline: Instant) -> Result<Connected, Fault> {
        let Some(tls) = self.tls.as_ref().filter(|_| peer.endpoint.scheme == Scheme::Amqps) else {
            return Ok(Either::Left(Tcp::new(tcp, false)));
        };
        tls.seen.nothing();
        let handshake = tls.handshake(&peer.endpoint.host, Tcp::new(tcp, true));
        let stream = timeout_at(deadline, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => peer.too_slow(Phase::Tls, self.connect, b""),
            _ => peer.tls(&error, &tls.seen),
        });
        stream.map(Either::Right)
    }

    /// Why a login failed. With TLS 1.3 the service refuses a missing or wrong client certificate only at this point.
    fn not_let_in(&self, peer: &Peer, error: &lapin::Error, greeting: &Greeting) -> Fault {
        let received = greeting.bytes();
        let seen = self.tls.as_ref().filter(|_| peer.endpoint.scheme == Scheme::Amqps).map(|tls| &tls.seen);
        match (greeting.tls_error(), seen) {
            (Some(error), Some(seen)) => peer.tls_late(&error, seen),
            (None, Some(seen)) if received.is_empty() && seen.misses_certificate() => peer.no_certificate(),
            // Its alert is lost if the connection is reset before it is read.
            (None, Some(seen)) if received.is_empty() && seen.has_shown_certificate() => {
                peer.certificate_rejected_silently()
            }
            _ => peer.login(error, &received),
        }
    }

    async fn login(&self, peer: &Peer, purpose: Purpose, socket: LapinStream) -> lapin::Result<(Connection, Channel)> {
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
        let (user, password) = match (&endpoint.password, &self.token) {
            (Some(password), _) => (endpoint.user(), password.clone()),
            // The token names its user; the name in the URL is only for people.
            (None, Some(token)) => (endpoint.user.as_deref().unwrap_or_default(), token.secret()),
            (None, None) => (endpoint.user(), self.route.password.clone()),
        };
        let mut uri = AMQPUri {
            scheme: AMQPScheme::AMQP,
            authority: AMQPAuthority {
                userinfo: AMQPUserInfo { username: user.to_owned(), password: password.expose().to_owned() },
                host: endpoint.host.clone(),
                port: endpoint.port,
            },
            vhost: endpoint.vhost.clone(),
            query: Default::default(),
        };
        uri.query.auth_mechanism = endpoint.external.then_some(SASLMechanism::External);
        uri.query.heartbeat = Some(self.heartbeat_s);
        uri.query.frame_max = Some(self.frame_max);
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;

    #[test]
    fn each_try_of_a_worker_goes_to_the_next_address_of_its_side() {
        let endpoints =
            |hosts: &str| hosts.split(' ').map(|host| Endpoint::parse(&format!("amqp://u@{host}")).unwrap()).collect();
        let route = AmqpRoute {
            producer: endpoints("p1 p2 p3"),
            consumer: endpoints("c1 c2"),
            password: Secret::new("any"),
            ..AmqpRoute::default()
        };
        let mut connector = Connector::once(route, Duration::from_secs(1)).unwrap();
        (connector.producers, connector.consumers) = (3, 2);
        let hosts = |connector: &Connector, role, index| {
            let purposes = |attempt| {
                let worker = Worker { role, index, attempt };
                [Purpose::Publish(worker), Purpose::Read(worker)]
                    .map(|purpose| connector.endpoint(purpose).host.clone())
            };
            (0..4).flat_map(purposes).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(hosts(&connector, Role::Producer, 1), "p2 p2 p3 p3 p1 p1 p2 p2");
        assert_eq!(hosts(&connector, Role::Consumer, 1), "c2 c2 c1 c1 c2 c2 c1 c1");
        connector.spread = "2".parse().unwrap();
        assert_eq!(hosts(&connector, Role::Producer, 1), "p2 p2 p2 p2 p2 p2 p2 p2", "all are to use the same one");
    }
}
