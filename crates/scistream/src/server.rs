//! The control server as a process: its options, its socket, its end.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};

use crate::data_server::{create_private_dir, write_private};
use crate::error::{FileContext, SystemContext};
use crate::ports::Ports;
use crate::service::ControlService;
use crate::sessions::{Sessions, Settings};
use crate::{Error, Kind, Result, SelfSigned, config};

/// How long a client may take over its TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// What a control server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it takes requests. Its data servers listen on the same address, and on no other.
    pub listen: SocketAddr,
    /// The host that is told to clients in place of that address.
    pub advertise: Option<String>,
    /// The ports of its data servers.
    pub ports: RangeInclusive<u16>,
    /// What it starts.
    pub kind: Kind,
    /// Its private directory: configurations, keys, logs.
    pub dir: PathBuf,
    /// Certificate and key (PEM). Without them it makes its own and leaves the certificate in `dir/server.pem`.
    pub identity: Option<(String, String)>,
    /// Who may call; anyone where there are none.
    pub tokens: Vec<String>,
    /// How long a request waits for its `hello`.
    pub hello_limit: Duration,
    /// Gets a line for the operator for each request, refusal, start, trouble and release, without uids and tokens.
    pub log: fn(&str),
}

impl Options {
    /// With SciStream's own limit, no tokens and no log.
    pub fn new(listen: SocketAddr, ports: RangeInclusive<u16>, kind: Kind, dir: PathBuf) -> Self {
        let hello_limit = Duration::from_secs(180);
        let log = |_: &str| ();
        Self { listen, advertise: None, ports, kind, dir, identity: None, tokens: Vec::new(), hello_limit, log }
    }
}

/// A control server that listens.
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
    pub async fn bind(options: Options) -> Result<Self> {
        options.kind.find()?;
        let listen = |source| Error::Listen { address: options.listen.to_string(), source };
        let listener = TcpListener::bind(options.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        // Data servers start elsewhere.
        let dir = std::path::absolute(&options.dir).on("resolve", &options.dir)?;
        create_private_dir(&dir)?;
        let bind = options.listen.ip();
        let advertise = advertised(&options)?;
        let (certificate, key) = match options.identity.clone() {
            Some(given) => given,
            None => {
                let bare = advertise.trim_matches(['[', ']']).to_owned();
                let own = SelfSigned::generate(["localhost".to_owned(), bind.to_string(), bare])?;
                let path = dir.join("server.pem");
                write_private(&path, &own.certificate)?;
                (own.certificate, own.key)
            }
        };
        let sessions = sessions(Options { dir, ..options }, advertise);
        let identity = Identity::from_pem(&certificate, key);
        // Before anyone is told that it listens.
        let tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE_LIMIT);
        let tonic = tonic::transport::Server::builder().tls_config(tls).map_err(unusable)?;
        Ok(Self { listener, address, tonic, certificate, sessions })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its certificate (PEM), which clients have to know.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Serves until `stop` resolves, and then ends all its data servers.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<()> {
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let serving = self.tonic.serve_with_incoming(ControlService(self.sessions.clone()), incoming);
        // Not a graceful end: it would wait for requests that wait for their hello.
        let ended = tokio::select! {
            served = serving => served.map_err(unusable),
            () = stop => Ok(()),
        };
        self.sessions.release_all().await;
        ended
    }
}

/// Runs a control server until SIGTERM or SIGINT, on this thread. `ready` gets its address and certificate.
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

/// What is served, with `advertise` as the host that clients are told.
pub(crate) fn sessions(options: Options, advertise: String) -> Sessions {
    let bind = options.listen.ip();
    let settings = Settings {
        kind: options.kind,
        bind,
        advertise,
        dir: options.dir,
        tokens: options.tokens,
        hello_limit: options.hello_limit,
        log: options.log,
    };
    Sessions::new(settings, Ports::new(bind, options.ports))
}

/// The host that clients are told: the one given, else the address itself, which has to be one that can be reached.
pub(crate) fn advertised(options: &Options) -> Result<String> {
    let Some(host) = &options.advertise else {
        let bind = options.listen.ip();
        return if bind.is_unspecified() { Err(Error::Wildcard { listen: options.listen }) } else { Ok(shown(bind)) };
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match bare.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() => Ok(shown(address)),
        Err(_) if config::target(&format!("{host}:1")).is_some() => Ok(host.clone()),
        _ => Err(Error::Advertise(host.clone())),
    }
}

fn shown(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

fn unusable(error: tonic::transport::Error) -> Error {
    Error::Certificate(innermost(&error))
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
