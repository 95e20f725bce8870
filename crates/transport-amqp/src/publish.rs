//! The publisher: messages to an exchange or to queues in turn, with or without confirms, and replies.

use crate::{
    line::Line,
    link::Link,
    native::{Parcel, Receipt, Sent, Template, short_name},
};
use engine::ports::{Alarm, ConnectionFacts, Fault, Outcome, Outgoing, Publisher, ReplyTo};
use lapin::{
    BasicProperties, Confirmation, PublisherConfirm,
    options::{BasicPublishOptions, ConfirmSelectOptions},
    types::ShortString,
};
use profile::Target;
use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

const TRANSIENT: u8 = 1;
const PERSISTENT: u8 = 2;

/// A worker that publishes, over one connection or over several in turn.
pub struct AmqpPublisher {
    links: Vec<Link>,
    exchange: ShortString,
    keys: Vec<Key>,
    template: Arc<Template>,
    published: usize,
    properties: BasicProperties,
    options: BasicPublishOptions,
}

/// Properties that all bodies of a run share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shared {
    /// MIME type.
    pub content_type: &'static str,
    /// Whether the service keeps it on disk.
    pub persistent: bool,
}

/// A routing key, for each client in its own form.
#[derive(Debug, Clone)]
struct Key(ShortString, Arc<str>);

impl From<&str> for Key {
    fn from(key: &str) -> Self {
        Self(key.into(), key.into())
    }
}

/// The body, and what its confirm is awaited with.
type Published = (Vec<u8>, Result<Confirm, Fault>);
type Failing = Pin<Box<dyn Future<Output = Fault> + Send>>;

/// Why a message could not be written or confirmed: the service's own reason, if it comes.
fn failing(line: &Arc<Line>, error: lapin::Error) -> Failing {
    let line = line.clone();
    Box::pin(async move { line.ended(&error).await })
}

/// Resolves when one message has been written to the network.
pub struct Publishing(Way);

enum Way {
    Lapin(Pin<Box<dyn Future<Output = Published> + Send>>),
    Native(Sent, Arc<Line>),
    Failing(Vec<u8>, Failing),
}

impl Future for Publishing {
    type Output = Published;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Way::Native(sent, line) = &mut self.0 {
            let (body, written) = ready!(Pin::new(sent).poll(cx));
            match written {
                Ok(receipt) => return Poll::Ready((body, Ok(Confirm::native(receipt, line.clone())))),
                Err(error) => self.0 = Way::Failing(body, failing(line, error)),
            }
        }
        match &mut self.0 {
            Way::Lapin(publishing) => publishing.as_mut().poll(cx),
            Way::Failing(body, failing) => {
                let fault = ready!(failing.as_mut().poll(cx));
                Poll::Ready((std::mem::take(body), Err(fault)))
            }
            Way::Native(..) => unreachable!("it has returned, or fails now"),
        }
    }
}

impl AmqpPublisher {
    pub(crate) async fn new(links: Vec<Link>, target: &Target, body: Shared) -> Result<Self, Fault> {
        if target.confirms {
            for link in &links {
                let request = link.channel.confirm_select(ConfirmSelectOptions::default());
                link.exchange("confirm messages", request).await?;
            }
        }
        links.iter().for_each(|link| link.open_lane(false, None));
        let delivery_mode = if body.persistent { PERSISTENT } else { TRANSIENT };
        let reply_to = target.reply_to.as_deref();
        let template = Template::new(&target.exchange, body.content_type, delivery_mode, reply_to, target.confirms)?;
        target.keys.iter().try_for_each(|key| short_name(key))?;
        let properties =
            BasicProperties::default().with_content_type(body.content_type.into()).with_delivery_mode(delivery_mode);
        Ok(Self {
            exchange: target.exchange.as_str().into(),
            keys: target.keys.iter().map(|key| key.as_str().into()).collect(),
            template: Arc::new(template),
            published: 0,
            properties: match &target.reply_to {
                Some(queue) => properties.with_reply_to(queue.as_str().into()),
                None => properties,
            },
            // Without it the service accepts and drops messages for a queue that no longer exists. Only with confirms:
            // without them lapin would accumulate returned messages.
            options: BasicPublishOptions { mandatory: target.confirms, ..BasicPublishOptions::default() },
            links,
        })
    }

