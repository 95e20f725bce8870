//! HTTP or HTTPS for the local service, until SIGTERM or SIGINT.

use crate::{Error, Result, Service};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

const BODY_BYTES_MAX: usize = 64 * 1024;
const HEADER_LIMIT: Duration = Duration::from_secs(10);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The certificate chain of an HTTPS service, and its key, as PEM.
pub struct Identity {
    /// The chain.
    pub certificate: String,
    /// The key.
    pub key: String,
}

impl Identity {
    fn acceptor(&self) -> std::result::Result<TlsAcceptor, String> {
        let chain = CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect::<std::result::Result<_, _>>();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|error| format!("{error:?}"))?;
        let chain = chain.map_err(|error| format!("{error:?}"))?;
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| error.to_string())?)))
    }
}

/// Serves on `listen`, in plain HTTP without an identity; calls `up` with the address. Returns on SIGTERM or SIGINT, with every
/// cluster removed.
///
/// # Errors
///
/// [`Error::Serve`] if it cannot listen or use its certificate; [`Error::Short`] if the system lacks threads or files.
pub fn serve(
    service: Service,
    listen: SocketAddr,
    identity: Option<&Identity>,
    up: impl FnOnce(SocketAddr),
) -> Result<()> {
    let unusable = |reason| Error::Serve { action: "use its certificate", reason };
    let tls = identity.map(Identity::acceptor).transpose().map_err(unusable)?;
    let short = |error: io::Error| Error::Short(error.to_string());
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
    // The runtime panics if it cannot start a thread that it needs.
    shortage::thread("blocking", || ()).map_err(short)?;
    let failed = |error: io::Error| Error::Serve { action: "listen", reason: error.to_string() };
    runtime.map_err(short)?.block_on(until_signalled(service, listen, tls, up)).map_err(failed)
}

async fn until_signalled(
    service: Service,
    listen: SocketAddr,
    tls: Option<TlsAcceptor>,
    up: impl FnOnce(SocketAddr),
) -> io::Result<()> {
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
                let (service, tls) = (service.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(stream, service).await,
                        Some(tls) => {
                            if let Ok(Ok(stream)) = timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await {
                                talk(stream, service).await;
                            }
                        }
                    }
                });
            }
        }
    }
}

/// Replies to the requests of one connection. A client that breaks off is of no interest.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, service: Arc<Service>) {
    let service = service_fn(move |request| reply(service.clone(), request));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
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
