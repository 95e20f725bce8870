//! Exchanges and queues: declared before the run, deleted after it.

use crate::{connect::Connector, link::Link, prefetch::try_prefetch, purpose::Purpose, support};
use engine::ports::{Fault, Look, Service, Undeleted, Until};
use lapin::{
    ExchangeKind as Kind,
    options::{
        ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
    },
    types::{AMQPValue, FieldTable},
};
use profile::{Exchange, ExchangeKind, LeaderLocator, QueuePlan, QueueType};
use std::time::Duration;
use tokio::time::Instant;

/// How often queues are checked until nothing changes in them, and the time between two checks.
const LOOKS_MAX: usize = 5;
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// Declares everything that belongs to no worker, if the service supports it. If it refuses transient queues, they are
/// declared durable.
pub(crate) async fn declare(
    connector: &Connector,
    exchanges: &[Exchange],
    queues: &[QueuePlan],
    requested: &support::Requested,
) -> Result<Service, Fault> {
    match declare_as_planned(connector, exchanges, queues, requested).await {
        // The refusal ended the connection, and nothing was declared before it: all transient queues are refused.
        Err(fault) if support::refuses_transient(&fault) => {
            let durable: Vec<_> = queues.iter().map(|queue| QueuePlan { durable: true, ..queue.clone() }).collect();
            let mut service = declare_as_planned(connector, exchanges, &durable, requested).await?;
            service.notes.push(
                "queues are durable: this service refuses transient ones that are shared \
                 (deprecated_features.permit.transient_nonexcl_queues); --set service.durable=true requests that"
                    .into(),
            );
            Ok(service)
        }
        declared => declared,
    }
}

/// With spread leaders, queues are declared through the addresses in turn, each on the node of that address.
async fn declare_as_planned(
    connector: &Connector,
    exchanges: &[Exchange],
    queues: &[QueuePlan],
    requested: &support::Requested,
) -> Result<Service, Fault> {
    let spread = queues.iter().any(|queue| queue.leader == LeaderLocator::Spread);
    let addresses = if spread { connector.topology_addresses() } else { 1 };
    let mut links = Vec::new();
    for address in 0..addresses {
        links.push(connector.open(Purpose::Topology(address)).await?);
    }
    let declared = declare_through(&links, exchanges, queues, requested).await;
    for link in links {
        link.close().await;
    }
    declared
}

async fn declare_through(
    links: &[Link],
    exchanges: &[Exchange],
    queues: &[QueuePlan],
    requested: &support::Requested,
) -> Result<Service, Fault> {
    let first = &links[0];
    let mut service = first.shared.service.clone();
    service.notes = support::check(&service, queues, requested)?;
    if requested.prefetch_channel > 0 {
        service.notes.extend(try_prefetch(first, queues).await?);
    }
    for exchange in exchanges.iter().filter(|exchange| !exchange.attached) {
        declare_exchange(first, exchange).await?;
    }
    for (queue, link) in queues.iter().filter(|queue| !queue.attached).zip(links.iter().cycle()) {
        declare_queue(link, queue).await?;
    }
    Ok(service)
}

/// Declares an exchange, unless it is somebody else's.
pub(crate) async fn declare_exchange(link: &Link, exchange: &Exchange) -> Result<(), Fault> {
    if exchange.attached {
        return Ok(());
    }
    let kind = match exchange.kind {
        ExchangeKind::Direct => Kind::Direct,
        ExchangeKind::Fanout => Kind::Fanout,
    };
    // Deleted with its last queue: a dead run leaves none on a shared service.
    let options = ExchangeDeclareOptions { durable: true, auto_delete: true, ..ExchangeDeclareOptions::default() };
    let name = exchange.name.as_str();
    let request = link.channel.exchange_declare(name.into(), kind, options, FieldTable::default());
    link.exchange(&format!("declare exchange {name}"), request).await
}

/// Declares a queue and binds it, unless it is somebody else's. An exclusive queue belongs to the link's connection.
pub(crate) async fn declare_queue(link: &Link, queue: &QueuePlan) -> Result<(), Fault> {
    if queue.attached {
        return Ok(());
    }
    let options = QueueDeclareOptions {
        durable: queue.durable,
        exclusive: queue.exclusive,
        auto_delete: queue.exclusive,
        ..QueueDeclareOptions::default()
    };
    let name = queue.name.as_str();
    let request = link.channel.queue_declare(name.into(), options, arguments(queue, &link.shared.service));
    link.exchange(&format!("declare queue {name}"), request).await?;
    if let Some(binding) = &queue.binding {
        let (exchange, key) = (binding.exchange.as_str(), binding.key.as_str());
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let request = link.channel.queue_bind(name.into(), exchange.into(), key.into(), options, arguments);
        link.exchange(&format!("bind queue {name} to exchange {exchange}"), request).await?;
    }
    Ok(())
}

