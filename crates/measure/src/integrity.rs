//! The comparison of sent and delivered messages: how many were lost, and which.
//!
//! The join works on an *audience*: consumers that share one copy of every message. Work sharing is one audience of all
//! consumers ([`crate::join`]); a pattern that gives each consumer its own copy is one audience per consumer
//! ([`crate::join_each`]), with the same join and the sum of the outcomes.

use crate::{
    counters::Counters,
    held::{Held, OnTheWay},
    ledger::{Foreign, MessageId},
    replies::{Replies, take_all},
    sentences::{first, were},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The outcome of the ledger: each message accounted for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Integrity {
    /// Messages published, re-publishes not counted.
    pub sent: u64,
    /// Messages that the broker accepted. 0 if confirms are off.
    pub confirmed: u64,
    /// Messages neither confirmed nor abandoned when the run ended. 0 if confirms are off.
    #[serde(default)]
    pub unconfirmed: u64,
    /// Negative confirms, each counted: a message can be rejected more than once.
    pub rejected: u64,
    /// Returns of unroutable messages, each counted.
    pub returned: u64,
    /// Publishes of a message that had been published before, each counted.
    #[serde(default)]
    pub republished: u64,
    /// Of `republished`: because the connection was lost before their confirm came or, without confirms, before they were written.
    #[serde(default)]
    pub republished_after_loss: u64,
    /// Messages abandoned after the limit on re-publishing.
    #[serde(default)]
    pub abandoned: u64,
    /// Copies of each message that had to arrive: 1 if consumers share the work, one per consumer in a broadcast, and 0 if consumers
    /// are programs of others.
    #[serde(default = "one")]
    pub copies: u64,
    /// Distinct messages that were delivered, each copy counted.
    pub delivered: u64,
    /// Messages that had to be delivered, each copy counted: those confirmed or, without confirms,
    /// those not abandoned.
    pub expected: u64,
    /// Expected messages that were not delivered although everything was sent and the service had nothing left of the
    /// run.
    pub lost: u64,
    /// Expected messages that were not delivered and are not proved to be lost: the run was cut short, or the service
    /// still had messages of the run, or did not report, or they were written without confirms to a connection that was lost.
    #[serde(default)]
    pub undetermined: u64,
    /// Messages that the run's queues still held after its consumers had left, including those in `unconfirmed` and
    /// those whose acknowledgement came too late. Absent if they were not counted, or if the service did not report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<u64>,
    /// Deliveries beyond the first of each message, within a consumer and between consumers.
    pub duplicated: u64,
    /// Of `duplicated`: those that a lost connection explains. Their producer had published them again for that reason, or a
    /// consumer had received them over a connection that was lost later, and its acknowledgements with it.
    #[serde(default)]
    pub duplicated_by_reconnection: u64,
    /// Deliveries that the broker flagged as redelivered.
    #[serde(default)]
    pub redelivered: u64,
    /// Messages that arrived after a later message of the same producer at the same consumer, apart from redeliveries.
    /// A message that arrived at several consumers counts if it was late at all of them, because their order is
    /// unknown.
    pub reordered: u64,
    /// Checked bodies that differ from the sent ones.
    pub corrupt: u64,
    /// The same by kind (`length`, `checksum`, `structure`, `content`); kinds that did not occur are absent.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub corrupt_by_kind: BTreeMap<String, u64>,
    /// Delivered bodies that the library of their format inspected as well; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspected: Option<u64>,
    /// One delivery in so many was inspected; absent if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inspected_one_in: Option<f64>,
    /// The first corrupt body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_corrupt: Option<FirstCorrupt>,
    /// Deliveries without a valid envelope of this run.
    pub foreign: u64,
    /// Deliveries in the run's name that none of its producers sent. They count nowhere else.
    #[serde(default)]
    pub unexpected: u64,
    /// The messages that the first of them claim to be, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_unexpected: Vec<MessageId>,
    /// The lowest lost messages, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_lost: Vec<MessageId>,
    /// The lowest undetermined messages, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_undetermined: Vec<MessageId>,
    /// The lowest messages that were delivered more than once, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_duplicated: Vec<MessageId>,
    /// The lowest messages that arrived out of order, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_reordered: Vec<MessageId>,
    /// The first messages of some consumer that were redelivered, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_redelivered: Vec<MessageId>,
    /// The first deliveries of some consumer that did not belong to the run, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_foreign: Vec<Foreign>,
    /// The same for replies, in patterns that have them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
}

fn one() -> u64 {
    1
}

/// The first corrupt body.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FirstCorrupt {
    /// The producer in its envelope.
    pub producer: u32,
    /// The sequence in its envelope.
    pub sequence: u64,
    /// The consumer that received it.
    pub consumer: u32,
    /// Its kind.
    pub kind: String,
    /// Why it is corrupt.
    pub detail: String,
    /// The file beside the record that holds the body as it arrived.
    pub file: Option<String>,
}

