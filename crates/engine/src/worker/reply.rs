//! Replies of a consumer: published in order, as many in flight as the plan allows, never confirmed.

use crate::{
    envelope::{Envelope, EnvelopeText},
    ports::{Alarm, Fault, Outgoing, Publisher, ReplyTo},
    time::clock::Clock,
    worker::{in_flight::Queue, reconnect::Reconnector, reduce},
};
use measure::record::LostConnection;
use profile::Reply;
use std::{collections::VecDeque, sync::Arc};

/// Sends the replies of a consumer.
pub struct Replier<P: Publisher> {
    publisher: P,
    consumer: u32,
    reply: Reply,
    /// Of the run: it implies the numbers of vectors.
    seed: u64,
    in_flight: usize,
    writing: Queue<Writing, P::Publishing>,
    /// Returned buffers.
    spare: Vec<Vec<u8>>,
    reconnector: Option<Reconnector<P>>,
    /// Connections so far: what fails of an earlier one is no news.
    connection: u32,
    /// Replies that were not written when the connection was lost, to be sent again.
    again: VecDeque<(Address, Vec<u8>)>,
    /// How many were sent again.
    resent: u64,
}

/// A reply on its way to the network.
struct Writing {
    connection: u32,
    /// What it takes to send it again, if that may happen.
    address: Option<Address>,
}

/// Where a reply goes, and what it replies to.
#[derive(Clone)]
struct Address {
    key: Arc<str>,
    envelope: EnvelopeText,
}

/// What became of the replies of a consumer whose connection may have been lost.
#[derive(Debug, Default)]
pub(crate) struct Resent {
    /// Replies that were sent again, because they were not written when the connection was lost.
    pub replies: u64,
    /// The times without a connection, if there were any.
    pub lost: Option<LostConnection>,
}

impl<P: Publisher> Replier<P> {
    /// Replies by `publisher` for a consumer.
    pub fn new(publisher: P, consumer: u32, reply: Reply, seed: u64, in_flight: u32, clock: Clock) -> Self {
        Self {
            publisher,
            consumer,
            reply,
            seed,
            in_flight: in_flight as usize,
            writing: Queue::new(clock),
            spare: Vec::new(),
            reconnector: None,
            connection: 0,
            again: VecDeque::new(),
            resent: 0,
        }
    }

    /// It comes back after a lost connection.
    pub(crate) fn reconnect_by(&mut self, reconnector: Option<Reconnector<P>>) {
        self.reconnector = reconnector;
    }

    /// Replies to one message. Waits while too many replies are in flight, or while there is no connection.
    pub async fn reply(&mut self, key: Arc<str>, envelope: &Envelope, message: &[u8]) -> Result<(), Fault> {
        while self.writing.len() >= self.in_flight || self.is_down() {
            self.settle().await?;
        }
        let mut body = self.spare.pop().unwrap_or_default();
        body.clear();
        match self.reply {
            Reply::Echo => body.extend_from_slice(message),
            Reply::Sized(size) => body.resize(size.0 as usize, 0),
            Reply::Sum(size) | Reply::Mean(size) => {
                reduce::fill(self.seed, envelope.sequence, self.consumer, size.0 as usize, &mut body);
            }
        }
        self.send(Address { key, envelope: envelope.encode() }, body);
        self.take_back()
    }

    fn send(&mut self, address: Address, body: Vec<u8>) {
        let kept = self.reconnector.is_some().then(|| address.clone());
        let Address { key, envelope } = address;
        let reply = Some(ReplyTo { key, consumer: self.consumer });
        let writing = self.publisher.publish(Outgoing { body, envelope, reply });
        // Nothing waits for the middle of them.
        self.writing.start(Writing { connection: self.connection, address: kept }, 0, writing);
    }

    /// Whether replies are in flight, or wait for a connection.
    pub fn is_busy(&self) -> bool {
        !self.writing.is_empty() || self.is_down()
    }

    fn is_down(&self) -> bool {
        self.reconnector.as_ref().is_some_and(Reconnector::is_down)
    }

    /// Waits until the oldest reply in flight is written, or until the connection is made again. Cancel safe.
    pub async fn settle(&mut self) -> Result<(), Fault> {
        if let Some(reconnector) = self.reconnector.as_mut().filter(|reconnector| reconnector.is_down()) {
            self.publisher = reconnector.again(0).await?;
            self.connection += 1;
            self.resent += self.again.len() as u64;
            for (address, body) in std::mem::take(&mut self.again) {
                self.send(address, body);
            }
        }
        self.writing.first_settled().await;
        self.take_back()
    }

    /// Takes back the buffers of written replies.
    fn take_back(&mut self) -> Result<(), Fault> {
        while let Some((Writing { connection, address }, (buffer, confirm), _)) = self.writing.pop_settled() {
            let Err(fault) = confirm else {
                // Replies are not confirmed, so there is nothing to wait for.
                self.spare.push(buffer);
                continue;
            };
            let reconnector = self.reconnector.as_mut().filter(|reconnector| reconnector.covers(&fault));
            let (Some(reconnector), Some(address)) = (reconnector, address) else { return Err(fault) };
            if connection == self.connection && !reconnector.is_down() {
                reconnector.lose(fault);
                self.publisher.alarms().iter().for_each(|alarm| alarm.clear());
                self.publisher.abandon();
            }
            if self.is_down() {
                self.again.push_back((address, buffer));
            } else {
                // Of an earlier connection, and late.
                self.resent += 1;
                self.send(address, buffer);
            }
        }
        Ok(())
    }

    /// What became of its replies where its connection was lost; the replies of lost connections are of unknown fate.
    pub(crate) fn resent(&mut self) -> Resent {
        let lost = self.reconnector.take().and_then(Reconnector::report);
        Resent { replies: self.resent, lost }
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
