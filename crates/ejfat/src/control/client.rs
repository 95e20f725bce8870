//! The client: each call with its limit, each failure as one sentence.

use crate::{
    control::{
        call::Call,
        messages::{
            Deregister, Nothing, OfReservation, OverviewReply, Register, Registered, Reservation, Reserve, Senders,
            State, Status, Tables, TablesRequest, Timestamp, VersionReply,
        },
    },
    error::{Error, Result},
    uri::Uri,
};
use grpc::{Caller, Failure, innermost, tls_reason};
use prost::Message;
use std::{fmt, time::Duration};
use tokio::time::timeout;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

/// Whose certificate a control plane behind `ejfats://` may have.
#[derive(Debug, Clone)]
pub enum Trust {
    /// One of an authority that this system trusts.
    System,
    /// This one, or one of this authority (PEM).
    Only(String),
}

/// States that are older than this by the control plane's clock get no slots.
const STATE_AGE_MAX: Duration = Duration::from_secs(2);

/// A connection to a control plane, with one token.
#[derive(Clone)]
pub struct Client {
    caller: Caller,
    address: String,
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
        let token = bearer(uri.token.as_deref().ok_or(Error::NoToken)?);
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
        let caller = Caller::new(channel, &token, limit).map_err(|_| Error::Token)?;
        Ok(Self { caller, address })
    }

    /// The same connection with another token: that of a reservation or a session.
    ///
    /// # Errors
    ///
    /// [`Error::Token`] if it has characters that no header may have.
    pub fn with_token(&self, token: &str) -> Result<Self> {
        let caller = self.caller.authorized(&bearer(token)).map_err(|_| Error::Token)?;
        Ok(Self { caller, ..self.clone() })
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

    /// Refuses a clock that shows `now_us` while the control plane's shows that of its status, if states of that time count as old.
    pub fn check_clock(&self, status: &Status, now_us: u64) -> Result<()> {
        let theirs_us = status.timestamp.map_or(0, Timestamp::us);
        let behind = Duration::from_micros(theirs_us.saturating_sub(now_us));
        if behind <= STATE_AGE_MAX {
            return Ok(());
        }
        let behind_ms = u64::try_from(behind.as_millis()).unwrap_or(u64::MAX);
        Err(Error::Behind { address: self.address.clone(), behind_ms })
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
        self.caller.call(call.path(), message).await.map(tonic::Response::into_inner).map_err(|failure| match failure {
            Failure::Late => {
                Error::Late { address: self.address.clone(), action, limit_s: self.caller.limit().as_secs() }
            }
            Failure::Broken(error) => unreachable(&self.address, &*error),
            Failure::Refused(status) => self.refused(action, &status),
        })
    }

    fn refused(&self, action: &'static str, status: &tonic::Status) -> Error {
        let (address, message) = (self.address.clone(), status.message().to_owned());
        match status.code() {
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Error::Denied { address, action, message },
            _ => Error::Refused { address, action, message },
        }
    }
}

fn nothing(_: Nothing) {}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
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

fn unreachable(address: &str, error: &(dyn std::error::Error + 'static)) -> Error {
    let innermost = innermost(error);
    let (address, reason) = (address.to_owned(), innermost.to_string());
    match tls_reason(innermost) {
        Some(rustls::Error::InvalidMessage(_)) => Error::NoTls { address },
        Some(_) => Error::Untrusted { address, reason },
        None => Error::Unreachable { address, reason },
    }
}
