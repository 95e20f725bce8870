//! The options of a control server, and the sessions that follow from them.

use crate::{
    Error, Kind, Result, config,
    ports::Ports,
    sessions::{Sessions, Settings},
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    path::PathBuf,
    time::Duration,
};

/// The options of a control server.
#[derive(Debug, Clone)]
pub struct Options {
    /// Address for requests. Its data servers listen on the same address, and on no other.
    pub listen: SocketAddr,
    /// The host that is reported to clients instead of that address.
    pub advertise: Option<String>,
    /// The ports of its data servers.
    pub ports: RangeInclusive<u16>,
    /// The type of its data servers.
    pub kind: Kind,
    /// Its private directory: configurations, keys, logs.
    pub dir: PathBuf,
    /// Certificate and key (PEM). Without them it makes its own and leaves the certificate in `dir/server.pem`.
    pub identity: Option<(String, String)>,
    /// Tokens of permitted callers; empty: everyone is permitted.
    pub tokens: Vec<String>,
    /// How long a request waits for its `hello`.
    pub hello_limit: Duration,
    /// Gets a line for the operator for each request, refusal, start, trouble and release, without uids and tokens.
    pub log: fn(&str),
}

impl Options {
    /// Options with SciStream's own limit, no tokens and no log.
    pub fn new(listen: SocketAddr, ports: RangeInclusive<u16>, kind: Kind, dir: PathBuf) -> Self {
        let hello_limit = Duration::from_secs(180);
        let log = |_: &str| ();
        Self { listen, advertise: None, ports, kind, dir, identity: None, tokens: Vec::new(), hello_limit, log }
    }
}

/// The sessions, with `advertise` as the host that is reported to clients.
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

/// The host that is reported to clients: the given one, otherwise the address itself, which must be reachable.
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