/// Number of messages that queues hold. Unacknowledged deliveries return to their queues shortly after the consumers
/// have left, so the number counts once two checks agree.
pub(crate) async fn held(connector: &Connector, queues: &[QueuePlan]) -> Result<u64, Fault> {
    let link = connector.open(Purpose::Topology(0)).await?;
    let counted = async {
        let mut last = None;
        for _ in 0..LOOKS_MAX {
            let mut held = 0;
            for queue in queues {
                held += look_at(&link, &queue.name).await?.messages;
            }
            if last.replace(held) == Some(held) {
                break;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(last.unwrap_or_default())
    };
    let held = counted.await;
    link.close().await;
    held
}

/// Looks at queues until something holds of them, or until nothing has changed in them for `patience`.
pub(crate) async fn look(
    connector: &Connector,
    queues: &[QueuePlan],
    until: Until,
    patience: Duration,
) -> Result<Vec<Look>, Fault> {
    let link = connector.open(Purpose::Topology(0)).await?;
    let looked = async {
        let (mut last, mut changed) = (Vec::new(), Instant::now());
        loop {
            let mut looks = Vec::new();
            for queue in queues {
                looks.push(look_at(&link, &queue.name).await?);
            }
            if looks != last {
                changed = Instant::now();
            }
            if until.holds(&looks) || changed.elapsed() >= patience {
                return Ok(looks);
            }
            last = looks;
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    };
    let looked = looked.await;
    link.close().await;
    looked
}

/// What a queue has, from the service's reply to a passive declaration.
pub(crate) async fn look_at(link: &Link, name: &str) -> Result<Look, Fault> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let request = link.channel.queue_declare(name.into(), options, FieldTable::default());
    let queue = link.exchange(&format!("report how many messages queue {name} holds"), request).await?;
    Ok(Look { messages: queue.message_count().into(), consumers: queue.consumer_count() })
}

/// Whether there is such an exchange: its kind does not matter.
pub(crate) async fn look_for_exchange(link: &Link, name: &str) -> Result<(), Fault> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    let request = link.channel.exchange_declare(name.into(), Kind::Direct, options, FieldTable::default());
    link.exchange(&format!("look for exchange {name}"), request).await
}

/// Whether the service reports that there is no such queue or exchange: one that may not be declared may not be deleted either.
async fn is_absent(link: &mut Link, name: &str, is_queue: bool) -> bool {
    let looked = if is_queue { look_at(link, name).await.map(drop) } else { look_for_exchange(link, name).await };
    // Every refusal closes the channel.
    looked.is_err_and(|fault| fault.sentence.contains("NOT_FOUND")) && link.renew().await.is_ok()
}

/// Deletes what [`declare`] declared. Every object is tried, whatever fails.
pub(crate) async fn delete(
    connector: &Connector,
    exchanges: &[Exchange],
    queues: &[QueuePlan],
) -> Result<Vec<Undeleted>, Fault> {
    let mut link = connector.open(Purpose::Topology(0)).await?;
    let mut undeleted = Vec::new();
    let queues = queues.iter().map(|queue| (queue.name.as_str(), true));
    let exchanges = exchanges.iter().map(|exchange| (exchange.name.as_str(), false));
    let mut all = queues.chain(exchanges);
    while let Some((name, is_queue)) = all.next() {
        let since = Instant::now();
        let deleted = if is_queue {
            let request = link.channel.queue_delete(name.into(), QueueDeleteOptions::default());
            link.exchange(&format!("delete queue {name}"), request).await.map(drop)
        } else {
            let request = link.channel.exchange_delete(name.into(), ExchangeDeleteOptions::default());
            link.exchange(&format!("delete exchange {name}"), request).await
        };
        if let Err(fault) = deleted {
            let left = |name: &str| Undeleted { name: name.to_owned(), fault: fault.clone() };
            // The service closes a channel after a refusal. If no new channel can be opened, the rest is left. It is
            // also left if the service does not reply at all, because each object would wait for the full limit.
            if since.elapsed() >= link.limit() || link.renew().await.is_err() {
                undeleted.push(left(name));
                undeleted.extend(all.by_ref().map(|(name, _)| left(name)));
            } else if is_absent(&mut link, name, is_queue).await {
                continue;
            } else {
                undeleted.push(left(name));
            }
        }
    }
    link.close().await;
    Ok(undeleted)
}

fn arguments(queue: &QueuePlan, service: &Service) -> FieldTable {
    let text = |text: String| AMQPValue::LongString(text.into());
    let number = |n: u64| AMQPValue::LongLongInt(i64::try_from(n).unwrap_or(i64::MAX));
    let milliseconds = |time: Duration| {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // RabbitMQ accepts milliseconds in 32 bits, and not zero.
        number(ms.clamp(1, u64::from(u32::MAX)))
    };
    let mut arguments = FieldTable::default();
    let mut set = |key: &str, value: AMQPValue| {
        arguments.insert(key.into(), value);
    };
    set("x-queue-type", text(queue.kind.to_string()));
    if let Some(messages) = queue.max_length {
        set("x-max-length", number(messages));
    }
    if let Some(bytes) = queue.max_bytes {
        set("x-max-length-bytes", number(bytes));
    }
    let limited = queue.max_length.is_some() || queue.max_bytes.is_some();
    if limited && queue.kind != QueueType::Stream {
        set("x-overflow", text(queue.overflow.to_string()));
    }
    if let Some(ttl) = queue.ttl {
        set("x-message-ttl", milliseconds(ttl));
    }
    if let Some(expires) = queue.expires {
        set("x-expires", milliseconds(expires));
    }
    let place = match queue.leader {
        LeaderLocator::Server => None,
        LeaderLocator::ClientLocal | LeaderLocator::Spread => Some("client-local"),
        LeaderLocator::Balanced => Some("balanced"),
    };
    if let Some(place) = place {
        let (key, place) = support::leader_argument(service, queue.kind, place);
        set(key, text(place.to_owned()));
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::Overflow;

    fn queue(kind: QueueType) -> QueuePlan {
        QueuePlan {
            name: "q".into(),
            kind,
            durable: false,
            exclusive: false,
            max_length: None,
            max_bytes: None,
            overflow: Overflow::RejectPublish,
            ttl: None,
            leader: LeaderLocator::Server,
            expires: None,
            binding: None,
            attached: false,
        }
    }

    #[track_caller]
    fn check(queue: &QueuePlan, version: &str, expected: &[(&str, AMQPValue)]) {
        let service = Service { product: "RabbitMQ".into(), version: version.into(), notes: Vec::new() };
        let arguments = arguments(queue, &service);
        let found: Vec<_> = arguments.inner().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_queue_is_declared_as_planned() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        let number = AMQPValue::LongLongInt;
        check(&queue(QueueType::Classic), "3.10.8", &[("x-queue-type", text("classic"))]);
        let full = QueuePlan {
            max_length: Some(131_072),
            max_bytes: Some(1 << 40),
            ttl: Some(Duration::from_millis(1500)),
            expires: Some(Duration::from_secs(600)),
            ..queue(QueueType::Quorum)
        };
        check(
            &full,
            "3.10.8",
            &[
                ("x-expires", number(600_000)),
                ("x-max-length", number(131_072)),
                ("x-max-length-bytes", number(1 << 40)),
                ("x-message-ttl", number(1500)),
                ("x-overflow", text("reject-publish")),
                ("x-queue-type", text("quorum")),
            ],
        );
        let stream = QueuePlan { max_bytes: Some(7), ..queue(QueueType::Stream) };
        check(&stream, "4.1.0", &[("x-max-length-bytes", number(7)), ("x-queue-type", text("stream"))]);
    }

    #[test]
    fn leaders_are_placed_in_the_words_of_the_version() {
        let text = |text: &str| AMQPValue::LongString(text.into());
        for (kind, version, key, place) in [
            (QueueType::Classic, "3.10.8", "x-queue-master-locator", "min-masters"),
            (QueueType::Classic, "4.0.1", "x-queue-leader-locator", "balanced"),
            (QueueType::Quorum, "3.10.8", "x-queue-leader-locator", "balanced"),
        ] {
            let queue = QueuePlan { leader: LeaderLocator::Balanced, ..queue(kind) };
            let mut expected = vec![(key, text(place)), ("x-queue-type", text(&kind.to_string()))];
            expected.sort_by_key(|(key, _)| *key);
            check(&queue, version, &expected);
        }
    }
}