impl Integrity {
    /// Sets how many bodies were inspected.
    pub fn count_inspected(&mut self, counters: &Counters) {
        let Counters { inspected, received, .. } = *counters;
        self.inspected = (inspected > 0).then_some(inspected);
        self.inspected_one_in = self.inspected.map(|inspected| received as f64 / inspected as f64);
    }

    /// Separates lost from undetermined messages, by the number that the service still had. `on_the_way` is whether
    /// messages and replies may be anywhere else: missing ones are lost only if they can be nowhere.
    pub fn settle(&mut self, held: Held, on_the_way: OnTheWay) {
        self.in_service = held.messages;
        let drained = !on_the_way.messages && held.messages == Some(0);
        if !drained {
            self.undetermined += std::mem::take(&mut self.lost);
            take_all(&mut self.first_undetermined, &mut self.first_lost);
        }
        if let Some(replies) = &mut self.replies {
            replies.settle(held.replies, drained && !on_the_way.replies);
        }
    }

    /// Whether the deliveries are sound.
    ///
    /// Duplicates that a redelivery or a re-publish explains are allowed by at-least-once delivery, reordering is not
    /// an error of work sharing, and foreign messages damage nothing: these are in the numbers and not in the verdict.
    ///
    /// # Errors
    ///
    /// One sentence with the reasons why the deliveries are not sound.
    pub fn verdict(&self) -> Result<(), String> {
        let findings: Vec<String> = self.findings().into_iter().chain(self.open()).collect();
        if findings.is_empty() { Ok(()) } else { Err(findings.join("; ")) }
    }

    /// The proven errors of the deliveries, each as a sentence.
    pub fn findings(&self) -> Vec<String> {
        // A message that one of several queues rejected reaches the others twice when it is published again.
        let rejected_and_republished = self.republished - self.republished_after_loss;
        let explained = self.duplicated_by_reconnection + self.redelivered + rejected_and_republished * self.copies;
        let unexplained = self.duplicated.saturating_sub(explained);
        [
            (self.lost > 0).then(|| {
                let (lost, expected) = (self.lost, self.expected);
                let (were, first) = (were(lost), first(&self.first_lost));
                format!("{lost} of {expected} messages {were} lost{first}")
            }),
            (self.corrupt > 0).then(|| {
                let (corrupt, were) = (self.corrupt, were(self.corrupt));
                let first = self.first_corrupt.as_ref().map_or_else(String::new, |first| {
                    let FirstCorrupt { producer, sequence, kind, detail, .. } = first;
                    format!(" (first: producer {producer} sequence {sequence}, {kind}: {detail})")
                });
                format!("{corrupt} of the delivered bodies {were} corrupt{first}")
            }),
            (self.unexpected > 0).then(|| {
                let (unexpected, were) = (self.unexpected, were(self.unexpected));
                let first = first(&self.first_unexpected);
                format!(
                    "{unexpected} deliveries in this run's name {were} sent by none of its producers{first}: \
                     look for another program that publishes to its queues"
                )
            }),
            (unexplained > 0).then(|| {
                let (duplicated, were) = (self.duplicated, were(unexplained));
                let first = first(&self.first_duplicated);
                format!(
                    "{unexplained} of {duplicated} duplicate deliveries {were} explained by no redelivery \
                     and no re-publish{first}"
                )
            }),
            (self.abandoned > 0).then(|| {
                let (abandoned, sent) = (self.abandoned, self.sent);
                let were = were(abandoned);
                format!("{abandoned} of {sent} messages {were} given up after the broker refused them")
            }),
            (self.unconfirmed > 0).then(|| {
                let (unconfirmed, sent) = (self.unconfirmed, self.sent);
                let were = were(unconfirmed);
                format!("{unconfirmed} of {sent} messages {were} never confirmed")
            }),
        ]
        .into_iter()
        .flatten()
        .chain(self.replies.iter().flat_map(|replies| {
            // Whether an external consumer got a message twice is not known.
            let explained = if self.copies == 0 { replies.duplicated } else { explained + self.duplicated };
            replies.findings(explained)
        }))
        .collect()
    }

