//! Replies of a consumer: published in order, as many in flight as the plan allows, never confirmed.

use crate::{
    envelope::Envelope,
    ports::{Alarm, Fault, Outgoing, Publisher, ReplyTo},
    time::clock::Clock,
    worker::in_flight::Queue,
};
use profile::Reply;
use std::sync::Arc;

/// Sends the replies of a consumer.
pub struct Replier<P: Publisher> {
    publisher: P,
    consumer: u32,
    reply: Reply,
    in_flight: usize,
    writing: Queue<(), P::Publishing>,
    /// Returned buffers.
    spare: Vec<Vec<u8>>,
}

impl<P: Publisher> Replier<P> {
    /// Replies by `publisher` for a consumer.
    pub fn new(publisher: P, consumer: u32, reply: Reply, in_flight: u32, clock: Clock) -> Self {
        let in_flight = in_flight as usize;
        Self { publisher, consumer, reply, in_flight, writing: Queue::new(clock), spare: Vec::new() }
    }

    /// Replies to one message. Waits while too many replies are in flight.
    pub async fn reply(&mut self, key: Arc<str>, envelope: &Envelope, message: &[u8]) -> Result<(), Fault> {
        while self.writing.len() >= self.in_flight {
            self.settle().await?;
        }
        let mut body = self.spare.pop().unwrap_or_default();
        body.clear();
        match self.reply {
            Reply::Echo => body.extend_from_slice(message),
            Reply::Sized(size) => body.resize(size.0 as usize, 0),
        }
        let reply = Some(ReplyTo { key, consumer: self.consumer });
        let writing = self.publisher.publish(Outgoing { body, envelope: envelope.encode(), reply });
        // Nothing waits for the middle of them.
        self.writing.start((), 0, writing);
        self.take_back()
    }

    /// Whether replies are in flight.
    pub fn is_busy(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Waits until the oldest reply in flight is written. Cancel safe.
    pub async fn settle(&mut self) -> Result<(), Fault> {
        self.writing.first_settled().await;
        self.take_back()
    }

    /// Takes back the buffers of written replies.
    fn take_back(&mut self) -> Result<(), Fault> {
        while let Some(((), (buffer, confirm), _)) = self.writing.pop_settled() {
            self.spare.push(buffer);
            // Replies are not confirmed, so there is nothing to wait for.
            drop(confirm?);
        }
        Ok(())
    }

    /// Alarms of its connections.
    pub fn alarms(&self) -> Vec<Arc<Alarm>> {
        self.publisher.alarms()
    }

    /// Closes the connection, after everything written has left.
    pub async fn close(self) {
        self.publisher.close().await;
    }
}
