//! Translates errors into a kind that code acts on and a sentence that ends in what to do.

mod certificate;
mod login;
mod protocol;
mod reach;
mod running;
mod tls;

use crate::endpoint::{Endpoint, HostPort};
use crate::token::Renewal;
use std::{fmt, sync::Arc};

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const NOT_ALLOWED: u16 = 530;

/// The other side of a connection, for sentences.
#[derive(Clone)]
pub(crate) struct Peer {
    pub endpoint: Endpoint,
    /// The address from `--connect-to`, if it differs.
    pub reached_at: Option<(String, u16)>,
    /// The token for the login, if there is one.
    pub token: Option<Arc<Renewal>>,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HostPort(&self.endpoint.host, self.endpoint.port).fmt(f)?;
        match &self.reached_at {
            Some((host, port)) => write!(f, " (reached at {}, --connect-to)", HostPort(host, *port)),
            None => Ok(()),
        }
    }
}

impl Peer {
    /// The credential of the login, for sentences.
    fn login_name(&self) -> String {
        match &self.token {
            _ if self.endpoint.external => "the certificate of --cert".to_owned(),
            Some(token) if self.endpoint.password.is_none() => format!("the token in `{}`", token.path().display()),
            _ => format!("user {}", self.endpoint.user()),
        }
    }

    /// A known problem of the token, to end a sentence about a refusal; empty without a problem.
    fn flaw(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| token.flaw())
    }
}

/// The phase of connecting in which the limit passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Resolve,
    Reach,
    Tls,
    Login,
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ports::{Fault, FaultKind};
    use lapin::{Error, ErrorKind, protocol::AMQPError};

    pub(super) fn peer(url: &str) -> Peer {
        Peer { endpoint: Endpoint::parse(url).unwrap(), reached_at: None, token: None }
    }

    pub(super) fn protocol_error(id: u16, message: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::from_id(id, message.into()).unwrap()).into()
    }

    #[track_caller]
    pub(super) fn check(fault: Fault, kind: FaultKind, parts: &[&str]) {
        assert_eq!(fault.kind, kind, "{fault}");
        for part in parts {
            assert!(fault.sentence.contains(part), "{part} in {fault}");
        }
        assert!(!fault.sentence.contains("hunter2"), "{fault}");
    }
}
