//! What is refused or lost after the login.

use super::{ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, Peer, RESOURCE_LOCKED};
use engine::ports::{Fault, FaultKind};
use lapin::{Error, ErrorKind};
use std::time::Duration;

impl Peer {
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
                Fault::new(
                    FaultKind::Refused,
                    format!("the service at {self} refuses to {what} ({message}){hint}{}", self.flaw()),
                )
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
                format!("the service at {self} ended the connection: {message}{hint}{}", self.flaw())
            }
            _ if let Some(sentence) = self.violation(error) => sentence,
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
    use crate::fault::tests::{check, peer, protocol_error};
    use std::io;

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
