//! The control server's four calls for tonic: from a path to a method and back.

use crate::{
    Error,
    options::{Options, advertised, sessions},
    sessions::Sessions,
    wire::{self, Call, KIND, Release, TROUBLE, UpdateTargets},
};
use grpc::unary;
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tonic::{
    Response, Status,
    body::Body,
    metadata::MetadataValue,
    transport::server::{TcpConnectInfo, TlsConnectInfo},
};
use tower_service::Service;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The four calls of a control server, without its socket.
#[derive(Clone)]
pub struct ControlService(pub(crate) Sessions);

impl ControlService {
    /// A service with these options; its data servers listen on the address in them.
    ///
    /// # Errors
    ///
    /// [`Error`] if no host can be reported to clients.
    pub fn new(options: Options) -> Result<Self, Error> {
        let advertise = advertised(&options)?;
        Ok(Self(sessions(options, advertise)))
    }
}

impl Service<http::Request<Body>> for ControlService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        let connection = request.extensions().get::<TlsConnectInfo<TcpConnectInfo>>();
        let address = connection.and_then(|tls| tls.get_ref().remote_addr());
        let sessions = match self.0.admit(address.map(|address| address.ip()), token) {
            Ok(sessions) => sessions,
            Err(refused) => return Box::pin(async move { Ok(refused.into_http()) }),
        };
        let Some(call) = Call::of_path(request.uri().path()) else {
            let unknown = Status::unimplemented("no such call: this server has req, hello, update and release");
            return Box::pin(async move { Ok(unknown.into_http()) });
        };
        let log = sessions.clone();
        Box::pin(async move {
            Ok(match call {
                Call::Req => unary(request, move |message| log.note(call, replied(sessions.req(message)))).await,
                Call::Hello => unary(request, move |message| log.note(call, replied(sessions.hello(message)))).await,
                Call::Update => unary(request, move |message| log.note(call, updated(sessions, message))).await,
                Call::Release => unary(request, move |message| log.note(call, released(sessions, message))).await,
            })
        })
    }
}

async fn replied<A>(work: impl Future<Output = Result<A, Status>>) -> Result<Response<A>, Status> {
    work.await.map(Response::new)
}

/// Adds the started type to the reply: two proxies of different types do not understand each other.
async fn updated(sessions: Sessions, message: UpdateTargets) -> Result<Response<wire::Response>, Status> {
    let kind = sessions.kind();
    let mut reply = Response::new(sessions.update(message).await?);
    reply.metadata_mut().insert(KIND, MetadataValue::from_static(kind.name()));
    Ok(reply)
}

/// Adds the problem that kept connections from passing to the reply: the caller cannot read the log here.
async fn released(sessions: Sessions, message: Release) -> Result<Response<wire::Response>, Status> {
    let (reply, trouble) = sessions.release(message).await?;
    let mut reply = Response::new(reply);
    if let Some(trouble) = trouble.and_then(|sentence| sentence.parse().ok()) {
        reply.metadata_mut().insert(TROUBLE, trouble);
    }
    Ok(reply)
}
