//! A consumer: deliveries of one queue, their envelopes, and acknowledgements.

use crate::connect::Link;
use engine::{
    envelope::Envelope,
    ports::{ConnectionFacts, Delivery, Fault, Subscriber},
};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    Consumer,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use std::fmt;

const CONSUMER_TAG: &str = "streamharness";

/// A connected consumer.
pub struct AmqpSubscriber {
    link: Link,
    queue: String,
    acks: bool,
    consumer: Option<Consumer>,
}

impl AmqpSubscriber {
    pub(crate) async fn new(link: Link, queue: &str, acks: bool, prefetch: u16) -> Result<Self, Fault> {
        // Per consumer, since RabbitMQ 4.3 refuses the other kind.
        let request = link.channel.basic_qos(prefetch, BasicQosOptions { global: false });
        link.exchange("set the prefetch", request).await?;
        Ok(Self { link, queue: queue.to_owned(), acks, consumer: None })
    }
}

impl fmt::Debug for AmqpSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpSubscriber").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Subscriber for AmqpSubscriber {
    type Body = Vec<u8>;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        let options = BasicConsumeOptions { no_ack: !self.acks, ..BasicConsumeOptions::default() };
        let request = self.link.channel.basic_consume(
            self.queue.as_str().into(),
            CONSUMER_TAG.into(),
            options,
            FieldTable::default(),
        );
        self.consumer = Some(self.link.exchange(&format!("deliver from queue {}", self.queue), request).await?);
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery<Vec<u8>>, Fault> {
        let consumer = self.consumer.as_mut().expect("a consumer subscribes before it asks for deliveries");
        match consumer.next().await {
            Some(Ok(delivery)) => Ok(Delivery {
                envelope: delivery
                    .properties
                    .correlation_id()
                    .as_ref()
                    .and_then(|id| Envelope::decode(id.as_str().as_bytes())),
                tag: delivery.delivery_tag,
                redelivered: delivery.redelivered,
                body: delivery.data,
            }),
            Some(Err(error)) => Err(self.link.peer.lost(&error)),
            None => Err(self.link.peer.cancelled(&self.queue)),
        }
    }

    /// Hands the acknowledgement to lapin, which writes it next. Waiting until it is written would
    /// cost a change of threads each time; if it never is, the connection is lost and
    /// [`Subscriber::next`] says so.
    async fn ack(&mut self, tag: u64, multiple: bool) -> Result<(), Fault> {
        let written = self.link.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never();
        written.unwrap_or(Ok(())).map_err(|error| self.link.peer.lost(&error))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.link.facts
    }

    async fn close(mut self) {
        if self.consumer.take().is_some() {
            // Answered after every acknowledgement before it.
            let request = self.link.channel.basic_cancel(CONSUMER_TAG.into(), BasicCancelOptions::default());
            let _ = self.link.exchange("end the subscription", request).await;
        }
        self.link.close().await;
    }
}
