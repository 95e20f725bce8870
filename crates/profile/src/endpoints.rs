//! The exchange or queue that each worker publishes to, and the queue that it consumes from.

use crate::{
    flow::{Binding, ExchangeKind, Mark, QueuePlan, Source, Target},
    knobs::{LeaderLocator, Mapping, QueueType},
    plan::Plan,
    values::{Acks, Overflow},
};

/// The header of a reply in which an external consumer reports its own time, from the delivery to the reply, in nanoseconds.
const OWN_NS: &str = "own_ns";

impl Plan {
    /// The target of a producer's messages.
    pub fn target_of(&self, producer: u32) -> Target {
        let service = &self.service;
        let reply_to = (self.flow.replies > 0).then(|| self.reply_queue(producer));
        let exchange = service.exchanges.iter().find(|exchange| exchange.kind == ExchangeKind::Fanout);
        let keys = match exchange {
            Some(_) => vec![service.routing_key.clone()],
            None => self.work_queues_of(producer).map(|queue| queue.name.clone()).collect(),
        };
        let exchange = exchange.map_or_else(String::new, |exchange| exchange.name.clone());
        Target { exchange, keys, reply_to, confirms: service.confirms.wanted() }
    }

    /// The queue that a consumer consumes from.
    pub fn source_of(&self, consumer: u32) -> Source {
        let service = &self.service;
        let (consumers, queues) = (self.placement.consumers, service.queues.len() as u32);
        let queue = service.queues[service.queue_mapping.of(consumer, consumers, queues) as usize].clone();
        let (prefetch, prefetch_channel) = (service.prefetch, service.prefetch_channel);
        let timestamp = self.external.as_ref().and_then(|external| external.timestamp.as_ref());
        let mark = timestamp.map(|stamp| stamp.header.clone().map_or(Mark::Timestamp, Mark::Header));
        Source { queue, acks: service.acks != Acks::Auto, prefetch, prefetch_channel, delivered: 0, mark }
    }

    /// The target of replies; each reply names its producer. As in the paper, replies are not confirmed.
    pub fn reply_target(&self) -> Option<Target> {
        let exchange = self.reply_exchange()?.to_owned();
        Some(Target { exchange, keys: Vec::new(), reply_to: None, confirms: false })
    }

    /// The queue of a producer's replies. It has no length limit: a rejected reply would be lost unnoticed (D18).
    pub fn reply_source_of(&self, producer: u32) -> Option<Source> {
        let exchange = self.reply_exchange()?.to_owned();
        let name = self.reply_queue(producer);
        let queue = QueuePlan {
            kind: QueueType::Classic,
            durable: false,
            exclusive: true,
            max_length: None,
            max_bytes: None,
            overflow: Overflow::DropHead,
            ttl: None,
            leader: LeaderLocator::Server,
            expires: None,
            binding: Some(Binding { exchange, key: name.clone() }),
            attached: false,
            name,
        };
        // Acknowledged, unlike in the paper: otherwise the number of replies that wait at a producer would be
        // unlimited.
        let mark = self.external.as_ref().map(|_| Mark::Header(OWN_NS.to_owned()));
        Some(Source {
            queue,
            acks: true,
            prefetch: self.service.reply_prefetch,
            prefetch_channel: 0,
            delivered: 0,
            mark,
        })
    }

    /// The queues that outlive the connections of workers: rank 0 declares its own before the run and deletes them after it.
    pub fn shared_queues(&self) -> impl Iterator<Item = &QueuePlan> {
        self.service.queues.iter().filter(|queue| !queue.exclusive && self.ejfat.is_none())
    }

    fn reply_exchange(&self) -> Option<&str> {
        let exchange = self.service.exchanges.iter().find(|exchange| exchange.kind == ExchangeKind::Direct)?;
        Some(&exchange.name)
    }

    fn reply_queue(&self, producer: u32) -> String {
        format!("{}reply.{producer}", self.name_prefix())
    }

