//! The control server as a process: its socket, and its end.

use crate::{
    Error, Result, SelfSigned,
    data_server::{create_private_dir, write_private},
    options::{Options, advertised, sessions},
    service::ControlService,
    sessions::Sessions,
};
use shortage::{FileContext, SystemContext};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tonic::transport::{Identity, ServerTlsConfig, server::TcpIncoming};

/// Limit on a client's TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A listening control server.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tonic: tonic::transport::Server,
    certificate: String,
    sessions: Sessions,
}

impl Server {
    /// Binds its address. Must be called in the runtime that will serve, on a thread that lives as long: data servers
    /// end with the thread that started them.
    ///
    /// # Errors
    ///
    /// [`Error`] if it cannot listen, or if its certificate or directory cannot be used.
    pub async fn bind(options: Options) -> Result<Self> {
        options.kind.find()?;
        let listen = |source| Error::Listen { address: options.listen.to_string(), source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // Data servers start in another directory.
        let dir = std::path::absolute(&options.dir).on("resolve", &options.dir)?;
        create_private_dir(&dir)?;
        let bind = options.listen.ip();
        let advertise = advertised(&options)?;
        let (certificate, key) = match options.identity.clone() {
            Some(given) => given,
            None => {
                let bare = advertise.trim_matches(['[', ']']).to_owned();
                let own = SelfSigned::generate(["localhost".to_owned(), bind.to_string(), bare])
                    .map_err(Error::Certificate)?;
                let path = dir.join("server.pem");
                write_private(&path, &own.certificate)?;
                (own.certificate, own.key)
            }
        };
        let sessions = sessions(Options { dir, ..options }, advertise);
        let identity = Identity::from_pem(&certificate, key);
        // Before it reports that it listens.
        let tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_LIMIT);
        let tonic = tonic::transport::Server::builder().tls_config(tls).map_err(unusable)?;
        Ok(Self { listener, address, tonic, certificate, sessions })
    }

    /// Its address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate (PEM), which clients need.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Serves until `stop` resolves, and then ends all its data servers.
    ///
    /// # Errors
    ///
    /// [`Error`] if it cannot accept connections.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = self.tonic.serve_with_incoming(ControlService(self.sessions.clone()), incoming);
        // Not a graceful shutdown, which would wait for requests that wait for their hello.
        let ended = tokio::select! {
            served = serving => served.map_err(unusable),
            () = stop => Ok(()),
        };
        self.sessions.release_all().await;
        ended
    }
}

/// Runs a control server until SIGTERM or SIGINT, on this thread. `ready` gets its address and certificate.
///
/// # Errors
///
/// As [`Server::bind`] and [`Server::serve`].
pub fn serve(options: Options, ready: impl FnOnce(SocketAddr, &str)) -> Result<()> {
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|reason| Error::Short { action: "start the control server", reason })?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).when("handle signals")?;
        let mut interrupt = signal(SignalKind::interrupt()).when("handle signals")?;
        let server = Server::bind(options).await?;
        ready(server.address(), server.certificate());
        server
            .serve(async move {
                tokio::select! {
                    _ = terminate.recv() => (),
                    _ = interrupt.recv() => (),
                }
            })
            .await
    })
}

fn unusable(error: tonic::transport::Error) -> Error {
    Error::Certificate(grpc::innermost(&error).to_string())
}
