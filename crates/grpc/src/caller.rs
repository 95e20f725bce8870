//! The calls of a client, each with the same limit.

use http::uri::PathAndQuery;
use prost::Message;
use std::time::Duration;
use tokio::time::timeout;
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    metadata::{Ascii, MetadataValue, errors::InvalidMetadataValue},
    transport::Channel,
};
use tonic_prost::ProstCodec;

/// A connection to one server, and the value of `authorization` that every call has.
#[derive(Clone)]
pub struct Caller {
    grpc: Grpc<Channel>,
    authorization: MetadataValue<Ascii>,
    limit: Duration,
}

/// Why a call has no reply.
#[derive(Debug)]
pub enum Failure {
    /// It took longer than the limit.
    Late,
    /// The connection is broken.
    Broken(Box<dyn std::error::Error + Send + Sync>),
    /// The server refuses.
    Refused(Status),
}

impl Caller {
    /// Calls over `channel`, of which each ends within `limit`.
    ///
    /// # Errors
    ///
    /// If `authorization` has characters that no header may have.
    pub fn new(channel: Channel, authorization: &str, limit: Duration) -> Result<Self, InvalidMetadataValue> {
        Ok(Self { grpc: Grpc::new(channel), authorization: sensitive(authorization)?, limit })
    }

    /// The same connection with another authorization.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn authorized(&self, authorization: &str) -> Result<Self, InvalidMetadataValue> {
        Ok(Self { authorization: sensitive(authorization)?, ..self.clone() })
    }

    /// The limit of each call.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Calls what has this path, such as `/package.Service/Method`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no reply.
    pub async fn call<Q, A>(&self, path: &'static str, message: Q) -> Result<Response<A>, Failure>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc.clone();
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", self.authorization.clone());
        let reply = timeout(self.limit, async {
            grpc.ready().await.map_err(|error| Failure::Broken(error.into()))?;
            let codec = ProstCodec::<Q, A>::default();
            grpc.unary(request, PathAndQuery::from_static(path), codec).await.map_err(Failure::of)
        });
        reply.await.unwrap_or(Err(Failure::Late))
    }
}

impl Failure {
    /// No server sends a source: it is tonic's, for a broken connection.
    fn of(status: Status) -> Self {
        let is_broken =
            matches!(status.code(), Code::Unknown | Code::Unavailable) && std::error::Error::source(&status).is_some();
        if is_broken { Self::Broken(status.into()) } else { Self::Refused(status) }
    }
}

/// A value that no debug output shows.
fn sensitive(value: &str) -> Result<MetadataValue<Ascii>, InvalidMetadataValue> {
    let mut value: MetadataValue<Ascii> = value.parse()?;
    value.set_sensitive(true);
    Ok(value)
}
