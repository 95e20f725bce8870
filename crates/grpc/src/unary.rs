//! A function as a tonic service, for one request.

use prost::Message;
use std::{marker::PhantomData, pin::Pin};
use tonic::{
    Request, Response, Status,
    body::Body,
    server::{Grpc, UnaryService},
};
use tonic_prost::ProstCodec;

/// Decodes a request, has `work` do it, and encodes what comes of it.
pub async fn unary<Q, A, F, W>(request: http::Request<Body>, work: W) -> http::Response<Body>
where
    Q: Message + Default + 'static,
    A: Message + 'static,
    F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    W: FnOnce(Q) -> F,
{
    Grpc::new(ProstCodec::<A, Q>::default()).unary(Once(Some(work), PhantomData), request).await
}

struct Once<W, Q>(Option<W>, PhantomData<fn(Q)>);

impl<Q, A, F, W> UnaryService<Q> for Once<W, Q>
where
    F: Future<Output = Result<Response<A>, Status>> + Send + 'static,
    W: FnOnce(Q) -> F,
{
    type Response = A;
    type Future = Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let work = self.0.take().expect("tonic calls once for each request");
        Box::pin(work(request.into_inner()))
    }
}
