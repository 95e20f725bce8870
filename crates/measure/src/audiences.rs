//! Holds the ledgers of consumers against those of producers.

use crate::integrity::Integrity;
use crate::ledger::{Deliveries, EXAMPLES_MAX, MessageId, SentSummary};
use crate::replies::Replies;
use roaring::RoaringTreemap;
use std::collections::BTreeMap;

/// Holds the deliveries of all consumers, which share the work, against what was sent.
///
/// Ledgers are taken one after the other and dropped, so that one is in memory at a time where they
/// come so.
pub fn join(sent: &[(u32, SentSummary)], deliveries: impl IntoIterator<Item = Deliveries>) -> Integrity {
    join_audiences(sent, [deliveries])
}

/// Holds the deliveries of each of `consumers` against all that was sent. One that did not report
/// got nothing.
pub fn join_each(
    sent: &[(u32, SentSummary)],
    deliveries: impl IntoIterator<Item = Deliveries>,
    consumers: usize,
) -> Integrity {
    let all = deliveries.into_iter().chain(std::iter::repeat_with(Deliveries::new));
    join_audiences(sent, all.take(consumers).map(|one| [one]))
}

/// Holds the deliveries of each audience against all that was sent.
pub(crate) fn join_audiences<A: IntoIterator<Item = Deliveries>>(
    sent: &[(u32, SentSummary)],
    audiences: impl IntoIterator<Item = A>,
) -> Integrity {
    let mut integrity = Integrity::default();
    for (_, summary) in sent {
        integrity.sent += summary.published();
        integrity.confirmed += summary.confirmed();
        integrity.unconfirmed += summary.unconfirmed();
        integrity.rejected += summary.rejected();
        integrity.returned += summary.returned();
        integrity.republished += summary.republished();
        integrity.abandoned += summary.abandoned();
    }
    for audience in audiences {
        integrity.copies += 1;
        join_audience(sent, audience, &mut integrity);
    }
    integrity
}

/// Adds what one consumer counted.
fn add_counts(integrity: &mut Integrity, consumer: &Deliveries) {
    integrity.redelivered += consumer.redelivered();
    integrity.corrupt += consumer.corrupt();
    integrity.foreign += consumer.foreign();
    integrity.unexpected += consumer.unexpected();
    take_examples(&mut integrity.first_redelivered, consumer.first_redelivered());
    take_examples(&mut integrity.first_foreign, consumer.first_foreign());
    take_examples(&mut integrity.first_unexpected, consumer.first_unexpected());
}

/// What an audience as a whole was given of one producer.
#[derive(Default)]
struct Given {
    distinct: RoaringTreemap,
    repeated: RoaringTreemap,
    extra: u64,
    /// Those that came late wherever they came, redeliveries apart.
    late: RoaringTreemap,
    /// Those that came as redeliveries only.
    again: RoaringTreemap,
}

impl Given {
    /// Takes in which messages came late to a further consumer, which has `seen` these. To come in its turn anywhere is
    /// not to be late: the other delivery is a copy.
    fn unite_late(&mut self, seen: &RoaringTreemap, late: RoaringTreemap, again: RoaringTreemap) {
        // Nearly always there are none, and then no set is built.
        if self.late.is_empty() && self.again.is_empty() && late.is_empty() && again.is_empty() {
            return;
        }
        let in_turn_before = &self.distinct - &self.again - &self.late;
        let in_turn = seen - &again - &late;
        self.again = ((&self.again - seen) | (&again - &self.distinct)) | (&self.again & &again);
        self.late = (std::mem::take(&mut self.late) - in_turn) | (late - in_turn_before);
    }
}

/// Adds the outcome of one audience.
fn join_audience(
    sent: &[(u32, SentSummary)],
    audience: impl IntoIterator<Item = Deliveries>,
    integrity: &mut Integrity,
) {
    let mut given: BTreeMap<u32, Given> = BTreeMap::new();
    for consumer in audience {
        add_counts(integrity, &consumer);
        unite(&mut given, consumer);
    }
    let sent: BTreeMap<u32, &SentSummary> = sent.iter().map(|(p, s)| (*p, s)).collect();
    // A producer of which nothing arrived must be asked too, and so must one that never reported.
    for &producer in sent.keys() {
        given.entry(producer).or_default();
    }
    for (producer, mut given) in given {
        let sent = sent.get(&producer);
        let published = sent.map_or(0, |s| s.published());
        integrity.expected += sent.map_or(0, |s| s.expected());
        let unexpected = given.distinct.range_cardinality(published..);
        integrity.delivered += given.distinct.len() - unexpected;
        integrity.unexpected += unexpected;
        integrity.duplicated += given.extra;
        given.late.remove_range(published..);
        integrity.reordered += given.late.len();
        add_examples(&mut integrity.first_reordered, producer, &given.late);
        let lost = sent.map_or_else(RoaringTreemap::new, |s| s.missing_from(&given.distinct));
        integrity.lost += lost.len();
        add_examples(&mut integrity.first_lost, producer, &lost);
        add_examples(&mut integrity.first_duplicated, producer, &given.repeated);
    }
}

/// By producer, so that the examples come out in order.
fn unite(given: &mut BTreeMap<u32, Given>, consumer: Deliveries) {
    for mut log in consumer.into_logs() {
        let given = given.entry(log.producer).or_default();
        let seen = log.take_seen();
        let twice = given.distinct.intersection_len(&seen);
        given.extra += log.extra + twice;
        given.unite_late(&seen, log.late, log.again);
        if twice > 0 {
            given.repeated |= &given.distinct & &seen;
        }
        given.repeated |= log.repeated;
        given.distinct |= seen;
    }
}

fn add_examples(examples: &mut Vec<MessageId>, producer: u32, sequences: &RoaringTreemap) {
    let room = EXAMPLES_MAX - examples.len();
    examples.extend(sequences.iter().take(room).map(|sequence| MessageId { producer, sequence }));
}

fn take_examples<T: Clone>(examples: &mut Vec<T>, more: &[T]) {
    let room = EXAMPLES_MAX - examples.len();
    examples.extend(more.iter().take(room).cloned());
}

/// Holds answers against what was sent. Each producer brings one ledger for each answer that its
/// messages get; one that did not report got none of its `replies`.
pub fn join_replies(sent: &[(u32, SentSummary)], collected: Vec<Vec<Deliveries>>, replies: usize) -> Replies {
    let mut audiences: Vec<Vec<Deliveries>> = Vec::new();
    audiences.resize_with(replies, Vec::new);
    for of_producer in collected {
        for (audience, one) in audiences.iter_mut().zip(of_producer) {
            audience.push(one);
        }
    }
    let joined = join_audiences(sent, audiences);
    Replies {
        delivered: joined.delivered,
        expected: joined.expected,
        lost: joined.lost,
        duplicated: joined.duplicated,
        reordered: joined.reordered,
        corrupt: joined.corrupt,
        foreign: joined.foreign,
        unexpected: joined.unexpected,
        first_lost: joined.first_lost,
        first_duplicated: joined.first_duplicated,
        ..Replies::default()
    }
}
