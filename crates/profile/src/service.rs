//! Settings of the service and its clients: defaults, and contradictory combinations.

use crate::{
    defaults, ends,
    error::{ProfileError, impossible},
    flow::{Binding, Exchange, ExchangeKind, QueuePlan},
    knobs::{Client, Mapping, QueueType, Reply},
    message::Message,
    names,
    placement::Placement,
    profile::{Profile, ServiceProfile},
    reconnect::Reconnect,
    values::{Acks, Confirms, Pattern},
};
use serde::{Deserialize, Serialize};
use std::{num::NonZeroU32, time::Duration};

/// Publishes in flight are limited by number and by bytes (D5).
const IN_FLIGHT_BYTES: u64 = 4 << 20;
/// Limit in bytes on the replies that wait at a producer: many small ones, a few large ones.
const REPLY_BYTES: u64 = 16 << 20;
/// From this prefetch on a consumer always has deliveries under way.
const PREFETCH_STREAMING: u16 = 16;
/// Ranks of a run are disconnected for seconds at most, and the queues of a killed run stay for this long.
const EXPIRES: Duration = Duration::from_secs(300);
/// From RabbitMQ 4's minimum to the largest size that is affordable for the client library's 64 buffers.
const FRAME_BYTES: std::ops::RangeInclusive<u64> = 8 << 10..=16 << 20;

/// Settings of the service and its clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Publisher confirms.
    pub confirms: Confirms,
    /// Consumer acknowledgements.
    pub acks: Acks,
    /// How long deliveries wait for others to be acknowledged together.
    pub ack_after: Duration,
    /// Unacknowledged deliveries a consumer may hold; 0 means unlimited.
    pub prefetch: u16,
    /// Unacknowledged deliveries a channel may hold; 0 means unlimited.
    pub prefetch_channel: u16,
    /// The exchanges; empty if only the default one is used.
    pub exchanges: Vec<Exchange>,
    /// The queues that consumers consume from.
    pub queues: Vec<QueuePlan>,
    /// Routing key of messages to an exchange.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub routing_key: String,
    /// What names of queues and exchanges begin with; `None`: with the run's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<String>,
    /// How workers map to queues.
    pub queue_mapping: Mapping,
    /// Whether messages are written to disk.
    pub persistent: bool,
    /// The body of a reply.
    pub reply: Reply,
    /// Publishes handed to the client library and not yet written.
    pub in_flight: u32,
    /// The same for replies.
    pub reply_in_flight: u32,
    /// Unacknowledged replies a producer may hold.
    pub reply_prefetch: u16,
    /// How often a rejected message is published again.
    pub republish_limit: u32,
    /// The client that carries messages.
    pub client: Client,
    /// Connections over which each worker spreads its messages.
    pub connections: u32,
    /// Workers of a rank that share a connection.
    pub workers_per_connection: u32,
    /// Largest AMQP frame to request, in bytes; `None`: depends on the bodies.
    pub frame_max: Option<u32>,
    /// Seconds between AMQP heartbeats; 0: off.
    pub heartbeat_s: u16,
    /// How workers come back after a lost connection; `None`: it ends the run.
    #[serde(default)]
    pub reconnect: Option<Reconnect>,
    /// The socket's send buffer in bytes; `None`: the system's default.
    pub send_buffer_bytes: Option<u32>,
    /// The socket's receive buffer in bytes; `None`: the system's default.
    pub receive_buffer_bytes: Option<u32>,
    /// A rank that only consumes checks its sockets at most once in this time, and handles all deliveries since then
    /// together. This bounds the latency that the harness adds at high rates (D4).
    pub coalesce: Duration,
}

impl Service {
    /// Size of the reply to a body of `body_bytes`, in bytes.
    pub fn reply_bytes(&self, body_bytes: u64) -> u64 {
        self.reply.bytes(body_bytes)
    }
}

pub(crate) fn in_flight(profile: &Profile, body_bytes: u64) -> u32 {
    let requested = profile.service.in_flight.map_or(defaults::IN_FLIGHT, NonZeroU32::get);
    (IN_FLIGHT_BYTES / body_bytes.max(1)).clamp(1, u64::from(requested)) as u32
}

