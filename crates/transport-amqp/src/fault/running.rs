//! Refusals and losses after the login.

use super::{ACCESS_REFUSED, NOT_FOUND, Peer, RESOURCE_LOCKED};
use engine::ports::{Fault, FaultKind, Loss};
use lapin::{Error, ErrorKind, protocol::AMQPError};
use std::{io, time::Duration};

impl Peer {
    /// A request (`what`) failed after the login.
    pub(crate) fn refused(&self, what: &str, error: &Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(problem) => {
                let (message, remedy) = (message_of(problem), remedy(problem));
                Fault::new(
                    FaultKind::Refused,
                    format!("the service at {self} refuses to {what} ({message}){remedy}{}", self.flaw()),
                )
            }
            ErrorKind::ChannelsLimitReached => Fault::new(
                FaultKind::Refused,
                format!(
                    "the service at {self} allows no more channels on a connection: lower \
                    service.workers_per_connection, or have its channel_max raised"
                ),
            ),
            _ => self.lost(error),
        }
    }

    /// The connection or channel ended during the run.
    pub(crate) fn lost(&self, error: &Error) -> Fault {
        let sentence = match error.kind() {
            ErrorKind::ProtocolError(problem) => {
                let what = if error.is_amqp_soft_error() { "closed a channel" } else { "ended the connection" };
                format!("the service at {self} {what}: {}{}{}", message_of(problem), remedy(problem), self.flaw())
            }
            _ if let Some(sentence) = self.violation(error) => sentence,
            ErrorKind::MissingHeartbeatError => {
                format!("the service at {self} has gone silent (no heartbeat): is it, or the route to it, still up?")
            }
            ErrorKind::IOError(error) if error.kind() == io::ErrorKind::ConnectionAborted => format!(
                "the connection to {self} was lost: the other side closed it without a reason. Is the service, and each \
                proxy before it, still up? Their logs say more"
            ),
            ErrorKind::IOError(error) => format!(
                "the connection to {self} was lost: {error}. Is the service, and each proxy before it, still up? Their \
                logs say more"
            ),
            ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
                format!("the connection to {self} ended without a reason: see the log of the service")
            }
            _ => format!("the connection to {self} was lost ({error}): see the log of the service"),
        };
        let loss = match error.kind() {
            ErrorKind::ProtocolError(_) => Loss::Closed,
            ErrorKind::MissingHeartbeatError => Loss::Silent,
            ErrorKind::IOError(error) if error.kind() == io::ErrorKind::ConnectionAborted => Loss::Ended,
            ErrorKind::IOError(error) if error.kind() == io::ErrorKind::InvalidData => Loss::Other,
            ErrorKind::IOError(_) => Loss::Reset,
            _ => Loss::Other,
        };
        Fault::lost(loss, sentence)
    }

    /// The other side closed the connection without a reason, when nothing had passed for long.
    pub(crate) fn idle(&self, idle: Duration, heartbeat: Duration) -> Fault {
        let (idle, heartbeat) = (idle.as_secs(), heartbeat.as_secs());
        // A heartbeat is sent twice per interval.
        let shorter = (idle / 2).max(1);
        let sentence = match heartbeat {
            1.. if idle > heartbeat => format!(
                "the connection to {self} was lost: the other side closed it without a reason, and sent nothing for {idle} \
                s before: is the service, and each proxy before it, still up? Their logs say more"
            ),
            _ => format!(
                "the connection to {self} was lost: the other side closed it when nothing had passed for {idle} s, as \
                proxies do with idle connections (the heartbeat is {heartbeat} s): use --set service.heartbeat_s={shorter}, \
                or see the logs of the service and of each proxy before it"
            ),
        };
        Fault::lost(Loss::Ended, sentence)
    }

    /// A request to the service (`what`) took too long.
    pub(crate) fn late(&self, what: &str, limit: Duration) -> Fault {
        Fault::lost(
            Loss::Late,
            format!(
                "the service at {self} does not {what} within {} s: is it overloaded or in alarm?",
                limit.as_secs_f64()
            ),
        )
    }

    /// The service ended the subscription.
    pub(crate) fn cancelled(&self, queue: &str) -> Fault {
        Fault::lost(
            Loss::Cancelled,
            format!(
                "the service at {self} ended the subscription to queue {queue}: was it deleted, or its node stopped?"
            ),
        )
    }
}

