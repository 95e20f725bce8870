//! A producer: messages to one queue by way of the default exchange, with or without confirms.

use crate::{connect::Link, fault::Peer};
use engine::ports::{ConnectionFacts, Fault, Outcome, Outgoing, Publisher};
use lapin::{
    BasicProperties, Confirmation, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

const TRANSIENT: u8 = 1;

/// A connected producer.
pub struct AmqpPublisher {
    link: Link,
    queue: ShortString,
    properties: BasicProperties,
    options: BasicPublishOptions,
}

/// Resolves when one message has been written to the network.
pub type Written = Pin<Box<dyn Future<Output = (Vec<u8>, Result<Confirm, Fault>)> + Send>>;

impl AmqpPublisher {
    pub(crate) async fn new(
        link: Link,
        queue: &str,
        confirms: bool,
        content_type: &'static str,
    ) -> Result<Self, Fault> {
        if confirms {
            let request = link.channel.confirm_select(ConfirmSelectOptions::default());
            link.exchange("confirm messages", request).await?;
        }
        Ok(Self {
            queue: queue.into(),
            properties: BasicProperties::default().with_content_type(content_type.into()).with_delivery_mode(TRANSIENT),
            // Without it the service accepts and drops what is for a queue that is gone. Only with
            // confirms, since lapin hoards what is returned without.
            options: BasicPublishOptions { mandatory: confirms, ..BasicPublishOptions::default() },
            link,
        })
    }
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpPublisher").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl Publisher for AmqpPublisher {
    type Confirm = Confirm;
    type Written = Written;

    fn publish(&mut self, message: Outgoing) -> Written {
        let channel = self.link.channel.clone();
        let peer = self.link.peer.clone();
        let queue = self.queue.clone();
        let options = self.options;
        let properties = self.properties.clone().with_correlation_id(message.envelope.as_str().into());
        Box::pin(async move {
            let result = channel.basic_publish(ShortString::default(), queue, options, &message.body, properties).await;
            let confirm = match result {
                Ok(inner) => Ok(Confirm { inner, peer }),
                Err(error) => Err(peer.lost(&error)),
            };
            (message.body, confirm)
        })
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.link.facts
    }

    async fn close(self) {
        self.link.close().await;
    }
}

/// Resolves to what the service says about one message.
///
/// Where the service confirms several messages at once of which it returned some, lapin does not
/// keep which: the number of [`Outcome::Returned`] is right, and which of them may not be.
pub struct Confirm {
    inner: PublisherConfirm,
    peer: Arc<Peer>,
}

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirm").finish_non_exhaustive()
    }
}

impl Future for Confirm {
    type Output = Result<Outcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let confirmation = ready!(Pin::new(&mut self.inner).poll(cx));
        Poll::Ready(confirmation.map(outcome).map_err(|error| self.peer.lost(&error)))
    }
}

fn outcome(confirmation: Confirmation) -> Outcome {
    match confirmation {
        Confirmation::NotRequested => Outcome::NotAsked,
        Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)) => Outcome::Returned,
        Confirmation::Ack(None) => Outcome::Accepted,
        Confirmation::Nack(None) => Outcome::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_confirmation_has_its_outcome() {
        assert_eq!(outcome(Confirmation::NotRequested), Outcome::NotAsked);
        assert_eq!(outcome(Confirmation::Ack(None)), Outcome::Accepted);
        assert_eq!(outcome(Confirmation::Nack(None)), Outcome::Rejected);
    }
}