pub(crate) fn service(
    profile: &Profile,
    pattern: Pattern,
    placement: &Placement,
    message: &Message,
    run: u32,
) -> Result<Service, ProfileError> {
    let written = &profile.service;
    let (acks, prefetch) = (written.acks.unwrap_or(defaults::ACKS), written.prefetch.unwrap_or(defaults::PREFETCH));
    let reply = written.reply.unwrap_or(defaults::REPLY);
    possible(written, pattern, acks, prefetch)?;
    let reconnect = Reconnect::resolve(written.reconnect.as_ref())?;
    let prefix = names::prefix(written.names.as_deref(), run);
    let exchange = |kind, name: &str| Exchange { name: format!("{prefix}{name}"), kind, attached: false };
    let mut exchanges = Vec::new();
    if let Some(name) = &written.exchange {
        exchanges.push(Exchange { name: name.clone(), kind: ExchangeKind::Fanout, attached: true });
    } else if pattern.is_broadcast() {
        exchanges.push(exchange(ExchangeKind::Fanout, "all"));
    }
    if pattern.has_replies() {
        exchanges.push(exchange(ExchangeKind::Direct, "replies"));
    }
    let body_bytes = message.body_bytes;
    let reply_bytes = reply.bytes(body_bytes);
    Ok(Service {
        confirms: written.confirms.unwrap_or(defaults::CONFIRMS),
        acks,
        ack_after: written.ack_after.map_or(defaults::ACK_AFTER, |span| span.0),
        prefetch,
        prefetch_channel: written.prefetch_channel.unwrap_or(defaults::PREFETCH_CHANNEL),
        queues: queues(profile, pattern, placement, &prefix, exchanges.first()),
        exchanges,
        routing_key: written.routing_key.clone().unwrap_or_default(),
        names: written.names.clone(),
        queue_mapping: written.queue_mapping.unwrap_or(defaults::QUEUE_MAPPING),
        persistent: written.persistent.unwrap_or(defaults::PERSISTENT),
        reply,
        in_flight: in_flight(profile, body_bytes),
        reply_in_flight: in_flight(profile, reply_bytes),
        reply_prefetch: (REPLY_BYTES / reply_bytes.max(1)).clamp(4, 1024) as u16,
        republish_limit: written.republish_limit.unwrap_or(defaults::REPUBLISH_LIMIT),
        connections: written.connections.map_or(defaults::CONNECTIONS, NonZeroU32::get),
        workers_per_connection: written
            .workers_per_connection
            .map_or(defaults::WORKERS_PER_CONNECTION, NonZeroU32::get),
        client: written.client.unwrap_or(defaults::CLIENT),
        frame_max: written.frame_max.map(|size| size.0 as u32),
        heartbeat_s: written.heartbeat_s.unwrap_or(match reconnect {
            Some(_) => defaults::HEARTBEAT_RECONNECT_S,
            None => defaults::HEARTBEAT_S,
        }),
        reconnect,
        send_buffer_bytes: written.send_buffer.map(|size| size.0 as u32),
        receive_buffer_bytes: written.receive_buffer.map(|size| size.0 as u32),
        coalesce: written.coalesce.map_or_else(|| coalesce(prefetch, pattern), |span| span.0),
    })
}

