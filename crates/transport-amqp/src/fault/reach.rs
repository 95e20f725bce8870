//! Addresses that cannot be reached, and limits for connecting that ran out.

use super::{Peer, Phase};
use crate::route::Endpoint;
use engine::ports::{Fault, FaultKind};
use std::{io, time::Duration};

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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};

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
}
