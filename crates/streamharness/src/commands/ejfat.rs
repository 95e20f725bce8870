//! `streamharness ejfat`: a control plane and a load balancer of EJFAT for one machine.

use crate::terminal::{
    exit::{Exit, Failure},
    stderr, stdout,
};
use clap::{Args, Subcommand};
use ejfat::{Balancing, Instance, SelfSigned, Settings, Trust, Uri};
use rand::{TryRng, rngs::SysRng};
use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// The parts of EJFAT.
#[derive(Debug, Clone, Subcommand)]
pub enum Ejfat {
    /// A control plane, compatible with ESnet's, until it is stopped.
    Serve(Serve),
    /// A load balancer that passes UDP packets on by the tables of such a control plane, until it is stopped; then prints what it
    /// counted, as JSON.
    Balance(Balance),
}

/// A control plane.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Address for calls.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// File with the token that may do everything.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// A load balancer: where it gets synchronization packets, and where data. Repeatable.
    #[arg(long, value_name = "SYNC:PORT,DATA:PORT", required = true)]
    balancer: Vec<String>,
    /// Host that is reported to clients instead of the address.
    #[arg(long, value_name = "HOST")]
    advertise: Option<String>,
    /// Its certificate (PEM); with it, calls are encrypted.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

/// A load balancer.
#[derive(Debug, Clone, Args)]
pub struct Balance {
    /// Address for data. Repeatable: one for each family.
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    listen: Vec<SocketAddr>,
    /// The control plane, `ejfat[s]://HOST:PORT`, without a token.
    #[arg(long, value_name = "URL")]
    control_plane: String,
    /// File with the token of the control plane.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// Certificate of the control plane or of its authority (PEM) [default: the system's].
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Which of the control plane's load balancers this is, from 0.
    #[arg(long, value_name = "N", default_value_t = 0)]
    number: u32,
    /// Sockets and threads for each address; senders are spread over them.
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Receive and send buffer of each socket in bytes, which the system may cap.
    #[arg(long, value_name = "BYTES", default_value_t = 4 << 20)]
    buffer: usize,
}

/// Carries out the command.
pub fn ejfat(command: Ejfat) -> Result<Exit, Failure> {
    match command {
        Ejfat::Serve(options) => serve(&options),
        Ejfat::Balance(options) => balance(&options),
    }
}

fn serve(options: &Serve) -> Result<Exit, Failure> {
    let identity = match (&options.cert, &options.key) {
        (Some(certificate), Some(key)) => Some(SelfSigned { certificate: read(certificate)?, key: read(key)? }),
        _ => None,
    };
    let mut seed = [0; 8];
    let random = SysRng.try_fill_bytes(&mut seed);
    random
        .map_err(|error| Failure::new(Exit::Route, format!("the system has no random numbers: {error}; try again")))?;
    let settings = Settings {
        token: token(&options.token_file)?,
        tls: identity.is_some(),
        host: options.advertise.clone().unwrap_or_else(|| options.listen.ip().to_string()),
        port: options.listen.port(),
        instances: options.balancer.iter().map(|text| instance(text)).collect::<Result<_, _>>()?,
        seed: u64::from_ne_bytes(seed),
    };
    let scheme = if identity.is_some() { "ejfats" } else { "ejfat" };
    let ready = |address| stderr::say(format_args!("EJFAT control plane listens on {scheme}://{address}"));
    ejfat::serve(options.listen, settings, identity.as_ref(), ready).map_err(failure)?;
    Ok(Exit::Pass)
}

fn balance(options: &Balance) -> Result<Exit, Failure> {
    let uri = Uri::parse(&options.control_plane).map_err(|error| Failure::new(Exit::Usage, error))?;
    if uri.token.is_some() {
        let sentence = "a token in --control-plane can be seen by every user of this host; write it to --token-file";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let uri = Uri { token: Some(token(&options.token_file)?), ..uri };
    let trust = options.ca.as_deref().map(read).transpose()?.map_or(Trust::System, Trust::Only);
    let balancing = Balancing::start(&options.listen, options.threads, options.buffer).map_err(failure)?;
    let ready = || {
        let addresses = balancing.addresses().iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ");
        let granted = balancing.receive_bytes();
        stderr::say(format_args!(
            "EJFAT load balancer passes on what arrives at {addresses}, with buffers of {granted} bytes"
        ));
    };
    let report = |error: &ejfat::Error| stderr::say(format_args!("the last tables stay: {error}"));
    ejfat::balance(&uri, &trust, options.number, &balancing, ready, report).map_err(failure)?;
    stdout::print(&format!("{}\n", balancing.finish().json()))?;
    Ok(Exit::Pass)
}

/// `SYNC:PORT,DATA:PORT`, and a second data address of the other family.
fn instance(text: &str) -> Result<Instance, Failure> {
    let wrong = || {
        let sentence = format!(
            "`{text}` is not a valid load balancer; write SYNC:PORT,DATA:PORT, such as 10.0.0.1:19531,10.0.0.1:19522"
        );
        Failure::new(Exit::Usage, sentence)
    };
    let mut addresses = text.split(',').map(str::parse::<SocketAddr>);
    let sync = addresses.next().and_then(Result::ok).ok_or_else(wrong)?;
    let data: Vec<SocketAddr> = addresses.collect::<Result<_, _>>().map_err(|_| wrong())?;
    let of = |four: bool| data.iter().filter(|address| address.is_ipv4() == four).count();
    if sync.port() == 0 || data.is_empty() || of(true) > 1 || of(false) > 1 || data.iter().any(|at| at.port() == 0) {
        return Err(wrong());
    }
    let reachable = |ip: IpAddr| !ip.is_unspecified();
    if !data.iter().chain([&sync]).all(|address| reachable(address.ip())) {
        let sentence = format!("`{text}` has an address that no sender can reach; write that of an interface");
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let data = data.into_iter().map(|at| ejfat::DataAddress { ip: at.ip(), ports: at.port()..=at.port() }).collect();
    Ok(Instance { sync, data })
}

fn token(path: &Path) -> Result<String, Failure> {
    let token = read(path)?.trim().to_owned();
    if token.is_empty() {
        return Err(Failure::new(Exit::Usage, format!("{} holds no token: write one to it", path.display())));
    }
    Ok(token)
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed = |error| Failure::new(Exit::Route, format!("cannot read `{}`: {error}", path.display()));
    fs::read_to_string(path).map_err(failed)
}

fn failure(error: ejfat::Error) -> Failure {
    Failure::new(Exit::Route, error)
}