fn queues(
    profile: &Profile,
    pattern: Pattern,
    placement: &Placement,
    prefix: &str,
    exchange: Option<&Exchange>,
) -> Vec<QueuePlan> {
    let written = &profile.service;
    let kind = written.queue_type.unwrap_or(defaults::QUEUE_TYPE);
    let is_stream = kind == QueueType::Stream;
    let consumers = placement.consumers;
    let (word, count) = match (pattern.is_broadcast(), kind) {
        // A stream keeps read messages, so one stream serves all consumers.
        (true, QueueType::Stream) => ("all", 1),
        (true, _) => ("consumer", consumers),
        // For the same reason consumers cannot share the work of one stream.
        (false, QueueType::Stream) if consumers > 0 => ("work", consumers),
        (false, _) => ("work", ends::shared_queues(profile, consumers)),
    };
    // Consumers of others have queues of their own behind an exchange.
    let bound_by_others = consumers == 0 && exchange.is_some_and(|exchange| exchange.kind == ExchangeKind::Fanout);
    let count = if bound_by_others { 0 } else { count };
    let exclusive = pattern.is_broadcast() && kind == QueueType::Classic && written.durable != Some(true);
    let key = written.routing_key.clone().unwrap_or_default();
    let binding = exchange
        .filter(|exchange| exchange.kind == ExchangeKind::Fanout)
        .map(|exchange| Binding { exchange: exchange.name.clone(), key });
    let queue = |index| QueuePlan {
        name: format!("{prefix}{word}.{index}"),
        kind,
        durable: written.durable.unwrap_or(kind != QueueType::Classic),
        exclusive,
        // A stream is truncated at its old end by bytes, and has no other limit.
        max_length: written.max_length.map(|n| n.get()).filter(|_| !is_stream),
        max_bytes: written.max_bytes.map(|size| size.0),
        overflow: written.overflow.unwrap_or(defaults::OVERFLOW),
        ttl: written.ttl.map(|span| span.0),
        leader: written.leader.unwrap_or(defaults::LEADER),
        expires: (!is_stream && !exclusive).then_some(EXPIRES),
        binding: binding.clone(),
        attached: false,
    };
    if let Some(name) = &written.queue {
        return vec![QueuePlan { name: name.clone(), expires: None, binding: None, attached: true, ..queue(0) }];
    }
    (0..count).map(queue).collect()
}

/// Rejects combinations that cannot work on any service, with the reason and a remedy.
fn possible(written: &ServiceProfile, pattern: Pattern, acks: Acks, prefetch: u16) -> Result<(), ProfileError> {
    let kind = written.queue_type.unwrap_or(defaults::QUEUE_TYPE);
    let channel = written.prefetch_channel.unwrap_or(defaults::PREFETCH_CHANNEL);
    for (flag, limit) in [("--prefetch ", prefetch), ("--set service.prefetch_channel=", channel)] {
        if let Acks::Multiple(n) = acks
            && limit != 0
            && n.get() > u32::from(limit)
        {
            return impossible(format!(
                "acks multiple:{n} never happen with a prefetch of {limit}: the broker stops sending before the {n}th \
                 delivery; use {flag}{n} or more, or --acks multiple:{limit}"
            ));
        }
    }
    let too_large = |size: u64| size > u64::from(i32::MAX as u32);
    let buffers = [("send_buffer", written.send_buffer), ("receive_buffer", written.receive_buffer)];
    let buffer = buffers.into_iter().find(|(_, size)| size.is_some_and(|size| size.0 == 0 || too_large(size.0)));
    let refused = [
        (kind != QueueType::Classic && written.durable == Some(false)).then(|| {
            format!("a {kind} queue is always durable: leave service.durable out, or use --queue-type classic")
        }),
        (kind != QueueType::Classic && channel != 0).then(|| {
            format!(
                "a {kind} queue has no prefetch per channel: use --prefetch for each consumer instead of \
                 service.prefetch_channel"
            )
        }),
        (kind == QueueType::Stream && acks == Acks::Auto).then(|| {
            "a stream delivers only as fast as it is acknowledged, so --acks auto is refused by the service: use \
             --acks multiple:64"
                .to_owned()
        }),
        (kind == QueueType::Stream && prefetch == 0)
            .then(|| "a stream needs a prefetch limit: use --prefetch 64 instead of 0".to_owned()),
        (kind == QueueType::Stream && written.ttl.is_some()).then(|| {
            "a stream drops nothing by age of single messages: leave service.ttl out, or use --queue-type quorum"
                .to_owned()
        }),
        (written.ttl.is_some_and(|ttl| ttl.0 < Duration::from_millis(1)))
            .then(|| "a message that may not wait at all is never delivered: give service.ttl 1ms or more".to_owned()),
        (written.reply.is_some_and(|reply| reply.reduces().is_some()) && !(pattern.is_broadcast() && pattern.has_replies())).then(
            || {
                "vectors are reduced over the replies of all consumers to one message: use --pattern broadcast-gather, or a reply \
                 of a size"
                    .to_owned()
            },
        ),
        (written.reply.is_some() && !pattern.has_replies()).then(|| {
            format!(
                "{pattern} has no replies, so service.reply has no effect: leave it out, or use --pattern \
                 work-sharing-feedback or broadcast-gather"
            )
        }),
        (written.connections.is_some_and(|n| n.get() > 1)
            && written.workers_per_connection.is_some_and(|n| n.get() > 1))
        .then(|| {
            "workers either share a connection or have several: leave out --connections or \
             service.workers_per_connection"
                .to_owned()
        }),
        written
            .frame_max
            .filter(|size| !FRAME_BYTES.contains(&size.0))
            .map(|size| format!("a frame of {size} cannot be agreed on: make service.frame_max 8KiB to 16MiB")),
        written
            .connections
            .filter(|n| n.get() > 64)
            .map(|n| format!("{n} connections for each worker would measure this host: use --connections 64 or fewer")),
        buffer.map(|(name, _)| format!("service.{name} must be 1B to 2GiB, such as 4MiB")),
    ];
    match refused.into_iter().flatten().next() {
        Some(reason) => impossible(reason),
        None => Ok(()),
    }
}

