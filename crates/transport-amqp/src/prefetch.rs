//! Tests whether the service applies a prefetch per channel.

use crate::link::{Link, REPLY_SUCCESS};
use engine::ports::{Fault, FaultKind};
use futures_util::{FutureExt, StreamExt};
use lapin::{
    BasicProperties,
    options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions},
    types::{FieldTable, ShortString},
};
use profile::QueuePlan;
use std::time::Duration;
use tokio::time::sleep;

const PREFETCH_POLL: Duration = Duration::from_millis(10);

/// Tests whether the service applies a prefetch per channel: RabbitMQ 4 may be configured to apply it per consumer,
/// without reporting it. Then an existing consumer gets all waiting messages. Returns a note if it cannot be tested.
pub(crate) async fn try_prefetch(link: &Link, queues: &[QueuePlan]) -> Result<Option<String>, Fault> {
    match keeps_channel_prefetch(link, queues).await {
        Ok(true) => Ok(None),
        Ok(false) => Err(Fault::new(
            FaultKind::Refused,
            format!(
                "the service at {} takes a prefetch per channel for one per consumer \
                 (deprecated_features.permit.global_qos): leave service.prefetch_channel out, and use --prefetch",
                link.line().peer
            ),
        )),
        Err(fault) => {
            Ok(Some(format!("whether the service keeps to service.prefetch_channel could not be tried: {fault}")))
        }
    }
}

/// Whether the second of two messages stays in its queue if the consumer's channel may have one, or is delivered.
async fn keeps_channel_prefetch(link: &Link, queues: &[QueuePlan]) -> Result<bool, Fault> {
    let channel = link.exchange("open a channel", link.shared.connection.create_channel()).await?;
    let name: ShortString = queues.first().map_or_else(String::new, |queue| format!("{}-prefetch", queue.name)).into();
    let attempt = async {
        let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        let name = channel.queue_declare(name, options, FieldTable::default()).await?.name().clone();
        let options = BasicConsumeOptions::default();
        let mut consumer =
            channel.basic_consume(name.clone(), "prefetch".into(), options, FieldTable::default()).await?;
        channel.basic_qos(1, BasicQosOptions { global: true }).await?;
        for _ in 0..2 {
            let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
            channel.basic_publish("".into(), name.clone(), options, b"", properties).await?;
        }
        let mut delivered = 0;
        let kept = loop {
            while let Some(Some(delivery)) = consumer.next().now_or_never() {
                delivery?;
                delivered += 1;
            }
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let queue = channel.queue_declare(name.clone(), options, FieldTable::default()).await?;
            match (queue.message_count(), delivered) {
                (1.., _) => break true,
                (0, 2..) => break false,
                // RabbitMQ may count before it handles earlier publishes.
                _ => sleep(PREFETCH_POLL).await,
            }
        };
        channel.close(REPLY_SUCCESS, "OK".into()).await?;
        Ok(kept)
    };
    link.exchange("try a prefetch per channel", attempt).await
}