/// The service's own message, on one line.
pub(super) fn message_of(problem: &AMQPError) -> String {
    let words = problem.get_message().as_str().split(|c: char| c.is_whitespace() || c.is_control());
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The remedy for an error of the service, by its message if that is known, otherwise by its code.
pub(super) fn remedy(problem: &AMQPError) -> &'static str {
    const BY_WORDS: [(&[&str], &str); 9] = [
        (&["message size", "larger than"], ": send smaller messages, or have its max_message_size raised"),
        (
            &["delivery acknowledgement", "timed out"],
            ": it waits no longer for acknowledgements: lower --prefetch, or have its consumer_timeout raised",
        ),
        (&["queue limit in"], ": delete queues there, use another virtual host, or have its limit max-queues raised"),
        (
            &["connection limit"],
            ": end other connections, use fewer ranks or service.workers_per_connection, or have the limit max-connections \
             raised",
        ),
        (
            &["channels opened for user"],
            ": use fewer ranks or another user, or have the user's limit max-channels raised",
        ),
        (&["transient_nonexcl_queues"], ": use --set service.durable=true"),
        (&["is down or inaccessible"], ": start that node, or use --queue-type quorum, which outlives a node"),
        (&["CONNECTION_FORCED - user", "is deleted"], ": was the cluster deleted, or is its lifetime over?"),
        (&["inequivalent arg"], ": it exists with other settings, so use another name or delete it"),
    ];
    let message = problem.get_message().as_str();
    let known = BY_WORDS.iter().find(|(words, _)| words.iter().all(|word| message.contains(word)));
    known.map_or_else(
        || match problem.get_id() {
            ACCESS_REFUSED => ": the user needs the permission for it",
            NOT_FOUND => ": was it deleted?",
            RESOURCE_LOCKED => ": another connection holds it exclusively",
            _ => "",
        },
        |(_, remedy)| *remedy,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer, protocol_error};

    #[test]
    fn a_refusal_or_loss_after_the_login_has_its_reason() {
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

    #[test]
    fn each_limit_of_a_service_has_its_remedy() {
        let peer = peer("amqp://bench:hunter2@broker.test");
        for (id, message, remedy) in [
            (
                406,
                "PRECONDITION_FAILED - cannot declare queue 'q' in vhost '/': queue limit in vhost '/' (1) is reached",
                "max-queues",
            ),
            (406, "PRECONDITION_FAILED - message size 20 is larger than configured max size 16", "max_message_size"),
            (
                406,
                "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms.",
                "consumer_timeout",
            ),
            (
                530,
                "NOT_ALLOWED - access to vhost '/' refused for user 'u': connection limit (0) is reached",
                "max-connections",
            ),
            (
                530,
                "NOT_ALLOWED - connection refused for user 'u': user connection limit (0) is reached",
                "max-connections",
            ),
            (
                530,
                "NOT_ALLOWED - number of channels opened for user 'u' has reached the maximum allowed user limit of (1)",
                "max-channels",
            ),
            (
                541,
                "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\nIts use is",
                "service.durable=true",
            ),
            (
                404,
                "NOT_FOUND - home node 'r@h' of durable queue 'q' in vhost '/' is down or inaccessible",
                "queue-type quorum",
            ),
            (403, "ACCESS_REFUSED - access to exchange 'e' in vhost '/' refused for user 'u'", "needs the permission"),
        ] {
            for fault in [peer.refused("x", &protocol_error(id, message)), peer.lost(&protocol_error(id, message))] {
                assert!(fault.sentence.contains(remedy) && !fault.sentence.contains('\n'), "{fault}");
                assert!(!fault.sentence.contains("other settings"), "{fault}");
            }
        }
        check(
            peer.lost(&protocol_error(406, "PRECONDITION_FAILED - message size 20 is larger than 16")),
            FaultKind::Lost,
            &["the service at broker.test:5672 closed a channel: PRECONDITION_FAILED - message size 20"],
        );
    }

    #[test]
    fn a_connection_that_was_ended_for_being_idle_names_the_knob() {
        let peer = peer("amqp://bench:hunter2@broker.test");
        let s = Duration::from_secs;
        check(peer.idle(s(20), s(60)), FaultKind::Lost, &["nothing had passed for 20 s", "service.heartbeat_s=10"]);
        check(peer.idle(s(5), s(0)), FaultKind::Lost, &["service.heartbeat_s=2"]);
        check(peer.idle(s(70), s(60)), FaultKind::Lost, &["sent nothing for 70 s", "Their logs"]);
    }
}
