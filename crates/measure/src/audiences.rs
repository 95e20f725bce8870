//! Joins the ledgers of consumers with those of producers.

use crate::{
    integrity::Integrity,
    ledger::{Deliveries, EXAMPLES_MAX, MessageId, SentSummary},
    replies::Replies,
};
use roaring::RoaringTreemap;
use std::collections::BTreeMap;

/// Joins the deliveries of all consumers, which share the work, with the messages sent.
///
/// Ledgers are taken one after the other and dropped, so that only one is in memory at a time if the iterator is lazy.
pub fn join(sent: &[(u32, SentSummary)], deliveries: impl IntoIterator<Item = Deliveries>) -> Integrity {
    join_with(Handed::default(), sent, deliveries)
}

/// The same, with what these consumers have handed over before.
pub fn join_with(
    handed: Handed,
    sent: &[(u32, SentSummary)],
    deliveries: impl IntoIterator<Item = Deliveries>,
) -> Integrity {
    let mut integrity = of_senders(sent);
    integrity.copies = 1;
    join_audience(sent, handed, deliveries, &mut integrity);
    integrity
}

/// Joins the deliveries of each of `consumers` with all messages sent. A consumer that did not report counts as having
/// received nothing.
pub fn join_each(
    sent: &[(u32, SentSummary)],
    deliveries: impl IntoIterator<Item = Deliveries>,
    consumers: usize,
) -> Integrity {
    let all = deliveries.into_iter().chain(std::iter::repeat_with(Deliveries::new));
    join_audiences(sent, all.take(consumers).map(|one| [one]))
}

/// Joins the deliveries of each audience with all messages sent.
pub(crate) fn join_audiences<A: IntoIterator<Item = Deliveries>>(
    sent: &[(u32, SentSummary)],
    audiences: impl IntoIterator<Item = A>,
) -> Integrity {
    let mut integrity = of_senders(sent);
    for audience in audiences {
        integrity.copies += 1;
        join_audience(sent, Handed::default(), audience, &mut integrity);
    }
    integrity
}

/// The counts of the producers.
fn of_senders(sent: &[(u32, SentSummary)]) -> Integrity {
    let mut integrity = Integrity::default();
    for (_, summary) in sent {
        integrity.sent += summary.published();
        integrity.confirmed += summary.confirmed();
        integrity.unconfirmed += summary.unconfirmed();
        integrity.rejected += summary.rejected();
        integrity.returned += summary.returned();
        integrity.republished += summary.republished();
        integrity.republished_after_loss += summary.republished_after_loss();
        integrity.abandoned += summary.abandoned();
    }
    integrity
}

/// What the consumers of one audience have handed over of their ledgers, joined as it came ([`Deliveries::hand_over`]). Sequences
/// without a gap take almost nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Handed(BTreeMap<u32, Given>);

impl Handed {
    /// Takes in a piece.
    pub fn take(&mut self, piece: Deliveries) {
        let producers: Vec<u32> = piece.producers().collect();
        unite(&mut self.0, piece);
        for producer in producers {
            self.0.entry(producer).or_default().pack();
        }
    }

    /// Memory that it takes, nearly.
    pub fn bytes(&self) -> usize {
        self.0.values().map(Given::bytes).sum()
    }
}

/// Adds the counts of one consumer.
fn add_counts(integrity: &mut Integrity, consumer: &Deliveries) {
    integrity.redelivered += consumer.redelivered();
    integrity.corrupt += consumer.corrupt();
    integrity.foreign += consumer.foreign();
    integrity.unexpected += consumer.unexpected();
    take_examples(&mut integrity.first_redelivered, consumer.first_redelivered());
    take_examples(&mut integrity.first_foreign, consumer.first_foreign());
    take_examples(&mut integrity.first_unexpected, consumer.first_unexpected());
}

/// The deliveries of one producer's messages to an audience as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
struct Given {
    distinct: RoaringTreemap,
    repeated: RoaringTreemap,
    extra: u64,
    /// Messages that were late at every consumer that received them, apart from redeliveries.
    late: RoaringTreemap,
    /// Messages that arrived as redeliveries only.
    again: RoaringTreemap,
    /// Messages that arrived over a connection that was lost later.
    unsure: RoaringTreemap,
}

