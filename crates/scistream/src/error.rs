//! Errors, each sentence ending in what to do.

use crate::Kind;
use shortage::{FileError, SystemError};
use std::{io, net::SocketAddr};

/// Why a request or a control server failed. Contains no uid and no token.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data server's program is not installed.
    #[error(
        "no `{program}` in {place} on this host: apt-get install {package}, or run launch/setup, or set {variable} to the program"
    )]
    NoProgram {
        /// The missing program.
        program: &'static str,
        /// Where it was looked for.
        place: String,
        /// The package that contains it.
        package: &'static str,
        /// The variable that names another one.
        variable: &'static str,
    },
    /// A data server did not start.
    #[error("{program} did not come up ({how}); its last lines: {log}")]
    DataServer {
        /// Which program.
        program: &'static str,
        /// The error.
        how: String,
        /// The end of its output.
        log: String,
    },
    /// The name of a data server's type is unknown.
    #[error("`{0}` is not a type of data server: use stunnel, stunnel-null or haproxy")]
    Kind(String),
    /// A type of SciStream that this program does not offer.
    #[error(
        "`{0}` is a type of SciStream that this program does not offer: use haproxy, which passes TCP on as nginx does"
    )]
    NoNginx(String),
    /// The role is unknown.
    #[error("`{0}` is not a valid role: use PROD or CONS")]
    Role(String),
    /// The uid is not a UUID.
    #[error("the uid is not a valid UUID: give the one that the inbound request returned")]
    Uid,
    /// An address cannot be parsed.
    #[error("`{0}` is not a valid address: write HOST:PORT, such as 127.0.0.1:5000")]
    Address(String),
    /// The ports of a control server and the ports at which they are reachable do not pair.
    #[error("`{0}` is not a valid map of ports: write two ranges of one length, such as 5100-5110:30510-30520")]
    PortMap(String),
    /// A listener has a port that was not mapped.
    #[error("the S2CS reported port {port}, but node_ports maps only {from}-{to}: map all ports that it may use")]
    Unmapped {
        /// The reported port.
        port: u16,
        /// The first mapped port.
        from: u16,
        /// The last mapped port.
        to: u16,
    },
    /// It listens on every address, to which no client can connect.
    #[error(
        "{listen} is every address of this host, and clients have to be given one: add --advertise HOST, the name or \
         address at which the other side reaches this host, or listen on that address alone"
    )]
    Wildcard {
        /// Where it was to listen.
        listen: SocketAddr,
    },
    /// The host for clients is not valid.
    #[error("--advertise `{0}` is not a reachable host: write a name or an address, without a port")]
    Advertise(String),
    /// A control server reports the wildcard address to its clients.
    #[error(
        "the S2CS reported the address {0}, which means every address of its own host, so others cannot connect \
         to it: give the host at which it is reached, as `host` of its side in the route file"
    )]
    WildcardReported(String),
    /// The address to listen on is in use or not ours.
    #[error("cannot listen on {address}: {source}; choose another --listen, or end what listens there")]
    Listen {
        /// The address.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// The server is unreachable.
    #[error(
        "no S2CS responds at {address} ({reason}): start one with `streamharness s2cs --listen {address} ...`, or correct the address"
    )]
    Unreachable {
        /// Where it should be.
        address: String,
        /// The error.
        reason: String,
    },
    /// The peer accepts the connection and is not an S2CS.
    #[error(
        "{address} accepts the connection but does not agree on TLS within {limit_s} s: is an S2CS there? Correct the address"
    )]
    Silent {
        /// Where it should be.
        address: String,
        /// The limit.
        limit_s: u64,
    },
    /// The peer replies, and not in TLS.
    #[error("{address} does not speak TLS: is an S2CS there? Correct the address")]
    NoTls {
        /// Where the S2CS should be.
        address: String,
    },
    /// The authority is right, the name is wrong.
    #[error(
        "the S2CS at {address} has a certificate for another name ({reason}): reach it by that name, or trust the \
         certificate itself instead of its authority"
    )]
    OtherName {
        /// Where it is.
        address: String,
        /// The error of the TLS library.
        reason: String,
    },
    /// The server is not the one of the certificate.
    #[error(
        "the S2CS at {address} is not the one of the certificate given ({reason}): give the file it was started with"
    )]
    Untrusted {
        /// Where it is.
        address: String,
        /// The error of the TLS library.
        reason: String,
    },
    /// The two halves of a tunnel are of different types.
    #[error(
        "the S2CS at {outbound} starts {outer} and the one at {inbound} starts {inner}, which do not understand each other: \
         start both with the same --type"
    )]
    Unlike {
        /// The server that applications connect to.
        outbound: String,
        /// What it starts.
        outer: Kind,
        /// The server at the service.
        inbound: String,
        /// What it starts.
        inner: Kind,
    },
    /// The system lacks a resource.
    #[error("cannot {action}: {reason}")]
    Short {
        /// The action.
        action: &'static str,
        /// The missing resource, and what to do.
        reason: io::Error,
    },
    /// The server refused.
    #[error("the S2CS at {address} refused to {action}: {message}")]
    Refused {
        /// Where it is.
        address: String,
        /// The request, as a verb.
        action: &'static str,
        /// Its message.
        message: String,
    },
    /// A request that was made anew got other ports.
    #[error("the S2CS at {address} was at {before} and now gives {now}: give its ports to nobody else")]
    OtherPorts {
        /// Where it is.
        address: String,
        /// Its listeners before.
        before: String,
        /// Its listeners now.
        now: String,
    },
    /// It did not reply in time.
    #[error("the S2CS at {address} did not {action} within {limit_s} s: look at its log, or allow more time")]
    Late {
        /// Where it is.
        address: String,
        /// The request, as a verb.
        action: &'static str,
        /// The limit.
        limit_s: u64,
    },
    /// A certificate or key cannot be used.
    #[error("the certificate or key cannot be used: {0}; give PEM files that belong together")]
    Certificate(String),
    /// A file operation failed.
    #[error("{0}; choose a directory of your own with --dir")]
    File(#[from] FileError),
    /// A system call failed.
    #[error("{0}; this needs an ordinary Linux with /proc")]
    System(#[from] SystemError),
}
