//! Replies of a consumer: published in order, as many in flight as the plan allows, never confirmed.

use crate::{
    envelope::Envelope,
    ports::{Alarm, Fault, Outgoing, Publisher, ReplyTo},
    time::clock::Clock,
    worker::in_flight::InFlight,
};
use futures_util::future::poll_fn;
use profile::Reply;
use std::{collections::VecDeque, sync::Arc};

/// Sends the replies of a consumer.
pub struct Replier<P: Publisher> {
    publisher: P,
    consumer: u32,
    reply: Reply,
    in_flight: usize,
    writing: VecDeque<InFlight<P::Publishing>>,
    /// Returned buffers.
    spare: Vec<Vec<u8>>,
    clock: Clock,
}

impl<P: Publisher> Replier<P> {
    /// Replies by `publisher` for a consumer.
    pub fn new(publisher: P, consumer: u32, reply: Reply, in_flight: u32, clock: Clock) -> Self {
        let in_flight = in_flight as usize;
        Self { publisher, consumer, reply, in_flight, writing: VecDeque::new(), spare: Vec::new(), clock }
    }

    /// Replies to one message. Waits while too many replies are in flight.
    pub async fn reply(&mut self, key: String, envelope: &Envelope, message: &[u8]) -> Result<(), Fault> {
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
        self.writing.push_back(InFlight::start(writing, self.clock));
        self.take_back()
    }

    /// Whether replies are in flight.
    pub fn is_busy(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Waits until the oldest reply in flight is written. Cancel safe.
    pub async fn settle(&mut self) -> Result<(), Fault> {
        if let Some(oldest) = self.writing.front_mut() {
            poll_fn(|cx| oldest.poll_settled(cx)).await;
        }
        self.take_back()
    }

    /// Takes back the buffers of written replies.
    fn take_back(&mut self) -> Result<(), Fault> {
        while let Some(true) = self.writing.front_mut().map(InFlight::is_settled) {
            let oldest = self.writing.pop_front().and_then(InFlight::settled);
            let ((buffer, confirm), _) = oldest.expect("it is there and settled");
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