impl Given {
    fn sets(&self) -> [&RoaringTreemap; 5] {
        [&self.distinct, &self.repeated, &self.late, &self.again, &self.unsure]
    }

    fn bytes(&self) -> usize {
        self.sets().into_iter().map(RoaringTreemap::serialized_size).sum()
    }

    fn pack(&mut self) {
        let Self { distinct, repeated, late, again, unsure, .. } = self;
        for set in [distinct, repeated, late, again, unsure] {
            set.optimize();
        }
    }

    /// Adds the late messages of a further consumer, which has `seen` these. A message that is in order at any consumer
    /// is not late: its other delivery is a duplicate.
    fn unite_late(&mut self, seen: &RoaringTreemap, late: RoaringTreemap, again: RoaringTreemap) {
        // Nearly always there are none; then no set is built.
        if self.late.is_empty() && self.again.is_empty() && late.is_empty() && again.is_empty() {
            return;
        }
        let in_turn_before = &self.distinct - &self.again - &self.late;
        let in_turn = seen - &again - &late;
        self.again = ((&self.again - seen) | (&again - &self.distinct)) | (&self.again & &again);
        self.late = (std::mem::take(&mut self.late) - in_turn) | (late - in_turn_before);
    }

    /// How many of the duplicates lost connections explain: `again` is what a producer published once more because of one.
    fn explained_by_reconnection(&self, again: Option<&RoaringTreemap>) -> u64 {
        let again = again.filter(|again| !again.is_empty());
        if self.extra == 0 || (again.is_none() && self.unsure.is_empty()) {
            return 0;
        }
        let mut explained = &self.repeated & &self.unsure;
        explained |= again.map(|again| &self.repeated & again).unwrap_or_default();
        // What came more than twice is not counted by message.
        if explained.len() == self.repeated.len() { self.extra } else { explained.len() }
    }
}

/// Adds the outcome of one audience.
fn join_audience(
    sent: &[(u32, SentSummary)],
    Handed(mut given): Handed,
    audience: impl IntoIterator<Item = Deliveries>,
    integrity: &mut Integrity,
) {
    for consumer in audience {
        add_counts(integrity, &consumer);
        unite(&mut given, consumer);
    }
    let sent: BTreeMap<u32, &SentSummary> = sent.iter().map(|(p, s)| (*p, s)).collect();
    // A producer without any arrival must be included, and so must one that never reported.
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
        integrity.duplicated_by_reconnection += given.explained_by_reconnection(sent.map(|s| s.again()));
        let mut lost = sent.map_or_else(RoaringTreemap::new, |s| s.missing_from(&given.distinct));
        let unsure_below = sent.map_or(0, |s| s.unsure_below());
        let unsure = lost.range_cardinality(..unsure_below);
        if unsure > 0 {
            integrity.undetermined += unsure;
            let mut below = lost.clone();
            below.remove_range(unsure_below..);
            add_examples(&mut integrity.first_undetermined, producer, &below);
            lost.remove_range(..unsure_below);
        }
        integrity.lost += lost.len();
        add_examples(&mut integrity.first_lost, producer, &lost);
        add_examples(&mut integrity.first_duplicated, producer, &given.repeated);
    }
}

/// Sorted by producer, so that the examples are in order.
fn unite(given: &mut BTreeMap<u32, Given>, consumer: Deliveries) {
    for mut log in consumer.into_logs() {
        let given = given.entry(log.producer).or_default();
        let seen = log.take_seen();
        if !log.is_sure() {
            given.unsure |= log.take_unsure();
        }
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

/// Joins replies with the messages sent. Each producer has one ledger for each reply per message; a producer that did
/// not report counts as having received none of its `replies`.
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
        undetermined: joined.undetermined,
        duplicated: joined.duplicated,
        reordered: joined.reordered,
        corrupt: joined.corrupt,
        foreign: joined.foreign,
        unexpected: joined.unexpected,
        first_lost: joined.first_lost,
        first_undetermined: joined.first_undetermined,
        first_duplicated: joined.first_duplicated,
        ..Replies::default()
    }
}
