//! Ledgers: what is counted, and what it takes on the wire.

use super::*;

fn published(count: u64) -> Sent {
    let mut sent = Sent::new(true);
    for sequence in 0..count {
        assert_eq!(sent.publish(), sequence);
    }
    sent
}

fn counts(sent: Sent) -> (u64, u64, u64) {
    let summary = sent.finish();
    (summary.confirmed(), summary.abandoned(), summary.unconfirmed())
}

#[test]
fn confirms_in_any_order_settle_every_message() {
    let mut sent = published(6);
    for sequence in [3, 0, 5, 1, 2, 2, 0, 4] {
        sent.confirm(sequence);
    }
    assert_eq!(sent.summary.settled_below, 6);
    assert!(sent.summary.confirmed_ahead.is_empty(), "one number suffices");
    assert_eq!(counts(sent), (6, 0, 0));
}

#[test]
fn an_abandoned_message_does_not_hold_up_the_confirmed_ones() {
    let mut sent = published(5);
    for sequence in [0, 2, 3] {
        sent.confirm(sequence);
    }
    sent.abandon(1);
    assert_eq!(sent.summary.settled_below, 4);
    assert_eq!(counts(sent), (3, 1, 1));
}

#[test]
fn a_late_confirm_takes_back_an_abandonment() {
    for abandoned in [0, 2] {
        let mut sent = published(3);
        sent.abandon(abandoned);
        sent.confirm(abandoned);
        assert_eq!(counts(sent), (1, 0, 2));
    }
}

#[test]
fn a_confirmed_message_cannot_be_abandoned() {
    let mut sent = published(3);
    sent.confirm(0);
    sent.confirm(2);
    sent.abandon(0);
    sent.abandon(2);
    assert_eq!(counts(sent), (2, 0, 1));
}

#[test]
fn without_confirms_everything_published_is_expected() {
    let mut sent = Sent::new(false);
    for _ in 0..4 {
        sent.publish();
    }
    sent.abandon(2);
    let summary = sent.finish();
    assert_eq!(summary.unconfirmed(), 0);
    assert_eq!(summary.expected(), 3);
    assert_eq!(summary.missing_from(&RoaringTreemap::new()).iter().collect::<Vec<_>>(), [0, 1, 3]);
}

/// The late messages of a producer, as one consumer reports them.
fn late(deliveries: &Deliveries, producer: u32) -> Vec<u64> {
    deliveries.logs.iter().filter(|log| log.producer == producer).flat_map(|log| log.late.iter()).collect()
}

#[test]
fn a_second_delivery_is_a_duplicate_and_not_reordered() {
    let mut deliveries = Deliveries::new();
    assert_eq!(deliveries.observe(1, 5, false), Observation::New);
    assert_eq!(deliveries.observe(1, 6, false), Observation::New);
    assert_eq!(deliveries.observe(1, 5, false), Observation::Duplicate);
    assert_eq!(deliveries.observe(2, 5, false), Observation::New);
    assert!(late(&deliveries, 1).is_empty());
}

#[test]
fn only_first_turns_can_be_out_of_order() {
    let mut deliveries = Deliveries::new();
    for (sequence, redelivered, reordered) in
        [(10, false, 0), (3, false, 1), (4, true, 1), (11, true, 1), (u64::MAX, false, 1), (12, false, 2)]
    {
        deliveries.observe(0, sequence, redelivered);
        assert_eq!(late(&deliveries, 0).len(), reordered, "after {sequence}");
    }
    assert_eq!(deliveries.redelivered(), 2);
    let id = |sequence| MessageId { producer: 0, sequence };
    assert_eq!(late(&deliveries, 0), [3, 12]);
    assert_eq!(deliveries.first_redelivered(), [id(4), id(11)]);
}

#[test]
fn a_consumer_of_everything_keeps_one_number() {
    let mut deliveries = Deliveries::new();
    for sequence in [1, 0, 2, 5, 3, 4] {
        assert_eq!(deliveries.observe(0, sequence, false), Observation::New);
    }
    assert_eq!((deliveries.logs[0].seen_below, deliveries.logs[0].seen_ahead.len()), (6, 0));
    assert_eq!(deliveries.observe(0, 3, false), Observation::Duplicate);
    assert_eq!(deliveries.logs[0].take_seen().len(), 6);
}

#[test]
fn ledgers_survive_the_wire() {
    let mut deliveries = Deliveries::new();
    for sequence in (0..200_000).filter(|sequence| sequence % 7 != 0) {
        deliveries.observe(sequence as u32 % 3, sequence, sequence % 5 == 0);
    }
    deliveries.observe(9, 1 << 47, false);
    deliveries.observe(9, 1 << 47, true);
    deliveries.observe_corrupt();
    deliveries.observe_foreign(Foreign { consumer: 2, bytes: 5, run: None });
    deliveries.observe_unexpected(MessageId { producer: 1, sequence: 1 << 47 });
    let decoded = Deliveries::decode(&deliveries.encode()).expect("it was just encoded");
    assert_eq!(decoded, deliveries);

    let mut sent = published(1000);
    for sequence in (0..1000).filter(|sequence| sequence % 10 != 0) {
        sent.confirm(sequence);
    }
    sent.abandon(50);
    sent.reject();
    sent.give_back();
    sent.republish();
    let summary = sent.finish();
    let decoded = SentSummary::decode(&summary.encode()).expect("it was just encoded");
    assert_eq!(decoded, summary);
}

#[test]
fn damaged_ledgers_are_reported_with_the_remedy() {
    let mut deliveries = Deliveries::new();
    deliveries.observe(0, 0, false);
    let bytes = deliveries.encode();
    for damaged in [&bytes[..bytes.len() / 2], &[0xff; 40]] {
        let error = Deliveries::decode(damaged).expect_err("it is damaged");
        assert!(error.to_string().ends_with("run the same build on every rank"), "{error}");
    }
    assert!(SentSummary::decode(&[]).is_err());
}

#[test]
fn a_contiguous_ledger_is_small_on_the_wire() {
    let mut deliveries = Deliveries::new();
    // The first one is missing, so that one number does not suffice.
    for sequence in 1..1_000_000 {
        deliveries.observe(0, sequence, false);
    }
    deliveries.pack();
    let length = deliveries.encode().len();
    assert!(length < 1000, "{length} B for a million messages in a row");
}

#[test]
fn what_a_lost_connection_leaves_survives_the_wire() {
    let mut sent = Sent::new(false);
    (0..9).for_each(|_| _ = sent.publish());
    sent.republish_after_loss(7);
    sent.lose_connection();
    sent.publish();
    let summary = sent.finish();
    let read = SentSummary::decode(&summary.encode()).unwrap();
    assert_eq!(read, summary);
    assert_eq!((read.unsure_below(), read.republished(), read.republished_after_loss()), (9, 1, 1));
    let mut deliveries = Deliveries::new();
    [0, 1, 5].into_iter().for_each(|sequence| _ = deliveries.observe(3, sequence, false));
    deliveries.lose_connection();
    deliveries.observe(3, 2, false);
    let mut read = Deliveries::decode(&deliveries.encode()).unwrap();
    assert_eq!(read, deliveries);
    assert_eq!(read.logs[0].take_unsure().iter().collect::<Vec<_>>(), [0, 1, 5]);
}
