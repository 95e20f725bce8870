//! The other side of a connection, its blocked state, and why it ended: shared by the workers that use it.

use crate::fault::Peer;
use engine::ports::{Alarm, Fault};
use futures_util::{Stream, StreamExt};
use lapin::{Error, ErrorKind, Event, protocol::AMQPError};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    time::{sleep, timeout},
};

/// How long after its consequences the reason for an end may arrive.
const REASON_LIMIT: Duration = Duration::from_secs(1);
const REASON_POLL: Duration = Duration::from_millis(5);
/// A shorter silence is no sign that a connection was closed for being idle.
const IDLE_MIN: Duration = Duration::from_secs(2);

/// The other side, the state of the connection, and when data last passed.
pub(crate) struct Line {
    pub peer: Peer,
    pub alarm: Arc<Alarm>,
    passed: Arc<Passed>,
    heartbeat: Duration,
    leaving: AtomicBool,
}

impl Line {
    pub(crate) fn new(peer: Peer, passed: Arc<Passed>, heartbeat: Duration) -> Self {
        Self { peer, alarm: Arc::default(), passed, heartbeat, leaving: AtomicBool::new(false) }
    }

    /// Marks the connection as closed by us: its end is then not reported.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Stores the service's notices about the connection, and why it closed something. Ends with the connection.
    pub(crate) async fn watch(
        self: Arc<Self>,
        mut events: impl Stream<Item = Event> + Unpin,
        mut reasons: UnboundedReceiver<AMQPError>,
    ) {
        let end = |reason: AMQPError| self.alarm.end(self.lost(&ErrorKind::ProtocolError(reason).into()));
        loop {
            tokio::select! {
                biased;
                Some(reason) = reasons.recv() => end(reason),
                event = events.next() => match event {
                    Some(Event::ConnectionBlocked(_)) => self.alarm.raise(),
                    Some(Event::ConnectionUnblocked) => self.alarm.clear(),
                    Some(Event::Error(error)) if error.is_amqp_error() || !self.leaving.load(Ordering::Relaxed) => {
                        self.alarm.end(self.lost(&error));
                    }
                    Some(_) => {}
                    None => break,
                },
            }
        }
        while let Ok(reason) = reasons.try_recv() {
            end(reason);
        }
    }

    /// The connection broke, unless we were leaving.
    pub(crate) fn broken(&self, error: &Error) {
        if !self.leaving.load(Ordering::Relaxed) {
            self.alarm.end(self.lost(error));
        }
    }

    /// Why the connection or one of its channels ended: the service's own reason, if `error` is only a consequence.
    pub(crate) async fn ended(&self, error: &Error) -> Fault {
        let reason = async {
            loop {
                if let Some(fault) = self.alarm.fault() {
                    return fault;
                }
                sleep(REASON_POLL).await;
            }
        };
        if !is_consequence(error) {
            return self.lost(error);
        }
        timeout(REASON_LIMIT, reason).await.unwrap_or_else(|_| self.lost(error))
    }

    /// The same, for a request (`what`) that may have been refused.
    pub(crate) async fn refused(&self, what: &str, error: &Error) -> Fault {
        if is_consequence(error) { self.ended(error).await } else { self.peer.refused(what, error) }
    }

    /// The same, without waiting for the reason.
    pub(crate) fn lost(&self, error: &Error) -> Fault {
        let idle = self.passed.ago();
        match error.kind() {
            ErrorKind::IOError(error) if error.kind() == io::ErrorKind::ConnectionAborted && idle >= IDLE_MIN => {
                self.peer.idle(idle, self.heartbeat)
            }
            _ => self.peer.lost(error),
        }
    }
}

/// Whether an error reports only that something has ended, and not why.
fn is_consequence(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_))
}

/// When data last passed over a connection.
#[derive(Debug)]
pub(crate) struct Passed {
    since: Instant,
    last_ms: AtomicU64,
    end: Notify,
}

impl Default for Passed {
    fn default() -> Self {
        Self { since: Instant::now(), last_ms: AtomicU64::new(0), end: Notify::new() }
    }
}

impl Passed {
    pub(crate) fn note(&self) {
        self.last_ms.store(self.since.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// The other side has closed the connection, or it failed.
    pub(crate) fn end(&self) {
        self.end.notify_one();
    }

    /// Waits for the end of the connection, and for what lapin makes of it: it may miss an end that comes during the
    /// login, and would then wait without limit.
    pub(crate) async fn missed_end(&self) -> Error {
        self.end.notified().await;
        sleep(REASON_LIMIT).await;
        io::Error::from(io::ErrorKind::UnexpectedEof).into()
    }

    fn ago(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_millis(self.last_ms.load(Ordering::Relaxed)))
    }
}
