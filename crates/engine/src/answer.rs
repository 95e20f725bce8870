//! Answers of a consumer: published in order, as many in flight as the plan allows, never confirmed.

use crate::{
    begun::Begun,
    clock::Clock,
    envelope::Envelope,
    ports::{Alarm, Answer, Fault, Outgoing, Publisher},
};
use futures_util::future::poll_fn;
use profile::Reply;
use std::{collections::VecDeque, sync::Arc};

/// A consumer's way to answer.
pub struct Answerer<P: Publisher> {
    publisher: P,
    consumer: u32,
    reply: Reply,
    in_flight: usize,
    writing: VecDeque<Begun<P::Written>>,
    /// Buffers that came back.
    spare: Vec<Vec<u8>>,
    clock: Clock,
}

impl<P: Publisher> Answerer<P> {
    /// Answers by `publisher` for a consumer.
    pub fn new(publisher: P, consumer: u32, reply: Reply, in_flight: u32, clock: Clock) -> Self {
        let in_flight = in_flight as usize;
        Self { publisher, consumer, reply, in_flight, writing: VecDeque::new(), spare: Vec::new(), clock }
    }

    /// Answers one message. Waits while too many answers are in flight.
    pub async fn answer(&mut self, to: String, envelope: &Envelope, request: &[u8]) -> Result<(), Fault> {
        while self.writing.len() >= self.in_flight {
            self.settle().await?;
        }
        let mut body = self.spare.pop().unwrap_or_default();
        body.clear();
        match self.reply {
            Reply::Echo => body.extend_from_slice(request),
            Reply::Sized(size) => body.resize(size.0 as usize, 0),
        }
        let answer = Some(Answer { to, by: self.consumer });
        let written = self.publisher.publish(Outgoing { body, envelope: envelope.encode(), answer });
        self.writing.push_back(Begun::begin(written, self.clock));
        self.collect()
    }

    /// Whether answers are in flight.
    pub fn is_busy(&self) -> bool {
        !self.writing.is_empty()
    }

    /// Waits until the oldest answer in flight is written. Cancel safe.
    pub async fn settle(&mut self) -> Result<(), Fault> {
        if let Some(oldest) = self.writing.front_mut() {
            poll_fn(|cx| oldest.poll_settled(cx)).await;
        }
        self.collect()
    }

    /// Takes buffers back of what is written.
    fn collect(&mut self) -> Result<(), Fault> {
        while let Some(true) = self.writing.front_mut().map(Begun::is_settled) {
            let oldest = self.writing.pop_front().and_then(Begun::settled);
            let ((buffer, confirm), _) = oldest.expect("it is there and settled");
            self.spare.push(buffer);
            // The service is not asked, so there is nothing to wait for.
            drop(confirm?);
        }
        Ok(())
    }

    /// Tell when the service holds its connections back, and why it ended one.
    pub fn alarms(&self) -> Vec<Arc<Alarm>> {
        self.publisher.alarms()
    }

    /// Closes the connection, after everything written has left.
    pub async fn close(self) {
        self.publisher.close().await;
    }
}