    /// The work queues of a producer: its queue by the mapping or, if there are more queues than producers, all queues
    /// of its share, used in turn.
    fn work_queues_of(&self, producer: u32) -> impl Iterator<Item = &QueuePlan> {
        let (producers, queues) = (self.placement.producers, self.service.queues.len() as u32);
        let mapping: Mapping = self.service.queue_mapping;
        self.service.queues.iter().zip(0..).filter_map(move |(queue, index)| {
            let is_its = if queues > producers {
                mapping.of(index, queues, producers) == producer
            } else {
                mapping.of(producer, producers, queues) == index
            };
            is_its.then_some(queue)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::{Plan, sample};
    use std::collections::BTreeSet;

    fn plan(text: &str) -> Plan {
        sample::plan(text, 4).unwrap()
    }

    #[test]
    fn no_queue_is_left_without_a_producer_or_a_consumer() {
        for mapping in ["block", "round-robin"] {
            for queues in [1, 2, 3, 7] {
                for (producers, consumers) in [(1, 1), (1, 2), (2, 1), (3, 2), (2, 5), (1, 8), (64, 64)] {
                    let plan = plan(&format!(
                        "producers = {producers}\nconsumers = {consumers}\n\
                         [service]\nqueues = {queues}\nqueue_mapping = '{mapping}'"
                    ));
                    let all: BTreeSet<String> = plan.service.queues.iter().map(|queue| queue.name.clone()).collect();
                    let written: BTreeSet<String> = (0..producers).flat_map(|p| plan.target_of(p).keys).collect();
                    let read: BTreeSet<String> = (0..consumers).map(|c| plan.source_of(c).queue.name).collect();
                    assert_eq!((&written, &read), (&all, &all), "{mapping} {queues} {producers}x{consumers}");
                    assert!((0..producers).all(|p| !plan.target_of(p).keys.is_empty()));
                }
            }
        }
    }

    #[test]
    fn a_pattern_is_two_numbers_and_its_exchanges() {
        for (pattern, flow, exchanges, queues) in [
            ("work-sharing", (1, 0), 0, 2),
            ("work-sharing-feedback", (1, 1), 1, 2),
            ("broadcast", (3, 0), 1, 3),
            ("broadcast-gather", (3, 3), 2, 3),
        ] {
            let plan = plan(&format!("pattern = '{pattern}'\nproducers = 2\nconsumers = 3"));
            assert_eq!((plan.flow.copies, plan.flow.replies), flow, "{pattern}");
            assert_eq!((plan.service.exchanges.len(), plan.service.queues.len()), (exchanges, queues), "{pattern}");
            let has_replies = plan.flow.replies > 0;
            assert_eq!(plan.target_of(0).reply_to.is_some(), has_replies, "{pattern}");
            assert_eq!(plan.reply_target().is_some(), has_replies, "{pattern}");
            assert_eq!(plan.reply_source_of(1).map(|s| s.queue.name), plan.target_of(1).reply_to, "{pattern}");
        }
    }

    #[test]
    fn a_broadcast_has_a_queue_for_each_consumer_that_goes_with_it_and_a_stream_is_read_by_all() {
        let classic = plan("pattern = 'broadcast'\nconsumers = 3");
        assert_eq!(classic.shared_queues().count(), 0);
        assert_ne!(classic.source_of(0).queue.name, classic.source_of(1).queue.name);
        let quorum = plan("pattern = 'broadcast'\nconsumers = 3\n[service]\nqueue_type = 'quorum'");
        assert_eq!(quorum.shared_queues().count(), 3);
        let stream = plan("pattern = 'broadcast'\nconsumers = 3\n[service]\nqueue_type = 'stream'");
        assert_eq!(stream.shared_queues().count(), 1);
        assert_eq!(stream.source_of(0), stream.source_of(2));
    }
}
