//! What can go wrong, each with its sentence.

use std::io;

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address without a token.
    #[error("the EJFAT address has no token; write ejfat://TOKEN@HOST:PORT")]
    NoToken,
    /// A token that no header can contain.
    #[error("the token of the EJFAT address has characters that are not allowed; copy it again")]
    Token,
    /// The system trusts nobody.
    #[error("this system has no certificates of authorities; give the control plane's with --ca FILE")]
    NoRoots,
    /// Nobody there.
    #[error("the EJFAT control plane {address} cannot be reached: {reason}; check the address, and that it runs")]
    Unreachable {
        /// The control plane.
        address: String,
        /// The system's reason.
        reason: String,
    },
    /// A port without TLS.
    #[error("the EJFAT control plane {address} does not use TLS; write ejfat:// instead of ejfats://")]
    NoTls {
        /// The control plane.
        address: String,
    },
    /// Another certificate.
    #[error(
        "the certificate of the EJFAT control plane {address} is not trusted: {reason}; give its authority with --ca FILE"
    )]
    Untrusted {
        /// The control plane.
        address: String,
        /// The reason.
        reason: String,
    },
    /// The token is not good for this.
    #[error("the EJFAT control plane {address} does not permit to {action}: {message}; check the token")]
    Denied {
        /// The control plane.
        address: String,
        /// What it was to do.
        action: &'static str,
        /// Its reason.
        message: String,
    },
    /// A call that failed.
    #[error("the EJFAT control plane {address} did not {action}: {message}")]
    Refused {
        /// The control plane.
        address: String,
        /// What it was to do.
        action: &'static str,
        /// Its reason.
        message: String,
    },
    /// No reply.
    #[error(
        "the EJFAT control plane {address} did not {action} within {limit_s} s; check that it runs and is not overloaded"
    )]
    Late {
        /// The control plane.
        address: String,
        /// What it was to do.
        action: &'static str,
        /// The limit.
        limit_s: u64,
    },
    /// A receiver whose states would count as old.
    #[error(
        "this host's clock is {behind_ms} ms behind that of the EJFAT control plane {address}, which gives nothing to receivers that \
         are more than 2 s behind; synchronise the clock (chrony)"
    )]
    Behind {
        /// The control plane.
        address: String,
        /// By how much.
        behind_ms: u64,
    },
    /// No room for data.
    #[error("an MTU of {0} leaves no room for data after the headers; use 1500 or 9000")]
    Mtu(u16),
    /// Packets that no link on the way carries.
    #[error(
        "packets of {mtu} bytes do not fit on the way to {to}, which carries {carried}; use --set route.ejfat.mtu={carried}, or \
         raise the MTU of every link (`testbed up --mtu {mtu}`)"
    )]
    LinkMtu {
        /// Where the packets are to go.
        to: String,
        /// The bytes of a packet.
        mtu: u16,
        /// What the way carries.
        carried: u32,
    },
    /// No ports in a row.
    #[error("{address} has no {count} free ports in a row; choose other ones")]
    Ports {
        /// The address.
        address: String,
        /// How many.
        count: u16,
    },
    /// A socket that cannot be used.
    #[error("cannot {action} {address}: {source}")]
    Socket {
        /// What was tried.
        action: &'static str,
        /// On which address.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A certificate or key that cannot be used.
    #[error("the certificate or its key cannot be used: {0}; give both as PEM")]
    Certificate(String),
    /// No thread or runtime.
    #[error("cannot {action}: {reason}")]
    Short {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        reason: io::Error,
    },
}
