//! The shared queues: declared before the run, deleted after it.

use crate::connect::Link;
use engine::ports::{Fault, Service};
use lapin::{
    options::{QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use profile::QueuePlan;

/// From this version on RabbitMQ refuses queues that are transient and not exclusive.
const TRANSIENT_REFUSED_FROM: (u32, u32) = (4, 3);

pub(crate) async fn declare(link: Link, queues: &[QueuePlan]) -> Result<Service, Fault> {
    let options = QueueDeclareOptions { durable: !transient_allowed(&link.service), ..QueueDeclareOptions::default() };
    let mut result = Ok(link.service.clone());
    for queue in queues {
        let request = link.channel.queue_declare(queue.name.as_str().into(), options, arguments(queue));
        if let Err(fault) = link.exchange(&format!("declare queue {}", queue.name), request).await {
            result = Err(fault);
            break;
        }
    }
    link.close().await;
    result
}

pub(crate) async fn delete(link: Link, queues: &[QueuePlan]) -> Result<(), Fault> {
    let mut result = Ok(());
    for queue in queues {
        let request = link.channel.queue_delete(queue.name.as_str().into(), QueueDeleteOptions::default());
        if let Err(fault) = link.exchange(&format!("delete queue {}", queue.name), request).await {
            result = Err(fault);
            break;
        }
    }
    link.close().await;
    result
}

fn transient_allowed(service: &Service) -> bool {
    let mut parts = service.version.split(['.', '-', '+']).map_while(|part| part.parse().ok());
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    service.product != "RabbitMQ" || version < TRANSIENT_REFUSED_FROM
}

fn arguments(queue: &QueuePlan) -> FieldTable {
    let text = |text: String| AMQPValue::LongString(text.into());
    let number = |n: u64| AMQPValue::LongLongInt(i64::try_from(n).unwrap_or(i64::MAX));
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("classic".to_owned()));
    if let Some(messages) = queue.max_length {
        arguments.insert("x-max-length".into(), number(messages));
        arguments.insert("x-overflow".into(), text(queue.overflow.to_string()));
    }
    let expires_ms = u64::try_from(queue.expires.as_millis()).unwrap_or(u64::MAX);
    // RabbitMQ takes milliseconds in 32 bits and no zero.
    arguments.insert("x-expires".into(), number(expires_ms.clamp(1, u64::from(u32::MAX))));
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::Overflow;
    use std::time::Duration;

    #[test]
    fn queues_are_transient_where_the_service_allows_it() {
        for (product, version, allowed) in [
            ("RabbitMQ", "3.10.8", true),
            ("RabbitMQ", "4.2.1", true),
            ("RabbitMQ", "4.3.0-rc.1", false),
            ("RabbitMQ", "4.10", false),
            ("RabbitMQ", "5.0.0", false),
            ("RabbitMQ", "", true),
            ("LavinMQ", "5.1.0", true),
        ] {
            let service = Service { product: product.into(), version: version.into() };
            assert_eq!(transient_allowed(&service), allowed, "{product} {version}");
        }
    }

    #[test]
    fn a_queue_is_declared_as_planned() {
        let mut queue = QueuePlan {
            name: "q".into(),
            max_length: Some(131_072),
            overflow: Overflow::RejectPublish,
            expires: Duration::from_secs(600),
        };
        let arguments_of =
            |queue: &QueuePlan| arguments(queue).inner().keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(arguments_of(&queue), ["x-expires", "x-max-length", "x-overflow", "x-queue-type"]);
        assert_eq!(arguments(&queue).inner().get("x-expires"), Some(&AMQPValue::LongLongInt(600_000)));
        assert_eq!(arguments(&queue).inner().get("x-overflow"), Some(&AMQPValue::LongString("reject-publish".into())));
        queue.max_length = None;
        assert_eq!(arguments_of(&queue), ["x-expires", "x-queue-type"]);
    }
}
