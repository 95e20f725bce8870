//! A TLS connection to a control server, as tonic wants it.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// The other side took the connection, and then did not agree on TLS in this time.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("no TLS within {} s", .0.as_secs())]
pub struct NoHandshake(pub Duration);

/// Connects to one address, whatever URI is asked for.
///
/// Our own instead of tonic's: that one trusts authorities only, and a control server's self-signed certificate is none.
pub struct Connector {
    pub host: String,
    pub port: u16,
    pub tls: Arc<ClientConfig>,
    /// How long the other side may take to agree on TLS. An error of the kind `TimedOut` that holds a `NoHandshake` says so.
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
            // An address is not resolved: that would take a thread, which not every caller may have.
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
