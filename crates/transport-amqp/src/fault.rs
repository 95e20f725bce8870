//! From what went wrong to a kind to act on and a sentence that ends in what to do.

use crate::{
    route::{Endpoint, HostPort},
    socket::first_frame,
};
use engine::ports::{Fault, FaultKind};
use lapin::{Error, ErrorKind};
use rustls::{CertificateError, InvalidMessage};
use std::{fmt, io, time::Duration};

const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;

/// The other side of a connection, for sentences.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub endpoint: Endpoint,
    /// Where `--connect-to` leads, if anywhere else.
    pub reached_at: Option<(String, u16)>,
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

/// What was being done when the limit for connecting ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Reach,
    Tls,
    Login,
}

impl Peer {
    pub(crate) fn unresolved(&self, error: &io::Error) -> Fault {
        let Endpoint { host, port, .. } = &self.endpoint;
        let name = self.reached_at.as_ref().map_or(host, |(host, _)| host);
        Fault::new(
            FaultKind::Unreachable,
            format!(
                "the host name {name} is unknown here ({error}): check the URL, or say where it is with \
                --connect-to {host}:{port}:ADDRESS:PORT"
            ),
        )
    }

    pub(crate) fn unreachable(&self, error: &io::Error) -> Fault {
        let sentence = match error.kind() {
            io::ErrorKind::ConnectionRefused => format!(
                "nothing answers at {self} (connection refused): is the service up? Check the host and port of \
                --url, or start a testbed with `streamharness testbed up`"
            ),
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::TimedOut => {
                format!("{self} cannot be reached from here ({error}): check the address, the route and firewalls")
            }
            _ => format!("cannot connect to {self}: {error}"),
        };
        Fault::new(FaultKind::Unreachable, sentence)
    }

    /// The limit for connecting ran out; `said` is what the other side said meanwhile.
    pub(crate) fn too_slow(&self, phase: Phase, limit: Duration, said: &[u8]) -> Fault {
        let seconds = limit.as_secs_f64();
        let (kind, sentence) = match phase {
            Phase::Reach => (
                FaultKind::Unreachable,
                format!("{self} does not answer within {seconds} s: check the address, the route and firewalls"),
            ),
            Phase::Tls => (
                FaultKind::Tls,
                format!(
                    "{self} accepts the connection but does not agree on TLS within {seconds} s: does that port \
                    speak TLS? Without TLS the URL begins with amqp://"
                ),
            ),
            Phase::Login if said.is_empty() => (
                FaultKind::Unreachable,
                format!(
                    "{self} accepts the connection but says nothing within {seconds} s: is that port AMQP? {}",
                    self.other_scheme()
                ),
            ),
            Phase::Login => match self.no_amqp(said) {
                Some(fault) => return fault,
                None => (
                    FaultKind::Unreachable,
                    format!("the service at {self} does not finish the login within {seconds} s: is it overloaded?"),
                ),
            },
        };
        Fault::new(kind, sentence)
    }

