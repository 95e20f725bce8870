//! HTTP for the local service, until SIGTERM or SIGINT.

use crate::{Error, Result, Service};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};

const BODY_BYTES_MAX: usize = 64 * 1024;
const HEADER_LIMIT: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Serves on `listen`; calls `up` with the address. Returns on SIGTERM or SIGINT, with every cluster removed.
///
/// # Errors
///
/// [`Error::Serve`] if it cannot listen; [`Error::Short`] if the system lacks threads or files.
pub fn serve(service: Service, listen: SocketAddr, up: impl FnOnce(SocketAddr)) -> Result<()> {
    let short = |error: io::Error| Error::Short(error.to_string());
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
    // The runtime panics if it cannot start a thread that it needs.
    shortage::thread("blocking", || ()).map_err(short)?;
    let failed = |error: io::Error| Error::Serve { action: "listen", reason: error.to_string() };
    runtime.map_err(short)?.block_on(until_signalled(service, listen, up)).map_err(failed)
}

async fn until_signalled(service: Service, listen: SocketAddr, up: impl FnOnce(SocketAddr)) -> io::Result<()> {
    // The sweeps use this first thread.
    drop(spawn_blocking(|| ()));
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = TcpListener::bind(listen).await?;
    up(listener.local_addr()?);
    let service = Arc::new(service);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = sweep.tick() => {
                let service = service.clone();
                spawn_blocking(move || service.sweep());
            }
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else {
                    // Out of descriptors: the next accept would fail at once, too.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let service = service.clone();
                let service = service_fn(move |request| reply(service.clone(), request));
                tokio::spawn(http1::Builder::new().timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT)
                    .serve_connection(TokioIo::new(stream), service));
            }
        }
    }
}

async fn reply(
    service: Arc<Service>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    let method = request.method().to_string();
    let path = request.uri().path().to_owned();
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let token = token.to_owned();
    let body = match Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        // Larger than any valid request.
        Err(_) => Bytes::from_static(b"too much"),
    };
    // It waits for RabbitMQ and HAProxy.
    let reply = spawn_blocking(move || service.reply(&method, &path, &token, &body)).await;
    let (status, json) = reply.unwrap_or((500, serde_json::json!({"code": 13, "message": "failed", "details": []})));
    let mut response = Response::new(Full::new(Bytes::from(json.to_string())));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", hyper::header::HeaderValue::from_static("application/json"));
    Ok(response)
}
