//! The subscriber: deliveries of one queue, their envelopes, and acknowledgements.

use crate::{
    link::Link,
    native::Body,
    restore::{Restore, is_gone},
    topology,
};
use engine::{
    envelope::Envelope,
    ports::{ConnectionFacts, Delivery, Fault, Number, Subscriber},
};
use futures_util::{FutureExt, StreamExt, future::poll_fn};
use lapin::{
    BasicProperties, Consumer,
    message::Delivery as Arrived,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::{AMQPValue, FieldTable},
};
use profile::{Mark, QueueType, Source};
use std::{
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::sleep;

const CONSUMER_TAG: &str = "streamharness";
/// RabbitMQ's error if a stream's replica on the consumer's node has not started yet: it starts after the reply to the
/// declaration (D22).
const NO_REPLICA_YET: &str = "does not have a replica on the local node";
const REPLICA_POLL: Duration = Duration::from_millis(50);

/// A worker that consumes, over one connection or over several.
pub struct AmqpSubscriber {
    lanes: Vec<Lane>,
    source: Source,
    turn: usize,
    /// Declares again what is gone, if it is not the worker's first connection.
    restore: Option<Restore>,
}

/// One of its connections.
struct Lane {
    link: Link,
    consumer: Option<Consumer>,
    /// The last delivery, until it is acknowledged with all before it.
    last_tag: Option<u64>,
}

impl AmqpSubscriber {
    pub(crate) async fn new(links: Vec<Link>, source: &Source, restore: Option<Restore>) -> Result<Self, Fault> {
        for link in &links {
            limit_deliveries(link, source).await?;
        }
        let lanes = links.into_iter().map(|link| Lane { link, consumer: None, last_tag: None }).collect();
        Ok(Self { lanes, source: source.clone(), turn: 0, restore })
    }

    /// The next delivery of any lane, which take turns.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Option<lapin::Result<Delivery<Body>>>)> {
        let lanes = self.lanes.len();
        for at in (0..lanes).map(|step| (self.turn + step) % lanes) {
            let link = &self.lanes[at].link;
            if let Some(wire) = &link.shared.wire
                && let Poll::Ready(next) = wire.poll_delivery(link.channel.id(), cx)
            {
                self.turn = at + 1;
                return Poll::Ready((at, Some(next)));
            }
            // With the light client only the end of the subscription comes by it.
            let consumer = self.lanes[at].consumer.as_mut();
            let consumer = consumer.expect("a consumer subscribes before it waits for deliveries");
            if let Poll::Ready(next) = consumer.poll_next_unpin(cx) {
                self.turn = at + 1;
                let wanted = self.source.mark.as_ref();
                return Poll::Ready((at, next.map(|next| next.map(|arrived| delivery(arrived, wanted)))));
            }
        }
        Poll::Pending
    }
}

/// What lapin delivers.
fn delivery(arrived: Arrived, wanted: Option<&Mark>) -> Delivery<Body> {
    let properties = &arrived.properties;
    Delivery {
        envelope: properties.correlation_id().as_ref().and_then(|id| Envelope::decode(id.as_str().as_bytes())),
        reply_to: properties.reply_to().as_ref().map(|queue| queue.as_str().into()),
        replied_by: properties.message_id().as_ref().and_then(|id| id.as_str().parse().ok()),
        mark: wanted.and_then(|wanted| mark(properties, wanted)),
        tag: arrived.delivery_tag,
        redelivered: arrived.redelivered,
        body: arrived.data.into(),
    }
}

/// A number in the properties of a message.
fn mark(properties: &BasicProperties, wanted: &Mark) -> Option<Number> {
    let whole = |number: i64| Some(Number::Whole(number));
    let name = match wanted {
        Mark::Timestamp => return i64::try_from((*properties.timestamp())?).ok().map(Number::Whole),
        Mark::Header(name) => name.as_str(),
    };
    match properties.headers().as_ref()?.inner().get(name)? {
        AMQPValue::ShortShortInt(number) => whole((*number).into()),
        AMQPValue::ShortShortUInt(number) => whole((*number).into()),
        AMQPValue::ShortInt(number) => whole((*number).into()),
        AMQPValue::ShortUInt(number) => whole((*number).into()),
        AMQPValue::LongInt(number) => whole((*number).into()),
        AMQPValue::LongUInt(number) => whole((*number).into()),
        AMQPValue::LongLongInt(number) => whole(*number),
        AMQPValue::Timestamp(number) => i64::try_from(*number).ok().map(Number::Whole),
        AMQPValue::Float(number) => Some(Number::Part((*number).into())),
        AMQPValue::Double(number) => Some(Number::Part(*number)),
        AMQPValue::LongString(text) => str::from_utf8(text.as_bytes()).ok().and_then(Number::of_text),
        _ => None,
    }
}

/// Sets the prefetch limits. Without acknowledgements there is no limit.
async fn limit_deliveries(link: &Link, source: &Source) -> Result<(), Fault> {
    for (limit, global) in [(source.prefetch, false), (source.prefetch_channel, true)] {
        if limit > 0 && source.acks {
            let request = link.channel.basic_qos(limit, BasicQosOptions { global });
            link.exchange("set the prefetch", request).await?;
        }
    }
    Ok(())
}

