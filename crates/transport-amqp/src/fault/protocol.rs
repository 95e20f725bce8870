//! Violations of the protocol by the peer.

use super::Peer;
use crate::guard::Violation;
use lapin::{Error, ErrorKind};

impl Peer {
    /// The peer's violation of the protocol, if that is what `error` reports.
    pub(super) fn violation(&self, error: &Error) -> Option<String> {
        let what = match error.kind() {
            ErrorKind::IOError(error) => error.get_ref()?.downcast_ref::<Violation>()?.to_string(),
            ErrorKind::ParsingError(_) => "a frame that is not AMQP 0-9-1".to_owned(),
            _ => return None,
        };
        Some(format!(
            "{self} sent {what}, so the connection was given up: is that port RabbitMQ's, and does a proxy before it \
            change bytes? Check the address, or send this message to the operator of the service"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};
    use engine::ports::FaultKind;
    use std::io;

    #[test]
    fn what_no_service_sends_is_named_with_who_sent_it() {
        let peer = peer("amqp://bench:hunter2@broker.test");
        let error = |violation| Error::from(io::Error::new(io::ErrorKind::InvalidData, violation));
        let start = b"\x01\0\0\0\0\0\x01x\xce";
        for (violation, part) in [
            (Violation::NoFrame, "bytes that are no AMQP frame"),
            (Violation::TooLarge { bytes: 9000, limit: 8192 }, "a frame of 9000 B where at most 8192 B were agreed"),
            (Violation::TooDeep, "tables that nest more than 64 deep"),
            (Violation::OfClients(50, 10), "method 50.10, which only clients send"),
        ] {
            let expected = &[&format!("broker.test:5672 sent {part}"), "Check the address"];
            check(peer.login(&error(violation.clone()), start), FaultKind::Unreachable, expected);
            check(peer.refused("declare queue q", &error(violation.clone())), FaultKind::Lost, expected);
            check(peer.lost(&error(violation)), FaultKind::Lost, expected);
        }
    }
}