    pub(crate) fn tls(&self, error: &io::Error) -> Fault {
        let host = &self.endpoint.host;
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let sentence = match cause {
            Some(rustls::Error::InvalidCertificate(problem)) => self.certificate(problem),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                format!("{self} does not speak TLS on that port: use its TLS port (often 5671), or amqp:// without TLS")
            }
            Some(rustls::Error::AlertReceived(alert)) => format!(
                "the service at {self} refuses TLS with us ({alert:?}): it may want a certificate, which --cert FILE --key FILE give"
            ),
            Some(other) => format!("TLS with {self} cannot be agreed: {other}"),
            None if error.kind() == io::ErrorKind::InvalidData => {
                format!(
                    "{host} is neither a host name nor an address, so no certificate can be valid for it: check the URL"
                )
            }
            None => format!(
                "{self} ended the connection during the TLS handshake ({error}): does that port speak TLS, and does \
                what is behind it know the name {host}? Without TLS the URL begins with amqp://"
            ),
        };
        Fault::new(FaultKind::Tls, sentence)
    }

    fn certificate(&self, problem: &CertificateError) -> String {
        let Endpoint { host, port, .. } = &self.endpoint;
        match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the certificate of {host} is not signed by an authority in --ca FILE (without --ca, by one \
                that this system trusts): give the authority of the service with --ca FILE"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let valid_for = match problem {
                    CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                        // Each is written as Debug has it: DnsName("localhost"), IpAddress(127.0.0.1).
                        let name = |text: &String| {
                            let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner);
                            inner.trim_matches([')', '"']).to_owned()
                        };
                        format!(" (it is for {})", presented.iter().map(name).collect::<Vec<_>>().join(", "))
                    }
                    _ => String::new(),
                };
                format!(
                    "the certificate is not valid for {host}{valid_for}: put a name it is valid for in the URL, \
                    and where to reach it in --connect-to NAME:{port}:ADDRESS:PORT"
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {host} has expired: the service needs a new one (or this clock is wrong)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {host} is not valid yet: is this clock right?")
            }
            CertificateError::Other(_) => format!(
                "the certificate of {host} cannot be used to identify a server ({problem}): is it that of the \
                authority itself? The service needs one signed by it"
            ),
            other => format!("the certificate of {host} is refused: {other}"),
        }
    }

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
            let sentence = match said.is_empty() {
                true => {
                    format!("{self} ended the connection without a word: is that port AMQP? {}", self.other_scheme())
                }
                false => format!(
                    "the service at {self} ended the connection during the login of user {user} ({error}): \
                    check the user and the password, and the log of the service"
                ),
            };
            Fault::new(FaultKind::Unreachable, sentence)
        })
    }

    /// What answers is no AMQP service, by what it said first; none if it may be one.
    fn no_amqp(&self, said: &[u8]) -> Option<Fault> {
        let (kind, sentence) = match said {
            [] => return None,
            _ if first_frame(said).is_some_and(|(kind, _)| kind == 1) => return None,
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

    fn other_scheme(&self) -> &'static str {
        match self.endpoint.scheme {
            crate::Scheme::Amqp => "If it speaks TLS, the URL begins with amqps://; if it is a proxy, its log says why",
            crate::Scheme::Amqps => "The proxy in front of it may not reach it",
        }
    }

    /// A request (`what`) failed after the login.
    pub(crate) fn refused(&self, what: &str, error: &Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(problem) => {
                let message = problem.get_message();
                let hint = match problem.get_id() {
                    ACCESS_REFUSED => ": the user needs the permission for it",
                    NOT_FOUND => ": was it deleted?",
                    RESOURCE_LOCKED => ": another connection holds it exclusively",
                    PRECONDITION_FAILED => ": it exists with other settings, so use another name or delete it",
                    _ => "",
                };
                Fault::new(FaultKind::Refused, format!("the service at {self} refuses to {what} ({message}){hint}"))
            }
            _ => self.lost(error),
        }
    }

    /// The connection or channel ended during the run.
    pub(crate) fn lost(&self, error: &Error) -> Fault {
        let sentence = match error.kind() {
            ErrorKind::ProtocolError(problem) => {
                let message = problem.get_message();
                // So does a managed service whose time is over.
                let hint = if message.as_str().starts_with("CONNECTION_FORCED - user")
                    && message.as_str().ends_with("is deleted")
                {
                    ": was the cluster deleted, or is its lifetime over?"
                } else {
                    ""
                };
                format!("the service at {self} ended the connection: {message}{hint}")
            }
            ErrorKind::MissingHeartbeatError => {
                format!("the service at {self} has gone silent (no heartbeat): is it, or the route to it, still up?")
            }
            ErrorKind::IOError(error) => format!("the connection to {self} was lost: {error}"),
            ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
                format!("the connection to {self} has ended: see the log of the service")
            }
            _ => format!("the connection to {self} was lost ({error}): see the log of the service"),
        };
        Fault::new(FaultKind::Lost, sentence)
    }

    /// An exchange with the service (`what`) took too long.
    pub(crate) fn unanswered(&self, what: &str, limit: Duration) -> Fault {
        Fault::new(
            FaultKind::Lost,
            format!(
                "the service at {self} does not {what} within {} s: is it overloaded or in alarm?",
                limit.as_secs_f64()
            ),
        )
    }

    /// The service ended the subscription.
    pub(crate) fn cancelled(&self, queue: &str) -> Fault {
        Fault::new(
            FaultKind::Lost,
            format!(
                "the service at {self} ended the subscription to queue {queue}: was it deleted, or its node stopped?"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::AMQPError;
    use rustls::pki_types::ServerName;

    fn peer(url: &str) -> Peer {
        Peer { endpoint: Endpoint::parse(url).unwrap(), reached_at: None }
    }

    fn protocol_error(id: u16, message: &str) -> Error {
        ErrorKind::ProtocolError(AMQPError::from_id(id, message.into()).unwrap()).into()
    }

    #[track_caller]
    fn check(fault: Fault, kind: FaultKind, parts: &[&str]) {
        assert_eq!(fault.kind, kind, "{fault}");
        for part in parts {
            assert!(fault.sentence.contains(part), "{part} in {fault}");
        }
        assert!(!fault.sentence.contains("hunter2"), "{fault}");
    }

    #[test]
    fn failures_to_connect_say_what_to_check() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        check(
            peer.unreachable(&refused),
            FaultKind::Unreachable,
            &["nothing answers at broker.test:5671 (connection refused): is the service up?"],
        );
        check(
            peer.unresolved(&io::Error::other("no such name")),
            FaultKind::Unreachable,
            &["broker.test", "--connect-to broker.test:5671:ADDRESS:PORT"],
        );
        let limit = Duration::from_secs(8);
        for (phase, kind) in [
            (Phase::Reach, FaultKind::Unreachable),
            (Phase::Tls, FaultKind::Tls),
            (Phase::Login, FaultKind::Unreachable),
        ] {
            check(peer.too_slow(phase, limit, b""), kind, &["broker.test:5671", "within 8 s"]);
        }
    }

    #[test]
    fn a_redirected_peer_says_where_it_was_sought() {
        let mut peer = peer("amqps://bench@broker.test:443");
        peer.reached_at = Some(("127.0.0.1".into(), 8443));
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        check(peer.unreachable(&refused), FaultKind::Unreachable, &["broker.test:443", "127.0.0.1:8443, --connect-to"]);
    }

    #[test]
    fn tls_failures_name_the_flag_that_helps() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let tls = |error: rustls::Error| peer.tls(&io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        check(
            certificate(CertificateError::UnknownIssuer),
            FaultKind::Tls,
            &["certificate of broker.test is not signed by an authority in --ca FILE"],
        );
        check(
            certificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("broker.test").unwrap(),
                presented: vec!["DnsName(\"localhost\")".into(), "IpAddress(127.0.0.1)".into()],
            }),
            FaultKind::Tls,
            &["certificate is not valid for broker.test (it is for localhost, 127.0.0.1)", "--connect-to NAME:5671"],
        );
        check(certificate(CertificateError::Expired), FaultKind::Tls, &["expired"]);
        check(
            tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
            FaultKind::Tls,
            &["does not speak TLS", "amqp://"],
        );
        check(peer.tls(&io::ErrorKind::UnexpectedEof.into()), FaultKind::Tls, &["amqp://"]);
    }

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

    #[test]
    fn what_is_refused_or_lost_later_says_why() {
        let peer = peer("amqp://bench:hunter2@broker.test");
        check(
            peer.refused("declare queue q", &protocol_error(406, "PRECONDITION_FAILED - inequivalent arg")),
            FaultKind::Refused,
            &["refuses to declare queue q (PRECONDITION_FAILED - inequivalent arg)", "delete it"],
        );
        let reset = Error::from(io::Error::from(io::ErrorKind::ConnectionReset));
        check(peer.refused("declare queue q", &reset), FaultKind::Lost, &["lost: connection reset"]);
        check(peer.lost(&ErrorKind::MissingHeartbeatError.into()), FaultKind::Lost, &["gone silent"]);
        check(peer.lost(&protocol_error(320, "CONNECTION_FORCED - shutdown")), FaultKind::Lost, &["CONNECTION_FORCED"]);
        let deleted = protocol_error(320, "CONNECTION_FORCED - user 'api' is deleted");
        check(
            peer.lost(&deleted),
            FaultKind::Lost,
            &["user 'api' is deleted: was the cluster deleted, or is its lifetime over?"],
        );
        check(peer.cancelled("q"), FaultKind::Lost, &["queue q"]);
    }
}