async fn consume(link: &Link, source: &Source) -> Result<Consumer, Fault> {
    link.open_lane(source.acks, source.mark.as_ref());
    let Source { queue, acks, .. } = source;
    let mut arguments = FieldTable::default();
    if queue.kind == QueueType::Stream {
        let offset = match source.delivered {
            // What was in somebody else's stream before is not of this run.
            0 if queue.attached => AMQPValue::LongString("next".into()),
            // From the first message: producers start later, and their first messages count.
            0 => AMQPValue::LongString("first".into()),
            // The first message of a stream has offset 0.
            delivered => AMQPValue::LongLongInt(delivered as i64),
        };
        arguments.insert("x-stream-offset".into(), offset);
    }
    let options = BasicConsumeOptions { no_ack: !acks, ..BasicConsumeOptions::default() };
    let name = queue.name.as_str();
    let request = link.channel.basic_consume(name.into(), CONSUMER_TAG.into(), options, arguments);
    link.exchange(&format!("deliver from queue {name}"), request).await
}

impl fmt::Debug for AmqpSubscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AmqpSubscriber").field("queue", &self.source.queue.name).finish_non_exhaustive()
    }
}

impl Subscriber for AmqpSubscriber {
    type Body = Body;

    async fn subscribe(&mut self) -> Result<(), Fault> {
        for lane in &mut self.lanes {
            if self.source.queue.exclusive {
                match &self.restore {
                    Some(restore) => restore.queue(&lane.link, &self.source.queue).await?,
                    None => topology::declare_queue(&lane.link, &self.source.queue).await?,
                }
            }
            let since = Instant::now();
            lane.consumer = loop {
                match consume(&lane.link, &self.source).await {
                    Err(fault)
                        if fault.sentence.contains(NO_REPLICA_YET) && since.elapsed() < lane.link.limit() / 2 =>
                    {
                        sleep(REPLICA_POLL).await;
                        lane.link.renew().await?;
                        limit_deliveries(&lane.link, &self.source).await?;
                    }
                    Err(fault) if let Some(restore) = self.restore.as_ref().filter(|_| is_gone(&fault)) => {
                        lane.link.renew().await?;
                        limit_deliveries(&lane.link, &self.source).await?;
                        restore.queue(&lane.link, &self.source.queue).await?;
                    }
                    consumer => break Some(consumer?),
                }
            };
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Delivery<Body>, Fault> {
        let (at, next) = poll_fn(|cx| self.poll_next(cx)).await;
        let lanes = self.lanes.len() as u64;
        let lane = &mut self.lanes[at];
        match next {
            Some(Ok(delivery)) => {
                lane.last_tag = Some(delivery.tag);
                Ok(Delivery { tag: delivery.tag * lanes + at as u64, ..delivery })
            }
            Some(Err(error)) => Err(lane.link.line().ended(&error).await),
            None => Err(lane.link.line().peer.cancelled(&self.source.queue.name)),
        }
    }

    /// Writes the acknowledgement, or hands it to lapin, which writes it next. Waiting until it is written would cost a thread switch
    /// each time; if it is never written, the connection is lost and [`Subscriber::next`] reports it. A tag is the
    /// lane's tag times the number of lanes, plus the lane's index; `multiple` includes all deliveries of every lane.
    async fn ack(&mut self, tag: u64, multiple: bool) -> Result<(), Fault> {
        let lanes = self.lanes.len() as u64;
        let acked = (tag % lanes) as usize;
        for (at, lane) in self.lanes.iter_mut().enumerate() {
            let tag = match multiple {
                true => lane.last_tag.take(),
                false => (at == acked).then_some(tag / lanes),
            };
            let Some(tag) = tag else { continue };
            if let Some(wire) = &lane.link.shared.wire {
                if let Err(error) = wire.ack(lane.link.channel.id(), tag, multiple) {
                    return Err(lane.link.line().ended(&error).await);
                }
            } else {
                let written = lane.link.channel.basic_ack(tag, BasicAckOptions { multiple }).now_or_never();
                if let Some(Err(error)) = written {
                    return Err(lane.link.line().ended(&error).await);
                }
            }
        }
        Ok(())
    }

    async fn held(&mut self) -> Result<u64, Fault> {
        self.lanes.iter().for_each(|lane| lane.link.discard());
        topology::look_at(&self.lanes[0].link, &self.source.queue.name).await.map(|look| look.messages)
    }

    fn facts(&self) -> &ConnectionFacts {
        &self.lanes[0].link.shared.facts
    }

    fn abandon(&mut self) {
        self.lanes.iter().for_each(|lane| lane.link.abandon());
    }

    async fn close(self) {
        for Lane { link, consumer, .. } in self.lanes {
            link.discard();
            if consumer.is_some() {
                // Its reply follows every acknowledgement before it.
                let request = link.channel.basic_cancel(CONSUMER_TAG.into(), BasicCancelOptions::default());
                let _ = link.exchange("end the subscription", request).await;
            }
            link.close().await;
        }
    }
}
