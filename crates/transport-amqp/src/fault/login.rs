//! Errors of the login, and peers that are not AMQP services.

use super::{
    ACCESS_REFUSED, NOT_ALLOWED, Peer,
    running::{message_of, remedy},
};
use crate::negotiated::mechanisms;
use engine::ports::{Fault, FaultKind};
use lapin::{Error, ErrorKind};

/// Most bytes of a token that fit: the frame of a login has about 500 B besides the token.
const LONG_TOKEN_BYTES: usize = 3500;

impl Peer {
    /// The login failed; `received` has the first bytes of the other side.
    pub(crate) fn login(&self, error: &Error, received: &[u8]) -> Fault {
        let (vhost, login) = (&self.endpoint.vhost, self.login_name());
        if let ErrorKind::ProtocolError(problem) = error.kind() {
            let (message, remedy) = (message_of(problem), remedy(problem));
            let (kind, sentence) = match problem.get_id() {
                ACCESS_REFUSED => (FaultKind::Login, self.login_refused()),
                _ if !offers(received, self.mechanism()) => (FaultKind::Login, self.not_offered(received)),
                NOT_ALLOWED if remedy.is_empty() => (
                    FaultKind::Login,
                    format!(
                        "the service at {self} does not let {login} into virtual host {vhost} ({message}): \
                        check the part of the URL after the host and the user's permissions"
                    ),
                ),
                _ => (FaultKind::Refused, format!("the service at {self} refuses the connection: {message}{remedy}")),
            };
            return Fault::new(kind, format!("{sentence}{}", self.flaw()));
        }
        self.no_amqp(received).unwrap_or_else(|| {
            let sentence = match (self.violation(error), received.is_empty()) {
                (Some(sentence), _) => sentence,
                // RabbitMQ closes the connection at a login mechanism that it did not offer.
                (None, false) if !offers(received, self.mechanism()) => {
                    return Fault::new(FaultKind::Login, self.not_offered(received));
                }
                (None, true) => {
                    format!("{self} closed the connection without a reply: is that port AMQP? {}", self.other_scheme())
                }
                (None, false) if self.has_long_token() => format!(
                    "the service at {self} ended the connection during the login of {login}, which is longer than the \
                    frames of 4096 B that RabbitMQ takes before a login: use a shorter one, or have initial_frame_max \
                    raised there (RabbitMQ 3.12 and later)"
                ),
                (None, false) => format!(
                    "the service at {self} ended the connection during the login of {login} without a reason ({error}): its \
                    log has the reason. Services often omit it if the user or the password is wrong"
                ),
            };
            Fault::new(FaultKind::Unreachable, sentence)
        })
    }

    fn login_refused(&self) -> String {
        let refuses = format!("the service at {self} refuses the login of {}", self.login_name());
        match &self.token {
            _ if self.endpoint.external => format!(
                "{refuses} (SASL EXTERNAL): it needs a user whose name is the subject of that certificate, or what \
                else it takes as the name (ssl_cert_login_from); `openssl x509 -noout -subject -in FILE` shows it"
            ),
            // Its expiry is reported after this.
            Some(token) if self.endpoint.password.is_none() && !token.flaw().is_empty() => refuses,
            Some(_) if self.endpoint.password.is_none() => {
                format!("{refuses}: check its issuer, audience and scopes, and that the service takes OAuth 2 tokens")
            }
            _ => format!(
                "{refuses}: check the user in the URL and the password in STREAMHARNESS_PASSWORD (or \
                STREAMHARNESS_PASSWORD_FILE)"
            ),
        }
    }

    fn has_long_token(&self) -> bool {
        let token = self.token.as_ref().filter(|_| self.endpoint.password.is_none() && !self.endpoint.external);
        token.is_some_and(|token| token.secret().expose().len() > LONG_TOKEN_BYTES)
    }

    fn mechanism(&self) -> &'static str {
        if self.endpoint.external { "EXTERNAL" } else { "PLAIN" }
    }

    fn not_offered(&self, received: &[u8]) -> String {
        let offered = mechanisms(received).unwrap_or_default().replace(' ', ", ");
        let remedy = match self.endpoint.external {
            true => "log in with a password, or have rabbitmq_auth_mechanism_ssl enabled there",
            false => "log in with what it offers: EXTERNAL is --auth external, with --cert FILE and --key FILE",
        };
        format!("the service at {self} offers no login by {}, only by {offered}: {remedy}", self.mechanism())
    }

    /// The peer is not an AMQP service, judged by its first bytes; `None` if it may be one.
    pub(super) fn no_amqp(&self, received: &[u8]) -> Option<Fault> {
        let (kind, sentence) = match received {
            [] => return None,
            // The head of a method's frame on channel 0.
            [1, 0, 0, ..] => return None,
            // A TLS alert or handshake record of any version.
            [0x15 | 0x16, 3, ..] => {
                (FaultKind::Tls, format!("{self} uses TLS: the URL of that port begins with amqps://"))
            }
            [b'A', b'M', b'Q', b'P', ..] => (
                FaultKind::Unreachable,
                format!("the service at {self} speaks another version of AMQP: RabbitMQ's 0-9-1 is needed"),
            ),
            _ => (
                FaultKind::Unreachable,
                format!(
                    "{self} does not speak AMQP (it sent \"{}\"): check the port, which is often 5672, or 5671 with TLS",
                    received[..received.len().min(24)].escape_ascii()
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

/// Whether the service offers this login mechanism, as far as it is known.
fn offers(received: &[u8], mechanism: &str) -> bool {
    mechanisms(received).is_none_or(|offered| offered.split(' ').any(|one| one == mechanism))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer, protocol_error};
    use std::io;

    #[test]
    fn login_failures_name_the_part_of_the_login_to_correct() {
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
        for (received, kind, part) in [
            (&b""[..], FaultKind::Unreachable, "amqps://"),
            (b"\x15\x03\x01\0\x02", FaultKind::Tls, "amqps://"),
            (b"AMQP\0\x01\0\0", FaultKind::Unreachable, "another version"),
            (b"HTTP/1.1 400 Bad Request\r\n", FaultKind::Unreachable, "HTTP/1.1 400"),
            (b"\x01\0\0\0\0\0\x01x\xce", FaultKind::Unreachable, "during the login of user bench"),
        ] {
            check(peer.login(&eof, received), kind, &["broker.test:5672", part]);
        }
    }
}
