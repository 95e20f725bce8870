//! One connection, from the address to an open channel, within one limit.

use crate::{
    fault::{Peer, Phase},
    route::{AmqpRoute, ConnectTo, Endpoint, HostPort, Scheme},
    socket::{Greeting, Kit, Socket, Tcp, first_frame},
    tls,
};
use async_rs::Runtime;
use engine::ports::{ConnectionFacts, Fault, FaultKind, Service};
use lapin::{
    AsyncTcpStream, Channel, Connection, ConnectionProperties,
    protocol::{AMQPClass, connection::AMQPMethod, parse_class},
    tcp::RustlsConnector,
    types::AMQPValue,
    uri::{AMQPAuthority, AMQPScheme, AMQPUri, AMQPUserInfo},
};
use profile::Plan;
use std::{
    fmt, io,
    net::Shutdown,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    net::TcpStream,
    time::{Instant, timeout, timeout_at},
};

const REPLY_SUCCESS: u16 = 200;
/// Twice what RabbitMQ 4 insists on, for small bodies and the login.
const FRAME_BYTES_MIN: u32 = 16 << 10;
/// What RabbitMQ proposes.
const FRAME_BYTES_MAX: u32 = 128 << 10;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Producer,
    Consumer,
    Topology,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Producer => "producer",
            Self::Consumer => "consumer",
            Self::Topology => "topology",
        })
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
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("route", &self.route).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(route: AmqpRoute, plan: &Plan) -> Result<Self, Fault> {
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
            connect: plan.limits.connect,
            broker: plan.limits.broker,
            heartbeat_s: plan.service.heartbeat_s,
            frame_max: frame_max(plan.message.body_bytes),
        })
    }

    /// Connects worker `index` of a role. Must be called in the runtime that will drive it.
    pub(crate) async fn open(&self, role: Role, index: u32) -> Result<Link, Fault> {
        let endpoints = match role {
            Role::Producer => &self.route.producer,
            // Consumers are the nearer to the service where a route treats the two differently.
            Role::Consumer | Role::Topology => &self.route.consumer,
        };
        let endpoint = &endpoints[index as usize % endpoints.len()];
        let deadline = Instant::now() + self.connect;
        let (host, port) = ConnectTo::apply(&self.route.connect_to, &endpoint.host, endpoint.port);
        let redirected = (host != endpoint.host || port != endpoint.port).then(|| (host.clone(), port));
        let peer = Peer { endpoint: endpoint.clone(), reached_at: redirected };
        let mut facts = ConnectionFacts { address: HostPort(&host, port).to_string(), ..ConnectionFacts::default() };

        let tcp = timeout_at(deadline, reach(&peer, &host, port))
            .await
            .unwrap_or_else(|_| Err(peer.too_slow(Phase::Reach, self.connect, b"")))?;
        let handle = nodelay(&tcp).map_err(|error| peer.unreachable(&error))?;
        facts.nodelay = Some(true);

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

        let login = self.login(&peer, role, index, Socket::new(stream, greeting.clone()));
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
        Ok(Link {
            connection,
            channel: Arc::new(channel),
            peer: Arc::new(peer),
            facts,
            service: service(&greeting.bytes()),
            handle,
            limit: self.broker,
        })
    }

    async fn login(&self, peer: &Peer, role: Role, index: u32, socket: Socket) -> lapin::Result<(Connection, Channel)> {
        let name = match role {
            Role::Topology => "streamharness topology".to_owned(),
            role => format!("streamharness {role} {index}"),
        };
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

async fn reach(peer: &Peer, host: &str, port: u16) -> Result<TcpStream, Fault> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| peer.unresolved(&error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(peer.unreachable(&last))
}

/// Sets TCP_NODELAY, reads it back, and returns a second handle on the socket.
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
    Service { product: property("product"), version: property("version") }
}

/// An open connection with its channel.
pub(crate) struct Link {
    connection: Connection,
    pub channel: Arc<Channel>,
    pub peer: Arc<Peer>,
    pub facts: ConnectionFacts,
    pub service: Service,
    handle: socket2::Socket,
    limit: Duration,
}

impl Link {
    /// One exchange with the service, within its limit; `what` completes "does not ...".
    pub(crate) async fn exchange<T>(
        &self,
        what: &str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Fault> {
        match timeout(self.limit, request).await {
            Ok(result) => result.map_err(|error| self.peer.refused(what, &error)),
            Err(_) => Err(self.peer.unanswered(what, self.limit)),
        }
    }

    /// Closes channel and connection; what was written on the channel has been handled before.
    pub(crate) async fn close(self) {
        let goodbye = async {
            // Each is refused if it is closed already, which is as well.
            let _ = self.channel.close(REPLY_SUCCESS, "OK".into()).await;
            let _ = self.connection.close(REPLY_SUCCESS, "OK".into()).await;
        };
        if timeout(self.limit, goodbye).await.is_err() {
            let _ = self.handle.shutdown(Shutdown::Both);
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
        assert_eq!(service(&frame), Service { product: "RabbitMQ".into(), version: "3.10.8".into() });
        assert_eq!(service(&frame[..frame.len() - 1]), Service::default());
        assert_eq!(service(b"HTTP/1.1 400"), Service::default());
    }
}
