//! Unreachable addresses, and limits for connecting that passed.

use super::{Peer, Phase};
use crate::{dial::Failed, endpoint::Endpoint};
use engine::ports::{Fault, FaultKind};
use std::{io, time::Duration};

impl Peer {
    pub(crate) fn unresolved(&self, error: &io::Error) -> Fault {
        let Endpoint { host, port, .. } = &self.endpoint;
        let name = self.reached_at.as_ref().map_or(host, |(host, _)| host);
        Fault::new(
            FaultKind::Unreachable,
            format!(
                "the host name {name} is unknown here ({error}): check the URL, or give its address with \
                --connect-to {host}:{port}:ADDRESS:PORT"
            ),
        )
    }

    /// None of its addresses is reachable within `limit`.
    pub(crate) fn unreachable(&self, failed: &[Failed], limit: Duration) -> Fault {
        let refused = |(_, error): &Failed| error.kind() == io::ErrorKind::ConnectionRefused;
        let sentence = match failed {
            [(_, error)] if is_silence(error) => return self.too_slow(Phase::Reach, limit, b""),
            [(_, error)] if !refused(&failed[0]) => return self.not_connected(error),
            _ if failed.iter().all(refused) => {
                let by = if failed.len() > 1 { format!(" by {}", hosts(failed).join(" and ")) } else { String::new() };
                format!(
                    "nothing listens at {self} (connection refused{by}): is the service up? Check the host and port of \
                    --url, or start a testbed with `streamharness testbed up`"
                )
            }
            _ => {
                let reasons: Vec<_> = hosts(failed)
                    .iter()
                    .zip(failed)
                    .map(|(host, (_, error))| format!("{host}: {}", reason(error)))
                    .collect();
                format!(
                    "{self} cannot be reached within {} s at any of its addresses ({}): check the addresses of that name, \
                    the route and firewalls, or give its address with --connect-to {}:{}:ADDRESS:PORT",
                    limit.as_secs_f64(),
                    reasons.join("; "),
                    self.endpoint.host,
                    self.endpoint.port
                )
            }
        };
        Fault::new(FaultKind::Unreachable, sentence)
    }

    /// A connection cannot be made or used.
    pub(crate) fn not_connected(&self, error: &io::Error) -> Fault {
        let sentence = match error.kind() {
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable | io::ErrorKind::TimedOut => {
                format!("{self} cannot be reached from here ({error}): check the address, the route and firewalls")
            }
            _ => format!("cannot connect to {self}: {error}"),
        };
        Fault::new(FaultKind::Unreachable, sentence)
    }

    /// The limit for connecting passed; `received` has the bytes that the other side sent until then.
    pub(crate) fn too_slow(&self, phase: Phase, limit: Duration, received: &[u8]) -> Fault {
        let seconds = limit.as_secs_f64();
        let (kind, sentence) = match phase {
            Phase::Resolve => (
                FaultKind::Unreachable,
                format!(
                    "the host name of {self} is not resolved within {seconds} s: check the name servers of this host, or \
                    give its address with --connect-to {}:{}:ADDRESS:PORT",
                    self.endpoint.host, self.endpoint.port
                ),
            ),
            Phase::Reach => (
                FaultKind::Unreachable,
                format!("{self} does not respond within {seconds} s: check the address, the route and firewalls"),
            ),
            Phase::Tls => (
                FaultKind::Tls,
                format!(
                    "{self} accepts the connection but does not agree on TLS within {seconds} s: does that port \
                    speak TLS? Without TLS the URL begins with amqp://"
                ),
            ),
            Phase::Login if received.is_empty() => (
                FaultKind::Unreachable,
                format!(
                    "{self} accepts the connection but sends nothing within {seconds} s: is that port AMQP? {}",
                    self.other_scheme()
                ),
            ),
            Phase::Login => match self.no_amqp(received) {
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

/// Whether the error is silence until our limit; the kernel's own timeout has an error number.
fn is_silence(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ if is_silence(error) => "no reply".to_owned(),
        _ => error.to_string(),
    }
}

fn hosts(failed: &[Failed]) -> Vec<String> {
    failed.iter().map(|(address, _)| address.ip().to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};

    #[test]
    fn failures_to_connect_end_in_what_to_check() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let limit = Duration::from_secs(8);
        let failed = |kind: io::ErrorKind, ip: &str| (format!("{ip}:5671").parse().unwrap(), io::Error::from(kind));
        let refused = |ip| failed(io::ErrorKind::ConnectionRefused, ip);
        let silent = |ip| failed(io::ErrorKind::TimedOut, ip);
        for (tries, part) in [
            (vec![refused("10.0.0.1")], "nothing listens at broker.test:5671 (connection refused): is the service up?"),
            (vec![silent("10.0.0.1")], "broker.test:5671 does not respond within 8 s"),
            (
                vec![refused("10.0.0.1"), refused("[::1]")],
                "(connection refused by 10.0.0.1 and ::1): is the service up?",
            ),
            (vec![refused("10.0.0.2"), silent("10.0.0.1")], "(10.0.0.2: connection refused; 10.0.0.1: no reply)"),
        ] {
            check(peer.unreachable(&tries, limit), FaultKind::Unreachable, &["broker.test:5671", part]);
        }
        check(
            peer.unresolved(&io::Error::other("no such name")),
            FaultKind::Unreachable,
            &["broker.test", "--connect-to broker.test:5671:ADDRESS:PORT"],
        );
        for (phase, kind) in [
            (Phase::Resolve, FaultKind::Unreachable),
            (Phase::Reach, FaultKind::Unreachable),
            (Phase::Tls, FaultKind::Tls),
            (Phase::Login, FaultKind::Unreachable),
        ] {
            check(peer.too_slow(phase, limit, b""), kind, &["broker.test:5671", "within 8 s"]);
        }
    }

    #[test]
    fn a_redirected_peer_is_reported_with_the_address_that_was_tried() {
        let mut peer = peer("amqps://bench@broker.test:443");
        peer.reached_at = Some(("127.0.0.1".into(), 8443));
        let refused = ("127.0.0.1:8443".parse().unwrap(), io::Error::from(io::ErrorKind::ConnectionRefused));
        check(
            peer.unreachable(&[refused], Duration::ZERO),
            FaultKind::Unreachable,
            &["broker.test:443", "127.0.0.1:8443, --connect-to"],
        );
    }
}
