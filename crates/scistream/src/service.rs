//! The control server's four calls as tonic serves them: from a path to a method and back.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::sessions::Sessions;
use crate::wire::Call;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Answers with what `Sessions` does.
#[derive(Clone)]
pub struct ControlService(pub Sessions);

impl Service<http::Request<Body>> for ControlService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Boxed<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let sessions = self.0.clone();
        let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        if let Err(refused) = sessions.admits(token) {
            return Box::pin(async move { Ok(refused.into_http()) });
        }
        Box::pin(async move {
            Ok(match Call::of_path(request.uri().path()) {
                Some(Call::Req) => unary(request, move |message| sessions.req(message)).await,
                Some(Call::Hello) => unary(request, move |message| sessions.hello(message)).await,
                Some(Call::Update) => unary(request, move |message| sessions.update(message)).await,
                Some(Call::Release) => unary(request, move |message| sessions.release(message)).await,
                None => {
                    Status::unimplemented("no such call: this server has req, hello, update and release").into_http()
                }
            })
        })
    }
}

async fn unary<Q, A, F, W>(request: http::Request<Body>, work: W) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<A, Status>> + Send + 'static,
    W: FnOnce(Q) -> F,
{
    Grpc::new(ProstCodec::<A, Q>::default()).unary(Once(Some(work), std::marker::PhantomData), request).await
}

/// A function as tonic's kind of service, good for one request.
struct Once<W, Q>(Option<W>, std::marker::PhantomData<fn(Q)>);

impl<Q, A, F, W> UnaryService<Q> for Once<W, Q>
where
    F: Future<Output = Result<A, Status>> + Send + 'static,
    W: FnOnce(Q) -> F,
{
    type Response = A;
    type Future = Boxed<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let work = self.0.take().expect("tonic asks once for each request");
        let answer = work(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}
