//! The client: each call with its limit, each failure as one sentence.

use crate::{
    control::{
        call::Call,
        messages::{
            Deregister, Nothing, OfReservation, OverviewReply, Register, Registered, Reservation, Reserve, Senders,
            State, Status, Tables, TablesRequest, VersionReply,
        },
    },
    error::{Error, Result},
    uri::Uri,
};
use http::uri::PathAndQuery;
use prost::Message;
use std::{fmt, time::Duration};
use tokio::time::timeout;
use tonic::{
    metadata::{Ascii, MetadataValue},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_prost::ProstCodec;

/// Whose certificate a control plane behind `ejfats://` may have.
#[derive(Debug, Clone)]
pub enum Trust {
    /// One of an authority that this system trusts.
    System,
    /// This one, or one of this authority (PEM).
    Only(String),
}

/// A connection to a control plane, with one token.
#[derive(Clone)]
pub struct Client {
    grpc: tonic::client::Grpc<Channel>,
    address: String,
    token: MetadataValue<Ascii>,
    limit: Duration,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects to the control plane of `uri`, with its token. Every call ends within `limit`.
    ///
    /// # Errors
    ///
    /// [`Error`] if it has no token, cannot be reached, or has another certificate.
    pub async fn connect(uri: &Uri, trust: &Trust, limit: Duration) -> Result<Self> {
        let address = uri.control();
        let token = bearer(uri.token.as_deref().ok_or(Error::NoToken)?)?;
        let scheme = if uri.tls { "https" } else { "http" };
        let unusable = |_| Error::Unreachable { address: address.clone(), reason: "not a valid address".to_owned() };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}")).map_err(unusable)?.tcp_nodelay(true);
        if uri.tls {
            endpoint = endpoint.tls_config(tls(trust)?).map_err(|error| unreachable(&address, &error))?;
        }
        let channel = match timeout(limit, endpoint.connect()).await {
            Ok(connected) => connected.map_err(|error| unreachable(&address, &error))?,
            Err(_) => return Err(Error::Late { address, action: "accept the connection", limit_s: limit.as_secs() }),
        };
        Ok(Self { grpc: tonic::client::Grpc::new(channel), address, token, limit })
    }

    /// The same connection with another token: that of a reservation or a session.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] if it has characters that no header may have.
    pub fn with_token(&self, token: &str) -> Result<Self> {
        Ok(Self { token: bearer(token)?, ..self.clone() })
    }

    /// Reserves a load balancer.
    ///
    /// # Errors
    ///
    /// [`Error`] if the control plane rejects the call or does not reply in time, as for all others.
    pub async fn reserve(&self, request: Reserve) -> Result<Reservation> {
        self.call(Call::Reserve, request, "reserve a load balancer").await
    }

    /// The addresses of a reservation.
    pub async fn get(&self, lb_id: &str) -> Result<Reservation> {
        self.call(Call::Get, OfReservation { lb_id: lb_id.to_owned() }, "describe the reservation").await
    }

    /// Its receivers and senders.
    pub async fn status(&self, lb_id: &str) -> Result<Status> {
        self.call(Call::Status, OfReservation { lb_id: lb_id.to_owned() }, "report the status").await
    }

    /// Ends it.
    pub async fn free(&self, lb_id: &str) -> Result<()> {
        self.call(Call::Free, OfReservation { lb_id: lb_id.to_owned() }, "free the load balancer").await.map(nothing)
    }

    /// Lets addresses send.
    pub async fn add_senders(&self, lb_id: &str, addresses: Vec<String>) -> Result<()> {
        let senders = Senders { lb_id: lb_id.to_owned(), addresses };
        self.call(Call::AddSenders, senders, "allow the senders").await.map(nothing)
    }

    /// Lets them send no longer.
    pub async fn remove_senders(&self, lb_id: &str, addresses: Vec<String>) -> Result<()> {
        let senders = Senders { lb_id: lb_id.to_owned(), addresses };
        self.call(Call::RemoveSenders, senders, "remove the senders").await.map(nothing)
    }

    /// Registers a receiver.
    pub async fn register(&self, request: Register) -> Result<Registered> {
        self.call(Call::Register, request, "register the receiver").await
    }

    /// Ends its session.
    pub async fn deregister(&self, request: Deregister) -> Result<()> {
        self.call(Call::Deregister, request, "deregister the receiver").await.map(nothing)
    }

    /// Reports how it is.
    pub async fn send_state(&self, request: State) -> Result<()> {
        self.call(Call::SendState, request, "take the receiver's state").await.map(nothing)
    }

    /// All reservations.
    pub async fn overview(&self) -> Result<OverviewReply> {
        self.call(Call::Overview, Nothing {}, "list its reservations").await
    }

    /// What the control plane is.
    pub async fn version(&self) -> Result<VersionReply> {
        self.call(Call::Version, Nothing {}, "report its version").await
    }

    /// What a software load balancer balances by. Only our own control plane knows this call.
    pub async fn tables(&self, request: TablesRequest) -> Result<Tables> {
        self.call(Call::Tables, request, "report its tables").await
    }

    async fn call<Q, A>(&self, call: Call, message: Q, action: &'static str) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc.clone();
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", self.token.clone());
        let reply = timeout(self.limit, async {
            grpc.ready().await.map_err(|error| unreachable(&self.address, &error))?;
            let path = PathAndQuery::from_static(call.path());
            grpc.unary(request, path, ProstCodec::<Q, A>::default())
                .await
                .map_err(|status| self.refused(action, &status))
        });
        let limit_s = self.limit.as_secs();
        let late = |_| Error::Late { address: self.address.clone(), action, limit_s };
        reply.await.map_err(late)?.map(tonic::Response::into_inner)
    }

    fn refused(&self, action: &'static str, status: &tonic::Status) -> Error {
        // No control plane sends a source; it is tonic's, for a broken connection.
        if std::error::Error::source(status).is_some() {
            return unreachable(&self.address, status);
        }
        let (address, message) = (self.address.clone(), status.message().to_owned());
        match status.code() {
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Error::Denied { address, action, message },
            _ => Error::Refused { address, action, message },
        }
    }
}

fn nothing(_: Nothing) {}

fn bearer(token: &str) -> Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| Error::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

fn tls(trust: &Trust) -> Result<ClientTlsConfig> {
    match trust {
        Trust::Only(pem) => Ok(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))),
        Trust::System => {
            let found = rustls_native_certs::load_native_certs().certs;
            let anchors: Vec<_> = found
                .iter()
                .filter_map(|certificate| Some(webpki::anchor_from_trusted_cert(certificate).ok()?.to_owned()))
                .collect();
            if anchors.is_empty() { Err(Error::NoRoots) } else { Ok(ClientTlsConfig::new().trust_anchors(anchors)) }
        }
    }
}

/// Why a control plane is unreachable, by the innermost reason: the outer ones are only "transport error".
fn unreachable(address: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let io = innermost.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let tls = io.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| innermost.downcast_ref());
    let (address, reason) = (address.to_owned(), innermost.to_string());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => Error::NoTls { address },
        Some(_) => Error::Untrusted { address, reason },
        None => Error::Unreachable { address, reason },
    }
}
