//! An open connection, and one of its channels, for a worker.

use crate::{line::Line, native::Wire, token::LoggedIn};
use engine::ports::{ConnectionFacts, Fault, Service};
use lapin::{Channel, Connection};
use profile::Mark;
use std::{net::Shutdown, sync::Arc, time::Duration};
use tokio::time::timeout;

pub(crate) const REPLY_SUCCESS: u16 = 200;

/// An open connection.
pub(crate) struct Shared {
    pub(crate) connection: Connection,
    pub line: Arc<Line>,
    pub facts: ConnectionFacts,
    pub service: Service,
    pub(crate) handle: socket2::Socket,
    /// Where messages go past lapin.
    pub(crate) wire: Option<Arc<Wire>>,
}

impl Shared {
    /// Whether it has not ended yet, as far as is known.
    pub(crate) fn is_open(&self) -> bool {
        self.connection.status().connected() && self.wire.as_ref().is_none_or(|wire| wire.failure().is_none())
    }
}

impl LoggedIn for Shared {
    fn connection(&self) -> &Connection {
        &self.connection
    }
}

/// One channel of an open connection.
pub(crate) struct Link {
    pub shared: Arc<Shared>,
    pub channel: Arc<Channel>,
    pub(crate) limit: Duration,
}

impl Link {
    pub(crate) fn line(&self) -> &Arc<Line> {
        &self.shared.line
    }

    /// One request to the service, within its limit; `what` completes "does not ...".
    pub(crate) async fn exchange<T>(
        &self,
        what: &str,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<T, Fault> {
        match timeout(self.limit, request).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => Err(self.line().refused(what, &error).await),
            Err(_) => Err(self.line().peer.late(what, self.limit)),
        }
    }

    /// Messages and confirms of its channel go past lapin, if the client is the light one.
    pub(crate) fn open_lane(&self, acks: bool, wanted: Option<&Mark>) {
        if let Some(wire) = &self.shared.wire {
            wire.open_lane(self.channel.id(), acks, wanted.cloned());
        }
    }

    /// Nobody takes deliveries of its channel any more.
    pub(crate) fn discard(&self) {
        if let Some(wire) = &self.shared.wire {
            wire.discard(self.channel.id());
        }
    }

    /// Replaces a channel that the service closed after a refusal.
    pub(crate) async fn renew(&mut self) -> Result<(), Fault> {
        let channel = self.exchange("open a channel", self.shared.connection.create_channel()).await?;
        self.line().alarm.renew();
        self.channel = Arc::new(channel);
        Ok(())
    }

    /// How long one request may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Ends a connection that was lost, unless other workers use it: the service need not wait for heartbeats to notice.
    pub(crate) fn abandon(&self) {
        self.line().leave();
        if Arc::strong_count(&self.shared) == 1 {
            let _ = self.shared.handle.shutdown(Shutdown::Both);
        }
    }

    /// Closes the channel, and with its last channel the connection; everything written on the channel has been handled
    /// before.
    pub(crate) async fn close(self) {
        let Self { shared, channel, limit } = self;
        shared.line.leave();
        let goodbye = async {
            // Closing fails if it is already closed, which is harmless.
            let _ = channel.close(REPLY_SUCCESS, "OK".into()).await;
        };
        let silent = timeout(limit, goodbye).await.is_err();
        let Some(last) = Arc::into_inner(shared) else { return };
        let goodbye = async {
            let _ = last.connection.close(REPLY_SUCCESS, "OK".into()).await;
        };
        if silent || timeout(limit, goodbye).await.is_err() {
            let _ = last.handle.shutdown(Shutdown::Both);
        }
    }
}