/// With a small prefetch the broker waits for each acknowledgement, and a rest would delay it; in patterns with replies
/// it would delay the producer.
fn coalesce(prefetch: u16, pattern: Pattern) -> Duration {
    let waited_for = (1..PREFETCH_STREAMING).contains(&prefetch) || pattern.has_replies();
    if waited_for { Duration::ZERO } else { defaults::COALESCE }
}

#[cfg(test)]
mod tests {
    use crate::{Plan, ProfileError, sample};

    fn resolve(text: &str) -> Result<Plan, ProfileError> {
        sample::plan(text, 4)
    }

    #[test]
    fn combinations_that_cannot_work_are_refused_with_the_reason_and_a_way_out() {
        for (knobs, expected) in [
            ("acks = 'multiple:64'\nprefetch = 10", "--prefetch 64"),
            ("prefetch_channel = 8", "service.prefetch_channel=64"),
            ("queue_type = 'quorum'\ndurable = false", "always durable"),
            ("queue_type = 'quorum'\nprefetch_channel = 100", "no prefetch per channel"),
            ("queue_type = 'stream'\nacks = 'auto'", "--acks multiple:64"),
            ("queue_type = 'stream'\nprefetch = 0\nacks = 'each'", "--prefetch 64"),
            ("queue_type = 'stream'\nttl = '1s'", "service.ttl"),
            ("ttl = '0s'", "1ms"),
            ("reply = '64B'", "--pattern work-sharing-feedback"),
            ("connections = 2\nworkers_per_connection = 2", "--connections"),
            ("connections = 100", "64 or fewer"),
            ("frame_max = '1KiB'", "8KiB to 16MiB"),
            ("send_buffer = '0B'", "service.send_buffer"),
        ] {
            let error = resolve(&format!("[service]\n{knobs}")).unwrap_err().to_string();
            assert!(error.contains(expected), "{knobs}: {error}");
        }
    }

    #[test]
    fn each_kind_of_queue_gets_what_it_can_have() {
        let queue = |kind: &str| {
            let plan = resolve(&format!("[service]\nqueue_type = '{kind}'")).unwrap();
            plan.service.queues[0].clone()
        };
        for (kind, durable, limited, expires) in
            [("classic", false, true, true), ("quorum", true, true, true), ("stream", true, false, false)]
        {
            let queue = queue(kind);
            let found = (queue.durable, queue.max_length.is_some(), queue.expires.is_some());
            assert_eq!(found, (durable, limited, expires), "{kind}");
        }
    }

    #[test]
    fn a_consumer_that_the_broker_waits_for_does_not_rest() {
        for (text, expected_us) in [
            ("", 200),
            ("[service]\nprefetch = 1\nacks = 'each'", 0),
            ("[service]\nprefetch = 0", 200),
            ("[service]\ncoalesce = '0s'", 0),
            ("pattern = 'broadcast-gather'", 0),
            ("[service]\nprefetch = 1\nacks = 'each'\ncoalesce = '50us'", 50),
        ] {
            assert_eq!(resolve(text).unwrap().service.coalesce.as_micros(), expected_us, "{text}");
        }
    }
}