    /// The undetermined part of the deliveries, as one sentence; `None` if everything is known.
    pub fn open(&self) -> Option<String> {
        let of = |count, expected, what, held: Option<u64>| {
            (count > 0).then(|| {
                let service = held.map_or_else(
                    || "it is not known how many the service still has".to_owned(),
                    |held| format!("the service still has {held}"),
                );
                let is = if count == 1 { "is" } else { "are" };
                format!("{count} of {expected} {what} {is} undetermined ({service})")
            })
        };
        let messages = of(self.undetermined, self.expected, "messages", self.in_service);
        let replies = self.replies.as_ref();
        let replies = replies.and_then(|r| of(r.undetermined, r.expected, "replies", r.in_service));
        let open: Vec<String> = messages.into_iter().chain(replies).collect();
        (!open.is_empty()).then(|| open.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Deliveries, Handed, Sent, SentSummary, join, join_each, join_with};
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::{BTreeSet, HashMap, HashSet};

    fn confirmed(count: u64) -> SentSummary {
        let mut sent = Sent::new(true);
        for _ in 0..count {
            let sequence = sent.publish();
            sent.confirm(sequence);
        }
        sent.finish()
    }

    fn delivered(messages: impl IntoIterator<Item = (u32, u64)>) -> Deliveries {
        let mut deliveries = Deliveries::new();
        for (producer, sequence) in messages {
            deliveries.observe(producer, sequence, false);
        }
        deliveries
    }

    #[test]
    fn shared_work_that_all_arrived_passes() {
        let sent = [(0, confirmed(100)), (1, confirmed(50))];
        let even = (0..100).map(|s| (0, s)).filter(|(_, s)| s % 2 == 0);
        let odd = (0..100).map(|s| (0, s)).filter(|(_, s)| s % 2 == 1);
        let integrity = join(&sent, vec![delivered(even), delivered(odd.chain((0..50).map(|s| (1, s))))]);
        assert_eq!(integrity.verdict(), Ok(()));
        assert_eq!((integrity.expected, integrity.delivered), (150, 150));
        assert_eq!((integrity.sent, integrity.confirmed), (150, 150));
    }

    #[test]
    fn lost_messages_are_named() {
        let sent = [(1, confirmed(100)), (0, confirmed(100))];
        let arrived = (0..100).flat_map(|s| [(0, s), (1, s)]).filter(|id| ![(1, 17), (1, 18), (1, 99)].contains(id));
        let integrity = join(&sent, vec![delivered(arrived)]);
        assert_eq!(integrity.verdict(), Err("3 of 200 messages were lost (first: producer 1 sequence 17)".to_owned()));
        assert_eq!(integrity.first_lost.len(), 3);
    }

    #[test]
    fn a_producer_of_which_nothing_arrived_has_lost_everything() {
        let integrity = join(&[(4, confirmed(1))], Vec::new());
        assert_eq!(integrity.verdict(), Err("1 of 1 messages was lost (first: producer 4 sequence 0)".to_owned()));
    }

    #[test]
    fn what_is_missing_is_lost_only_where_the_service_has_nothing_left() {
        let sent = [(0, confirmed(10))];
        let missing = || Integrity {
            replies: Some(crate::join_replies(&sent, vec![vec![delivered((0..7).map(|s| (0, s)))]], 1)),
            ..join(&sent, vec![delivered((0..8).map(|s| (0, s)))])
        };
        let settled = |messages, replies, on_the_way: [bool; 2]| {
            let mut integrity = missing();
            let on_the_way = OnTheWay { messages: on_the_way[0], replies: on_the_way[1] };
            integrity.settle(Held { messages, replies }, on_the_way);
            let replies = integrity.replies.as_ref().unwrap();
            let counts = [(integrity.lost, integrity.undetermined), (replies.lost, replies.undetermined)];
            (counts, integrity.findings().join("; "), integrity.open().unwrap_or_default())
        };
        let (counts, findings, open) = settled(Some(0), Some(0), [false, false]);
        assert_eq!((counts, open.as_str()), ([(2, 0), (3, 0)], ""));
        assert!(findings.starts_with("2 of 10 messages were lost (first: producer 0 sequence 8); 3 of 10 replies"));

        for (replies, on_the_way, service) in
            [(1, false, "the service still has 1"), (0, true, "the service still has 0")]
        {
            let (counts, findings, open) = settled(Some(0), Some(replies), [false, on_the_way]);
            assert_eq!(counts, [(2, 0), (0, 3)]);
            assert_eq!(findings, "2 of 10 messages were lost (first: producer 0 sequence 8)");
            assert_eq!(open, format!("3 of 10 replies are undetermined ({service})"));
        }
        for (messages, on_the_way, service) in [
            (Some(0), true, "the service still has 0"),
            (Some(4), true, "the service still has 4"),
            (Some(1), false, "the service still has 1"),
            (None, false, "it is not known how many the service still has"),
        ] {
            let (counts, findings, open) = settled(messages, Some(0), [on_the_way, false]);
            assert_eq!((counts, findings.as_str()), ([(0, 2), (0, 3)], ""));
            assert!(open.starts_with(&format!("2 of 10 messages are undetermined ({service}); 3 of 10")), "{open}");
        }
        assert_eq!(
            Held::NOTHING.and(Held { messages: Some(3), replies: None }),
            Held { messages: Some(3), replies: None }
        );
    }

    #[test]
    fn examples_stop_at_ten() {
        let integrity = join(&[(0, confirmed(7)), (1, confirmed(1000))], Vec::new());
        assert_eq!(integrity.lost, 1007);
        let names = integrity.first_lost.iter().map(|id| (id.producer, id.sequence));
        let expected = (0..7).map(|s| (0, s)).chain((0..3).map(|s| (1, s)));
        assert!(names.eq(expected), "{:?}", integrity.first_lost);
    }

    #[test]
    fn duplicates_pass_only_as_far_as_something_explains_them() {
        let twice = [(0, 0), (0, 1), (0, 1)];
        let unexplained = join(&[(0, confirmed(2))], vec![delivered(twice)]);
        assert_eq!(
            unexplained.verdict(),
            Err("1 of 1 duplicate deliveries was explained by no redelivery and no re-publish \
                 (first: producer 0 sequence 1)"
                .to_owned())
        );
        let mut redelivered = delivered([(0, 0), (0, 1)]);
        redelivered.observe(0, 1, true);
        assert_eq!(join(&[(0, confirmed(2))], vec![redelivered]).verdict(), Ok(()));
        let mut sent = Sent::new(true);
        for _ in 0..2 {
            sent.publish();
        }
        sent.reject();
        sent.republish();
        sent.confirm(0);
        sent.confirm(1);
        let republished = join(&[(0, sent.finish())], vec![delivered(twice)]);
        assert_eq!(republished.verdict(), Ok(()));
        assert_eq!((republished.rejected, republished.republished), (1, 1));
    }

    #[test]
    fn a_lost_connection_explains_what_was_published_or_delivered_over_it_and_nothing_else() {
        // Sequence 1 was published again, 2 was delivered over a connection that was lost.
        let mut sent = Sent::new(true);
        (0..5).for_each(|_| _ = sent.publish());
        sent.lose_connection();
        sent.republish_after_loss(1);
        (0..5).for_each(|sequence| sent.confirm(sequence));
        let sent = [(0, sent.finish())];
        let lost = || {
            let mut deliveries = delivered([(0, 0), (0, 1), (0, 2)]);
            deliveries.lose_connection();
            deliveries
        };
        let rest = [(0, 1), (0, 2), (0, 3), (0, 4)];
        // It comes again to the same consumer, or to another one.
        let mut same = lost();
        rest.iter().for_each(|(producer, sequence)| _ = same.observe(*producer, *sequence, false));
        for all in [vec![same], vec![lost(), delivered(rest)], vec![delivered(rest), lost()]] {
            let integrity = join(&sent, all);
            assert_eq!((integrity.duplicated, integrity.duplicated_by_reconnection), (2, 2));
            assert_eq!((integrity.republished, integrity.republished_after_loss), (1, 1));
            assert_eq!(integrity.verdict(), Ok(()));
        }
        // 4 has no excuse: it came after the loss, and was published once.
        let integrity = join(&sent, vec![lost(), delivered(rest.into_iter().chain([(0, 4)]))]);
        assert_eq!((integrity.duplicated, integrity.duplicated_by_reconnection), (3, 2));
        let error = integrity.verdict().unwrap_err();
        assert!(error.contains("1 of 3 duplicate deliveries was explained by no redelivery"), "{error}");
        // Nor has 1 if nothing was lost.
        let integrity = join(&[(0, confirmed(5))], vec![delivered((0..5).chain([1]).map(|s| (0, s)))]);
        assert_eq!(integrity.duplicated_by_reconnection, 0);
        assert!(integrity.verdict().is_err());
    }

    #[test]
    fn what_never_arrives_of_a_lost_connection_is_undetermined_only_without_a_promise() {
        for (confirms, lost, undetermined) in [(true, 4, 0), (false, 2, 2)] {
            let mut sent = Sent::new(confirms);
            (0..10).for_each(|_| _ = sent.publish());
            sent.lose_connection();
            (0..10).for_each(|_| _ = sent.publish());
            if confirms {
                (0..20).for_each(|sequence| sent.confirm(sequence));
            }
            let all = delivered((0..20).filter(|s| ![3, 9, 10, 19].contains(s)).map(|s| (0, s)));
            let mut integrity = join(&[(0, sent.finish())], vec![all]);
            integrity.settle(Held::NOTHING, OnTheWay { messages: false, replies: false });
            assert_eq!((integrity.lost, integrity.undetermined), (lost, undetermined));
            assert_eq!(integrity.first_lost.len() as u64, lost);
            assert_eq!(integrity.first_undetermined.len() as u64, undetermined);
        }
    }

    #[test]
    fn a_broadcast_owes_every_message_to_every_consumer() {
        let sent = [(0, confirmed(10))];
        let all = || delivered((0..10).map(|s| (0, s)));
        let integrity = join_each(&sent, vec![all(), all()], 2);
        assert_eq!(integrity.verdict(), Ok(()));
        assert_eq!((integrity.sent, integrity.expected, integrity.delivered, integrity.copies), (10, 20, 20, 2));
        let without = delivered((0..10).map(|s| (0, s)).filter(|(_, s)| *s != 3));
        let integrity = join_each(&sent, vec![all(), without], 2);
        assert_eq!(integrity.verdict(), Err("1 of 20 messages was lost (first: producer 0 sequence 3)".to_owned()));
        let integrity = join_each(&sent, vec![all()], 2);
        assert_eq!(integrity.lost, 10, "a consumer that did not report got nothing");
    }

    #[test]
    fn a_republished_broadcast_may_come_twice_to_every_consumer() {
        let mut sent = Sent::new(true);
        sent.publish();
        sent.reject();
        sent.republish();
        sent.confirm(0);
        let sent = [(0, sent.finish())];
        let twice = || delivered([(0, 0), (0, 0)]);
        assert_eq!(join_each(&sent, vec![twice(), twice()], 2).verdict(), Ok(()));
    }

    #[test]
    fn what_no_producer_reported_is_unexpected() {
        let arrived = [(0, 0), (0, 1), (7, 0), (7, 1)];
        let integrity = join(&[(0, confirmed(1))], vec![delivered(arrived)]);
        assert_eq!((integrity.delivered, integrity.unexpected), (1, 3));
        assert!(integrity.verdict().is_err());
    }

    #[test]
    fn what_somebody_else_sent_in_the_runs_name_is_no_delivery_of_it() {
        let mut deliveries = delivered([(0, 0), (0, 1)]);
        let forged = MessageId { producer: 0, sequence: (1 << 48) - 1 };
        deliveries.observe_unexpected(forged);
        deliveries.observe_unexpected(forged);
        let integrity = join(&[(0, confirmed(2))], vec![deliveries]);
        let Integrity { delivered, lost, duplicated, reordered, unexpected, .. } = integrity;
        assert_eq!([delivered, lost, duplicated, reordered, unexpected], [2, 0, 0, 0, 2]);
        let verdict = integrity.verdict().unwrap_err();
        assert!(
            verdict.contains("2 deliveries in this run's name") && verdict.contains("sequence 281474976710655"),
            "{verdict}"
        );
    }

    #[test]
    fn an_abandoned_message_is_not_lost_but_fails_the_run() {
        let mut sent = Sent::new(true);
        for _ in 0..3 {
            sent.publish();
        }
        sent.confirm(0);
        sent.abandon(1);
        let integrity = join(&[(0, sent.finish())], vec![delivered([(0, 0)])]);
        assert_eq!((integrity.expected, integrity.lost), (1, 0));
        assert_eq!(
            integrity.verdict(),
            Err("1 of 3 messages was given up after the broker refused them; \
                 1 of 3 messages was never confirmed"
                .to_owned())
        );
    }

    #[test]
    fn corrupt_fails_and_foreign_does_not() {
        let mut deliveries = delivered([(0, 0)]);
        deliveries.observe_foreign(Foreign { consumer: 0, bytes: 5, run: Some(9) });
        assert_eq!(join(&[(0, confirmed(1))], vec![deliveries.clone()]).verdict(), Ok(()));
        deliveries.observe_corrupt();
        let integrity = join(&[(0, confirmed(1))], vec![deliveries]);
        assert_eq!((integrity.corrupt, integrity.foreign), (1, 1));
        assert_eq!(integrity.first_foreign, [Foreign { consumer: 0, bytes: 5, run: Some(9) }]);
        assert_eq!(integrity.verdict(), Err("1 of the delivered bodies was corrupt".to_owned()));
    }

    /// What producers did, in naive sets and in their ledgers, and what arrives of it, in order.
    #[derive(Default)]
    struct NaiveProducers {
        published: HashSet<(u32, u64)>,
        expected: BTreeSet<(u32, u64)>,
        ledgers: Vec<(u32, SentSummary)>,
        arrivals: Vec<(u32, u64)>,
    }

    impl NaiveProducers {
        fn random(random: &mut impl Rng) -> Self {
            let mut all = Self::default();
            let producers = random.random_range(1..5u32);
            let confirms = random.random_bool(0.7);
            for producer in 0..producers {
                all.add(producer, confirms, random);
            }
            shuffle_a_little(&mut all.arrivals, random);
            all
        }

        fn add(&mut self, producer: u32, confirms: bool, random: &mut impl Rng) {
            let mut ledger = Sent::new(confirms);
            let count = random.random_range(0..400);
            for _ in 0..count {
                self.published.insert((producer, ledger.publish()));
            }
            let mut outcomes: Vec<u64> = (0..count).collect();
            shuffle_a_little(&mut outcomes, random);
            for sequence in outcomes {
                match random.random_range(0..20) {
                    0 => ledger.abandon(sequence),
                    1 if confirms => {}
                    _ => {
                        if confirms {
                            ledger.confirm(sequence);
                        }
                        self.expected.insert((producer, sequence));
                    }
                }
            }
            self.ledgers.push((producer, ledger.finish()));
            // Some messages come not at all, some many times, a few come from nowhere.
            let mut arrivals: Vec<u64> = (0..count + 2)
                .flat_map(|s| {
                    let copies = [0, 1, 1, 1, 1, 1, 1, 2, 3][random.random_range(0..9)];
                    std::iter::repeat_n(s, copies)
                })
                .collect();
            shuffle_a_little(&mut arrivals, random);
            self.arrivals.extend(arrivals.into_iter().map(|s| (producer, s)));
        }
    }

    /// What consumers saw, in naive sets and in their ledgers.
    #[derive(Default)]
    struct NaiveConsumers {
        ledgers: Vec<Deliveries>,
        handed: Handed,
        times: HashMap<(u32, u64), u64>,
        in_turn: HashSet<(u32, u64)>,
        late: HashSet<(u32, u64)>,
        redeliveries: u64,
    }

    impl NaiveConsumers {
        fn of(arrivals: &[(u32, u64)], hands_over: bool, random: &mut impl Rng) -> Self {
            let consumers = random.random_range(1..5usize);
            let mut all = Self { ledgers: vec![Deliveries::new(); consumers], ..Self::default() };
            let mut seen_by: Vec<HashSet<(u32, u64)>> = vec![HashSet::new(); consumers];
            let mut highest: HashMap<(usize, u32), u64> = HashMap::new();
            for &id in arrivals {
                let consumer = random.random_range(0..consumers);
                let redelivered = random.random_bool(0.1);
                all.redeliveries += u64::from(redelivered);
                let is_new = all.ledgers[consumer].observe(id.0, id.1, redelivered) == crate::Observation::New;
                // What was handed over is new to its consumer when it comes again.
                assert!(seen_by[consumer].insert(id) == is_new || (hands_over && is_new));
                let highest = highest.entry((consumer, id.0)).or_insert(id.1);
                if is_new && !redelivered {
                    let of = if id.1 < *highest { &mut all.late } else { &mut all.in_turn };
                    of.insert(id);
                }
                *highest = id.1.max(*highest);
                *all.times.entry(id).or_default() += 1;
                if hands_over && random.random_bool(0.02) {
                    all.ledgers[consumer].old_pieces(1).into_iter().for_each(|piece| all.handed.take(piece));
                }
            }
            all
        }
    }

    /// A whole random world, ledger and naive sets side by side.
    fn check_against_a_naive_model(seed: u64, hands_over: bool) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let NaiveProducers { published, expected, ledgers: sent, arrivals } = NaiveProducers::random(&mut random);
        let consumers = NaiveConsumers::of(&arrivals, hands_over, &mut random);
        let NaiveConsumers { ledgers, handed, times, in_turn, late, redeliveries } = consumers;
        let decoded = |ledger: &Deliveries| Deliveries::decode(&ledger.encode()).expect("it was just encoded");
        let integrity = join_with(handed, &sent, ledgers.iter().map(decoded));
        let delivered: BTreeSet<_> = times.keys().copied().collect();
        let lost: Vec<_> = expected.difference(&delivered).copied().collect();
        let repeated = delivered.iter().filter(|id| times[id] > 1).copied();
        assert_eq!(integrity.sent, published.len() as u64, "sent");
        assert_eq!(integrity.expected, expected.len() as u64, "expected");
        let unexpected = delivered.iter().filter(|id| !published.contains(id)).count() as u64;
        assert_eq!(integrity.delivered, delivered.len() as u64 - unexpected, "delivered");
        assert_eq!(integrity.lost, lost.len() as u64, "lost");
        let extra: u64 = times.values().map(|times| times - 1).sum();
        assert_eq!(integrity.duplicated, extra, "duplicated");
        let mut reordered: Vec<_> = late.difference(&in_turn).filter(|id| published.contains(id)).copied().collect();
        reordered.sort_unstable();
        assert_eq!(integrity.reordered, reordered.len() as u64, "reordered");
        assert_eq!(ids(&integrity.first_reordered), reordered[..reordered.len().min(10)], "first reordered");
        assert_eq!(integrity.redelivered, redeliveries, "redelivered");
        assert_eq!(integrity.unexpected, unexpected, "unexpected");
        assert_eq!(ids(&integrity.first_lost), lost[..lost.len().min(10)], "first lost");
        let first_repeated: Vec<_> = repeated.take(10).collect();
        assert_eq!(ids(&integrity.first_duplicated), first_repeated, "first duplicated");
    }

