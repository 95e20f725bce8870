//! The user client: the calls to one control server, in their order.

use crate::{
    Error, Kind, Result, Role, Uid, certificate, config,
    connector::{Connector, NoHandshake},
    wire::{AppResponse, Call, Hello, KIND, Release, Request, Response, TROUBLE, UpdateTargets},
};
use grpc::{Caller, Failure, innermost, tls_reason};
use prost::Message;
use rustls::CertificateError;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;

/// The value that is sent without a token.
const NO_TOKEN: &str = "INVALID_TOKEN";
/// Bytes per second, which no server enforces.
const RATE: i32 = 10_000;
/// Delay from `req` to `hello`: SciStream's server fails on an earlier `hello`.
const HELLO_DELAY: Duration = Duration::from_millis(500);

/// A connection to one control server.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    address: String,
    hello_delay: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the server at `address` (`HOST:PORT`), which must have this certificate. Every call ends within `limit`.
    ///
    /// # Errors
    ///
    /// [`Error`] if the server is unreachable, or is not the one of the certificate.
    pub async fn connect(address: &str, certificate_pem: &str, token: Option<&str>, limit: Duration) -> Result<Self> {
        let address = config::target(address).ok_or_else(|| Error::Address(address.to_owned()))?;
        let (host, port) = address.rsplit_once(':').expect("a target has a port");
        let connector = Connector {
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: port.parse().expect("a target's port is a number"),
            tls: Arc::new(certificate::client_config(certificate_pem)?),
            // Shorter than the overall limit, whose error would not name the cause.
            handshake_limit: limit / 2,
        };
        // The scheme is ignored: the connector does TLS.
        let endpoint =
            Endpoint::from_shared(format!("http://{address}")).map_err(|_| Error::Address(address.clone()))?;
        let channel = match timeout(limit, endpoint.connect_with_connector(connector)).await {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(unreachable(&address, &error)),
            Err(_) => {
                let reason = format!("nothing within {} s", limit.as_secs());
                return Err(Error::Unreachable { address, reason });
            }
        };
        let caller = Caller::new(channel, token.unwrap_or(NO_TOKEN), limit)
            .map_err(|_| Error::Certificate("the token has characters that no header may have".to_owned()))?;
        Ok(Self { caller, address, hello_delay: HELLO_DELAY })
    }

    /// Sends `hello` at once, which our own server allows.
    pub fn without_delay(self) -> Self {
        Self { hello_delay: Duration::ZERO, ..self }
    }

    /// Reserves `connections` listeners and starts a data server that forwards them to `targets` or, without targets,
    /// to `application`, the addresses of the service. Returns the listeners.
    ///
    /// # Errors
    ///
    /// [`Error`] if the server refuses, or does not reply within the limit.
    pub async fn open(
        &self,
        uid: &Uid,
        role: Role,
        connections: u32,
        application: &[String],
        targets: Option<&[String]>,
    ) -> Result<Vec<String>> {
        self.start(uid, role, connections, application, targets).await.map(|(listeners, _)| listeners)
    }

    /// The same, with the type of the data server, which our own servers report.
    pub(crate) async fn start(
        &self,
        uid: &Uid,
        role: Role,
        connections: u32,
        application: &[String],
        targets: Option<&[String]>,
    ) -> Result<(Vec<String>, Option<Kind>)> {
        let named = uid.hyphenated();
        let request = Request {
            uid: named.clone(),
            role: role.word().to_owned(),
            num_conn: connections.try_into().unwrap_or(i32::MAX),
            rate: RATE,
        };
        // PROD on both sides: another role would request listeners, which `req` already returns.
        let hello =
            Hello { uid: named.clone(), prod_listeners: application.to_vec(), role: Role::Inbound.word().to_owned() };
        let hello = async {
            sleep(self.hello_delay).await;
            self.call::<_, AppResponse>(Call::Hello, hello, "take the addresses of the service").await
        };
        // If one fails the other is dropped, and the server forgets the request.
        let (reserved, _) = tokio::try_join!(self.call::<_, Response>(Call::Req, request, "reserve listeners"), hello)?;
        let targets = targets.map_or(reserved.prod_listeners, <[String]>::to_vec);
        let update = UpdateTargets { uid: named, remote_listeners: targets, role: role.word().to_owned() };
        let started = match self.replied::<_, Response>(Call::Update, update, "start its data server").await {
            Ok(started) => started,
            Err(error) => {
                let _ = self.release(uid).await;
                return Err(error);
            }
        };
        let kind = started.metadata().get(KIND).and_then(|kind| kind.to_str().ok()?.parse().ok());
        let started = started.into_inner().listeners;
        Ok((if started.is_empty() { reserved.listeners } else { started }, kind))
    }

    /// Starts the data server of a request again.
    pub(crate) async fn renew(&self, uid: &Uid, role: Role, targets: &[String]) -> Result<()> {
        let update =
            UpdateTargets { uid: uid.hyphenated(), remote_listeners: targets.to_vec(), role: role.word().to_owned() };
        self.replied::<_, Response>(Call::Update, update, "start its data server").await.map(drop)
    }

    /// Ends a request: afterwards its data server is gone and its ports are free. Returns the problem that kept
    /// connections from passing, if there was one; only our own servers report it.
    ///
    /// # Errors
    ///
    /// [`Error`] if the server refuses, or does not reply within the limit.
    pub async fn release(&self, uid: &Uid) -> Result<Option<String>> {
        let release = Release { uid: uid.hyphenated() };
        let reply = self.replied::<_, Response>(Call::Release, release, "release the request").await?;
        Ok(reply.metadata().get(TROUBLE).and_then(|sentence| sentence.to_str().ok()).map(str::to_owned))
    }

    async fn call<Q, A>(&self, call: Call, message: Q, action: &'static str) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.replied(call, message, action).await.map(tonic::Response::into_inner)
    }

    async fn replied<Q, A>(&self, call: Call, message: Q, action: &'static str) -> Result<tonic::Response<A>>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        self.caller.call(call.path(), message).await.map_err(|failure| {
            let address = self.address.clone();
            match failure {
                Failure::Late => Error::Late { address, action, limit_s: self.caller.limit().as_secs() },
                Failure::Broken(error) => unreachable(&address, &*error),
                Failure::Refused(status) => Error::Refused { address, action, message: status.message().to_owned() },
            }
        })
    }
}

fn unreachable(address: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let innermost = innermost(error);
    let address = address.to_owned();
    let io = innermost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    if let Some(NoHandshake(limit)) = io.and_then(|inner| inner.downcast_ref()) {
        return Error::Silent { address, limit_s: limit.as_secs() };
    }
    match tls_reason(innermost) {
        Some(rustls::Error::InvalidCertificate(
            error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
        )) => Error::OtherName { address, reason: error.to_string() },
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(inner))) => {
            Error::Untrusted { address, reason: inner.to_string() }
        }
        Some(rustls::Error::InvalidMessage(_)) => Error::NoTls { address },
        Some(error) => Error::Untrusted { address, reason: error.to_string() },
        None => Error::Unreachable { address, reason: innermost.to_string() },
    }
}
