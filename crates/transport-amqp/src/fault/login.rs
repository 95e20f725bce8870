//! Logins that fail, and peers that are no AMQP service.

use super::{ACCESS_REFUSED, NOT_ALLOWED, Peer};
use crate::route::Endpoint;
use engine::ports::{Fault, FaultKind};
use lapin::{Error, ErrorKind};

impl Peer {
    /// The login failed; `said` is what the other side said first.
    pub(crate) fn login(&self, error: &Error, said: &[u8]) -> Fault {
        let Endpoint { user, vhost, .. } = &self.endpoint;
        if let ErrorKind::ProtocolError(problem) = error.kind() {
            let message = problem.get_message();
            return match problem.get_id() {
                ACCESS_REFUSED => Fault::new(
                    FaultKind::Login,
                    format!(
                        "the service at {self} refuses the login of user {user}: check the user in the URL and \
                        the password in STREAMHARNESS_PASSWORD (or STREAMHARNESS_PASSWORD_FILE)"
                    ),
                ),
                NOT_ALLOWED => Fault::new(
                    FaultKind::Login,
                    format!(
                        "the service at {self} does not let user {user} into virtual host {vhost} ({message}): \
                        check the part of the URL after the host and the user's permissions"
                    ),
                ),
                _ => Fault::new(FaultKind::Refused, format!("the service at {self} refuses the connection: {message}")),
            };
        }
        self.no_amqp(said).unwrap_or_else(|| {
            let sentence = match (self.violation(error), said.is_empty()) {
                (Some(sentence), _) => sentence,
                (None, true) => {
                    format!("{self} ended the connection without a word: is that port AMQP? {}", self.other_scheme())
                }
                (None, false) => format!(
                    "the service at {self} ended the connection during the login of user {user} ({error}): \
                    check the user and the password, and the log of the service"
                ),
            };
            Fault::new(FaultKind::Unreachable, sentence)
        })
    }

    /// What answers is no AMQP service, by what it said first; none if it may be one.
    pub(super) fn no_amqp(&self, said: &[u8]) -> Option<Fault> {
        let (kind, sentence) = match said {
            [] => return None,
            // The head of a method's frame on channel 0.
            [1, 0, 0, ..] => return None,
            // A TLS alert or handshake record of any version.
            [0x15 | 0x16, 3, ..] => {
                (FaultKind::Tls, format!("{self} answers in TLS: the URL of that port begins with amqps://"))
            }
            [b'A', b'M', b'Q', b'P', ..] => (
                FaultKind::Unreachable,
                format!("the service at {self} speaks another version of AMQP: RabbitMQ's 0-9-1 is needed"),
            ),
            _ => (
                FaultKind::Unreachable,
                format!(
                    "{self} does not speak AMQP (it says \"{}\"): check the port, which is often 5672, or 5671 with TLS",
                    said[..said.len().min(24)].escape_ascii()
                ),
            ),
        };
        Some(Fault::new(kind, sentence))
    }

    pub(super) fn other_scheme(&self) -> &'static str {
        match self.endpoint.scheme {
            crate::Scheme::Amqp => "If it speaks TLS, the URL begins with amqps://; if it is a proxy, its log says why",
            crate::Scheme::Amqps => "The proxy in front of it may not reach it",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer, protocol_error};
    use std::io;

    #[test]
    fn login_failures_say_what_is_wrong_with_the_login() {
        let peer = peer("amqp://bench:hunter2@broker.test/exp");
        check(
            peer.login(&protocol_error(403, "ACCESS_REFUSED - Login was refused"), b""),
            FaultKind::Login,
            &["refuses the login of user bench", "STREAMHARNESS_PASSWORD"],
        );
        check(
            peer.login(&protocol_error(530, "NOT_ALLOWED - vhost exp not found"), b""),
            FaultKind::Login,
            &["virtual host exp", "vhost exp not found"],
        );
    }

    #[test]
    fn what_is_no_amqp_service_is_called_so() {
        let peer = peer("amqp://bench:hunter2@broker.test");
        let eof = Error::from(io::Error::from(io::ErrorKind::ConnectionAborted));
        for (said, kind, part) in [
            (&b""[..], FaultKind::Unreachable, "amqps://"),
            (b"\x15\x03\x01\0\x02", FaultKind::Tls, "amqps://"),
            (b"AMQP\0\x01\0\0", FaultKind::Unreachable, "another version"),
            (b"HTTP/1.1 400 Bad Request\r\n", FaultKind::Unreachable, "HTTP/1.1 400"),
            (b"\x01\0\0\0\0\0\x01x\xce", FaultKind::Unreachable, "during the login of user bench"),
        ] {
            check(peer.login(&eof, said), kind, &["broker.test:5672", part]);
        }
    }
}