    fn ids(examples: &[MessageId]) -> Vec<(u32, u64)> {
        examples.iter().map(|id| (id.producer, id.sequence)).collect()
    }

    /// Brokers reorder neighbours, not whole runs.
    fn shuffle_a_little<T>(items: &mut [T], random: &mut impl Rng) {
        for at in 1..items.len() {
            if random.random_bool(0.3) {
                items.swap(at, random.random_range(at.saturating_sub(9)..at));
            }
        }
    }

    #[test]
    fn a_copy_that_comes_late_to_another_consumer_changes_no_other_count() {
        let sent = [(0, confirmed(10))];
        let (one, other) = (delivered([0, 2, 4, 3, 6, 8].map(|s| (0, s))), [1, 5, 7, 9]);
        let joined = |other: &[u64]| join(&sent, vec![one.clone(), delivered(other.iter().map(|s| (0, *s)))]);
        let (plain, copied) = (joined(&other), joined(&[&other[..], &[2]].concat()));
        assert_eq!((plain.duplicated, plain.reordered), (0, 1), "3 came after 4");
        let expected = Integrity { duplicated: 1, first_duplicated: copied.first_duplicated.clone(), ..plain };
        assert_eq!(copied, expected);
        // Late wherever it came: which of the two was the copy does not matter.
        assert_eq!(joined(&[&other[..], &[3]].concat()).reordered, 1);
        // A redelivery does not show in which order the message came first.
        let mut again = delivered(other.map(|s| (0, s)));
        again.observe(0, 3, true);
        assert_eq!(join(&sent, vec![one.clone(), again.clone()]).reordered, 1);
        assert_eq!(join(&sent, vec![again, one.clone()]).reordered, 1);
    }

    #[test]
    fn the_ledger_agrees_with_naive_sets() {
        for seed in 0..300 {
            check_against_a_naive_model(seed, false);
            check_against_a_naive_model(seed, true);
        }
    }
}
