//! The calls for tonic: from a path and a token to the control plane, and back.

use crate::{
    control::{
        call::Call,
        messages::{Deregister, Nothing, OfReservation, Register, Reserve, Senders, State, Tables, TablesRequest},
    },
    plane::Plane,
};
use prost::Message;
use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{SystemTime, UNIX_EPOCH},
};
use tonic::{Response, Status, body::Body};
use tower_service::Service;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The calls of a control plane, without its socket.
#[derive(Clone)]
pub struct ControlService(Arc<Mutex<Plane>>);

impl ControlService {
    /// A service in front of this control plane.
    pub fn new(plane: Plane) -> Self {
        Self(Arc::new(Mutex::new(plane)))
    }

    /// Does something with the control plane and the time.
    pub fn with<T>(&self, work: impl FnOnce(&mut Plane, u64) -> T) -> T {
        // What panicked has left it whole: no method changes it after something that can.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), now_us())
    }
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Service<http::Request<Body>> for ControlService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let token = match bearer(&request) {
            Ok(token) => token,
            Err(status) => return Box::pin(ready(Ok(status.into_http()))),
        };
        let Some(call) = Call::of_path(request.uri().path()) else {
            let unknown = Status::unimplemented("this control plane does not have the call; use one of ESnet's");
            return Box::pin(ready(Ok(unknown.into_http())));
        };
        let control = self.clone();
        Box::pin(async move { Ok(control.dispatch(call, token, request).await) })
    }
}

impl ControlService {
    async fn dispatch(self, call: Call, token: String, request: http::Request<Body>) -> http::Response<Body> {
        let token = token.as_str();
        match call {
            Call::Reserve => {
                self.unary(request, |plane, message: Reserve, now_us| plane.reserve(token, &message, now_us)).await
            }
            Call::Get => self.unary(request, |plane, of: OfReservation, _| plane.get(token, &of.lb_id)).await,
            Call::Status => {
                self.unary(request, |plane, of: OfReservation, now_us| plane.status(token, &of.lb_id, now_us)).await
            }
            Call::Free => {
                self.unary(request, |plane, of: OfReservation, _| plane.free(token, &of.lb_id).map(nothing)).await
            }
            Call::AddSenders => {
                self.unary(request, |plane, of: Senders, _| plane.add_senders(token, &of).map(nothing)).await
            }
            Call::RemoveSenders => {
                self.unary(request, |plane, of: Senders, _| plane.remove_senders(token, &of).map(nothing)).await
            }
            Call::Register => {
                self.unary(request, |plane, of: Register, now_us| plane.register(token, of, now_us)).await
            }
            Call::Deregister => {
                self.unary(request, |plane, of: Deregister, _| plane.deregister(token, &of).map(nothing)).await
            }
            Call::SendState => {
                self.unary(request, |plane, of: State, _| plane.send_state(token, of).map(nothing)).await
            }
            Call::Overview => self.unary(request, |plane, _: Nothing, now_us| plane.overview(token, now_us)).await,
            Call::Version => self.unary(request, |plane, _: Nothing, _| plane.version(token)).await,
            Call::Tables => self.unary(request, |plane, of: TablesRequest, _| tables(plane, token, of)).await,
        }
    }

    async fn unary<Q, A>(
        &self,
        request: http::Request<Body>,
        work: impl FnOnce(&mut Plane, Q, u64) -> Result<A, Status>,
    ) -> http::Response<Body>
    where
        Q: Message + Default + 'static,
        A: Message + 'static,
    {
        let done = |message| self.with(|plane, now_us| work(plane, message, now_us).map(Response::new));
        grpc::unary(request, |message| ready(done(message))).await
    }
}

fn nothing((): ()) -> Nothing {
    Nothing {}
}

/// The token that a request has.
fn bearer(request: &http::Request<Body>) -> Result<String, Status> {
    let header = request.headers().get("authorization");
    let header =
        header.ok_or_else(|| Status::unauthenticated("the call has no token; send `authorization: Bearer TOKEN`"))?;
    let token = header.to_str().ok().and_then(|value| value.strip_prefix("Bearer "));
    token.map(str::to_owned).ok_or_else(|| {
        Status::invalid_argument("the token does not follow the word Bearer; send `authorization: Bearer TOKEN`")
    })
}

/// The tables of a load balancer, or only their version if that is the known one.
fn tables(plane: &mut Plane, token: &str, request: TablesRequest) -> Result<Tables, Status> {
    let TablesRequest { balancer, known, packets } = request;
    let tables = plane.tables_for(token, balancer, packets)?;
    if tables.version == known {
        return Ok(Tables { version: tables.version, ..Tables::default() });
    }
    Ok(tables.as_ref().into())
}
