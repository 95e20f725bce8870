//! `streamharness s2cs` and `s2uc`: SciStream's control server and user client by hand, for facilities.

use crate::{
    cli::arguments::{S2cs, S2uc, S2ucServer},
    terminal::{
        exit::{Exit, Failure},
        stderr, stdout,
    },
};
use jiff::Timestamp;
use scistream::{Client, Error, Options, Role, Uid};
use std::{
    fs::{self, OpenOptions},
    future::Future,
    io::Write,
    ops::RangeInclusive,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::Duration,
};

/// How long each call to a control server may take.
const CALL_LIMIT: Duration = Duration::from_secs(30);

/// Runs a control server until SIGTERM or SIGINT.
pub fn s2cs(options: S2cs) -> Result<Exit, Failure> {
    let kind = options.kind.parse().map_err(|error: Error| Failure::new(Exit::Usage, error))?;
    let identity = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => Some((read("--cert", cert)?, read("--key", key)?)),
        _ => None,
    };
    let tokens = match &options.token_file {
        None => Vec::new(),
        Some(file) => {
            let lines: Vec<String> = lines(&read("--token-file", file)?);
            if lines.is_empty() {
                let sentence =
                    format!("{} holds no token: write one a line, or leave --token-file out", file.display());
                return Err(Failure::new(Exit::Usage, sentence));
            }
            lines
        }
    };
    let own = options.cert.is_none();
    let certificate = options.dir.join("server.pem");
    let options = Options {
        advertise: options.advertise,
        identity,
        tokens,
        log: |line| stderr::say(format_args!("{:.0} {line}", Timestamp::now())),
        ..Options::new(options.listen, ports(&options.ports)?, kind, options.dir)
    };
    scistream::serve(options, |address, _| {
        let trust = if own { format!("; its certificate is {}", certificate.display()) } else { String::new() };
        stderr::say(format_args!("S2CS for {kind} listens on {address}{trust}"));
    })
    .map_err(route)?;
    Ok(Exit::Pass)
}

/// Sends a request to a control server.
pub fn s2uc(request: S2uc) -> Result<Exit, Failure> {
    match request {
        S2uc::Inbound { server, service, num_conn } => {
            let uid = Uid::random().map_err(route)?;
            let client = connection(&server)?;
            new_secret(&server.uid_file, &uid.hyphenated())?;
            let listeners = client
                .and_then(async |client: Client| client.open(&uid, Role::Inbound, num_conn, &service, None).await);
            match listeners {
                Ok(listeners) => {
                    if let Some(listener) = listeners.iter().find(|listener| !scistream::is_reachable(listener)) {
                        stderr::say(format_args!(
                            "the S2CS reported {listener}, which others cannot connect to: give the outbound \
                             request the host at which it is reached, and this port"
                        ));
                    }
                    stdout::print(&in_lines(&listeners))?;
                }
                Err(failure) => {
                    // Nothing was opened under it.
                    let _ = fs::remove_file(&server.uid_file);
                    return Err(failure);
                }
            }
        }
        S2uc::Outbound { server, listeners, num_conn } => {
            if let Some(wrong) = listeners.iter().find(|listener| !scistream::is_reachable(listener)) {
                let sentence = format!(
                    "`{wrong}` is not a reachable listener: write HOST:PORT, with the host at which the S2CS of \
                     the inbound half is reached"
                );
                return Err(Failure::new(Exit::Usage, sentence));
            }
            let uid = uid(&server)?;
            let connections = num_conn.unwrap_or(listeners.len() as u32);
            let entries = connection(&server)?.and_then(async |client: Client| {
                client.open(&uid, Role::Outbound, connections, &listeners, Some(&listeners)).await
            })?;
            stdout::print(&in_lines(&entries))?;
        }
        S2uc::Release { server } => {
            let uid = uid(&server)?;
            let trouble = connection(&server)?.and_then(async |client: Client| client.release(&uid).await)?;
            if let Some(trouble) = trouble {
                stderr::say(format_args!("released; the S2CS reports that {trouble}"));
            }
        }
    }
    Ok(Exit::Pass)
}

/// A client with its runtime.
struct Connection {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Connection {
    fn and_then<T, F: Future<Output = Result<T, Error>>>(self, work: impl FnOnce(Client) -> F) -> Result<T, Failure> {
        self.runtime.block_on(work(self.client)).map_err(route)
    }
}

fn connection(server: &S2ucServer) -> Result<Connection, Failure> {
    let certificate = read("--server-cert", &server.server_cert)?;
    let token = server.token_file.as_ref().map(|file| read("--token-file", file)).transpose()?;
    let token = token.as_deref().map(str::trim);
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    let client = runtime.block_on(Client::connect(&server.s2cs, &certificate, token, CALL_LIMIT)).map_err(route)?;
    Ok(Connection { runtime, client })
}

fn route(error: Error) -> Failure {
    let usage = matches!(error, Error::Address(_) | Error::Advertise(_) | Error::Uid | Error::Wildcard { .. });
    let exit = if usage { Exit::Usage } else { Exit::Route };
    Failure::new(exit, error)
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, Failure> {
    let range = text.split_once('-').and_then(|(from, to)| Some(from.parse().ok()?..=to.parse().ok()?));
    range.filter(|range| *range.start() > 0 && !range.is_empty()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("`{text}` is not a valid range of ports: write FROM-TO, such as 5100-5110"))
    })
}

fn read(flag: &str, path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Route, format!("cannot read {flag} `{}`: {error}", path.display())))
}

fn uid(server: &S2ucServer) -> Result<Uid, Failure> {
    Uid::parse(&read("--uid-file", &server.uid_file)?).map_err(route)
}

/// Creates a file that only its owner can read; an existing file is refused, because it may be the key of another
/// tunnel.
fn new_secret(path: &Path, text: &str) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| writeln!(file, "{text}")).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot write a new --uid-file `{}`: {error}", path.display()))
    })
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn in_lines(addresses: &[String]) -> String {
    addresses.iter().map(|address| format!("{address}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_is_read_and_anything_else_is_rejected_with_the_format() {
        assert_eq!(ports("5100-5110").unwrap(), 5100..=5110);
        for wrong in ["", "5100", "5110-5100", "0-5", "a-b", "5100-99999"] {
            let failure = ports(wrong).unwrap_err();
            assert!(failure.exit == Exit::Usage && failure.sentence.contains("5100-5110"), "{}", failure.sentence);
        }
    }
}
