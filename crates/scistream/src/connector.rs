//! A TLS connection to a control server, for tonic.

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tower_service::Service;

/// The other side accepted the connection, and did not complete the TLS handshake in this time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no TLS within {} s", .0.as_secs())]
pub struct NoHandshake(pub Duration);

/// Connects to one address, whatever the requested URI.
///
/// Our own instead of tonic's: tonic's trusts authorities only, and a control server's self-signed certificate is not
/// one.
pub struct Connector {
    pub host: String,
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    /// Limit on the TLS handshake. The error after it is of the kind `TimedOut` and contains a `NoHandshake`.
    pub handshake_limit: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let (host, port, tls) = (self.host.clone(), self.port, TlsConnector::from(Arc::clone(&self.tls)));
        let limit = self.handshake_limit;
        Box::pin(async move {
            // An address is not resolved, because that needs a thread, which not every caller may have.
            let tcp = match host.parse() {
                Ok(ip) => TcpStream::connect(SocketAddr::new(ip, port)).await?,
                Err(_) => TcpStream::connect((host.as_str(), port)).await?,
            };
            tcp.set_nodelay(true)?;
            let name =
                ServerName::try_from(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
            let agreed = timeout(limit, tls.connect(name, tcp)).await;
            Ok(TokioIo::new(agreed.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, NoHandshake(limit)))??))
        })
    }
}