    /// The link and the key to use next; every link uses every key in turn.
    fn turn(&mut self) -> (usize, usize) {
        let turn = self.published;
        self.published = turn.wrapping_add(1);
        (turn % self.links.len(), turn / self.links.len() % self.keys.len().max(1))
    }
}

impl fmt::Debug for AmqpPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { exchange, keys, .. } = self;
        f.debug_struct("AmqpPublisher").field("exchange", exchange).field("keys", keys).finish_non_exhaustive()
    }
}

impl Publisher for AmqpPublisher {
    type Confirm = Confirm;
    type Publishing = Publishing;

    fn publish(&mut self, message: Outgoing) -> Publishing {
        let (link, key) = self.turn();
        if let Some(wire) = &self.links[link].shared.wire {
            let (key, message_id) = match message.reply {
                None => (self.keys[key].1.clone(), None),
                Some(ReplyTo { key, consumer }) => (key, Some(consumer)),
            };
            let sent = wire.send(Parcel {
                channel: self.links[link].channel.id(),
                template: self.template.clone(),
                key,
                envelope: message.envelope,
                message_id,
                body: message.body,
                confirm: self.options.mandatory,
            });
            return Publishing(Way::Native(sent, self.links[link].line().clone()));
        }
        let channel = self.links[link].channel.clone();
        let line = self.links[link].line().clone();
        let exchange = self.exchange.clone();
        let options = self.options;
        let properties = self.properties.clone().with_correlation_id(message.envelope.as_str().into());
        let (key, properties) = match message.reply {
            None => (self.keys[key].0.clone(), properties),
            Some(ReplyTo { key, consumer }) => {
                ((&*key).into(), properties.with_message_id(consumer.to_string().into()))
            }
        };
        Publishing(Way::Lapin(Box::pin(async move {
            let result = channel.basic_publish(exchange, key, options, &message.body, properties).await;
            let confirm = match result {
                Ok(inner) => Ok(Confirm(Waiting::Lapin(inner, line))),
                Err(error) => Err(line.ended(&error).await),
            };
            (message.body, confirm)
        })))
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.links[0].shared.facts
    }

    fn alarms(&self) -> Vec<Arc<Alarm>> {
        self.links.iter().map(|link| link.shared.line.alarm.clone()).collect()
    }

    fn abandon(&mut self) {
        self.links.iter().for_each(Link::abandon);
    }

    async fn close(self) {
        for link in self.links {
            link.close().await;
        }
    }
}

/// Resolves to the service's outcome for one message.
///
/// If the service confirms several messages at once and has returned some of them, lapin does not record which: the
/// number of [`Outcome::Returned`] is right, their assignment to messages may not be. The light client records it.
pub struct Confirm(Waiting);

enum Waiting {
    Lapin(PublisherConfirm, Arc<Line>),
    Native(Receipt, Arc<Line>),
    NotAsked,
    Failing(Failing),
}

impl Confirm {
    fn native(receipt: Option<Receipt>, line: Arc<Line>) -> Self {
        Self(receipt.map_or(Waiting::NotAsked, |receipt| Waiting::Native(receipt, line)))
    }
}

impl fmt::Debug for Confirm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Confirm").finish_non_exhaustive()
    }
}

impl Future for Confirm {
    type Output = Result<Outcome, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Waiting::Native(receipt, line) = &mut self.0 {
            match ready!(Pin::new(receipt).poll(cx)) {
                Ok(outcome) => return Poll::Ready(Ok(outcome)),
                Err(error) => self.0 = Waiting::Failing(failing(line, error)),
            }
        }
        match &mut self.0 {
            Waiting::Lapin(confirm, line) => {
                let confirmation = ready!(Pin::new(confirm).poll(cx));
                Poll::Ready(confirmation.map(outcome).map_err(|error| line.lost(&error)))
            }
            Waiting::Failing(failing) => failing.as_mut().poll(cx).map(Err),
            Waiting::NotAsked => Poll::Ready(Ok(Outcome::NotAsked)),
            Waiting::Native(..) => unreachable!("it has returned, or fails now"),
        }
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
