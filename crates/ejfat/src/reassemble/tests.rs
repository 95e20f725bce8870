//! Whole events are exact, and the counts add up to what was sent.

use super::*;
use crate::{Event, Segmenter, Version};
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};

const MS: u64 = 1_000_000;

fn packets(number: u64, data_id: u16, body: &[u8], body_max: u16) -> Vec<Vec<u8>> {
    let bytes = u32::try_from(body.len()).unwrap();
    let event = Event { tick: number, slot: 0, entropy: 1, data_id, number, bytes };
    let segments = Segmenter { version: Version::V3, body_max }.cut(&event);
    segments.map(|segment| [segment.re_header(), &body[segment.range()]].concat()).collect()
}

fn all(reassembler: &mut Reassembler, packets: &[Vec<u8>]) -> Vec<Whole> {
    packets.iter().filter_map(|packet| reassembler.accept(packet, 0)).collect()
}

/// The counts as a reader adds them up.
#[track_caller]
fn adds_up(counts: &Counts) {
    assert_eq!(counts.ends().iter().map(|(_, count)| count).sum::<u64>(), counts.packets, "{counts:?}");
}

#[test]
fn segments_in_reverse_order_make_the_event() {
    let body: Vec<u8> = (0..100).collect();
    let mut reversed = packets(1, 0, &body, 7);
    reversed.reverse();
    let mut reassembler = Reassembler::new(Limits::default());
    let whole = all(&mut reassembler, &reversed);
    assert_eq!((whole.len(), &whole[0].bytes), (1, &body));
    assert_eq!(reassembler.counts().events_begun_inside, 1);
}

#[test]
fn a_segment_that_comes_twice_fills_no_hole() {
    let body = [5; 30];
    let sent = packets(1, 0, &body, 10);
    let mut reassembler = Reassembler::new(Limits::default());
    let first = [sent[0].clone(), sent[0].clone(), sent[2].clone()];
    assert!(all(&mut reassembler, &first).is_empty());
    assert_eq!(reassembler.counts().duplicate, 1);
    assert_eq!(all(&mut reassembler, &sent[1..2])[0].bytes, body);
}

#[test]
fn overlaps_and_duplicates_are_told_apart() {
    let mut reassembler = Reassembler::new(Limits::default());
    let body: Vec<u8> = (0..30).collect();
    let sent = packets(1, 0, &body, 10);
    all(&mut reassembler, &sent[1..2]);
    let across = &packets(1, 0, &body, 15)[0];
    let other = &packets(1, 0, &[9; 30], 10)[1];
    all(&mut reassembler, &[across.clone(), other.clone(), sent[1].clone()]);
    let counts = reassembler.counts();
    assert_eq!((counts.overlapping, counts.duplicate), (2, 1));
    assert_eq!(all(&mut reassembler, &sent)[0].bytes, body);
    adds_up(&reassembler.counts());
}

#[test]
fn late_segments_of_ended_events_begin_no_new_ones() {
    let mut reassembler = Reassembler::new(Limits::default());
    let one = packets(1, 0, &[1; 10], 10);
    assert_eq!(all(&mut reassembler, &one).len(), 1);
    assert!(all(&mut reassembler, &one).is_empty(), "an event is returned once");
    let two = packets(2, 0, &[2; 30], 10);
    all(&mut reassembler, &two[..2]);
    reassembler.expire(500 * MS);
    all(&mut reassembler, &two);
    let counts = reassembler.counts();
    assert_eq!((counts.after_whole, counts.after_given_up, counts.in_timed_out), (1, 3, 2));
    assert_eq!((counts.events_timed_out, reassembler.assembling()), (1, 0));
    adds_up(&counts);
}

#[test]
fn an_event_is_given_up_by_the_age_of_its_first_segment() {
    let mut reassembler = Reassembler::new(Limits::default());
    let sent = packets(1, 0, &[1; 30], 10);
    reassembler.accept(&sent[0], 100 * MS);
    reassembler.accept(&sent[1], 590 * MS);
    reassembler.expire(599 * MS);
    assert_eq!((reassembler.assembling(), reassembler.next_expiry_ns()), (1, Some(600 * MS)));
    reassembler.expire(600 * MS);
    assert_eq!((reassembler.assembling(), reassembler.next_expiry_ns()), (0, None));
}

#[test]
fn headers_that_contradict_themselves_or_others_are_counted() {
    let mut reassembler = Reassembler::new(Limits::default());
    let outside = ReHeader { data_id: 0, offset: 5, event_bytes: 10, number: 1 };
    let hollow = ReHeader { offset: 0, ..outside };
    let largest = ReHeader { offset: u32::MAX, event_bytes: u32::MAX, ..outside };
    reassembler.accept(&[&outside.encode()[..], &[0; 6]].concat(), 0);
    reassembler.accept(&hollow.encode(), 0);
    reassembler.accept(&[&largest.encode()[..], &[0; 6]].concat(), 0);
    reassembler.accept(&[0; 40], 0);
    reassembler.accept(&packets(2, 0, &[0; 20], 10)[0], 0);
    reassembler.accept(&packets(2, 0, &[0; 21], 10)[1], 0);
    let counts = reassembler.counts();
    assert_eq!((counts.misfit, counts.bad_header, counts.other_length), (3, 1, 1));
    assert_eq!(reassembler.assembling(), 1);
    adds_up(&counts);
}

#[test]
fn an_event_without_room_is_counted_and_others_are_not_disturbed() {
    let mut reassembler = Reassembler::new(Limits { pool_bytes: 100, ..Limits::default() });
    let (held, refused) = (packets(1, 0, &[1; 80], 40), packets(2, 0, &[2; 30], 10));
    all(&mut reassembler, &held[..1]);
    all(&mut reassembler, &refused);
    let counts = reassembler.counts();
    assert_eq!((counts.no_room, counts.after_given_up, counts.events_without_room), (1, 2, 1));
    assert_eq!(all(&mut reassembler, &held[1..]).len(), 1);
    assert_eq!(all(&mut reassembler, &packets(3, 0, &[3; 100], 50)).len(), 1, "the room is free again");
    // A forged length takes no memory.
    let forged = ReHeader { data_id: 0, offset: 0, event_bytes: u32::MAX, number: 9 };
    reassembler.accept(&[&forged.encode()[..], &[0; 6]].concat(), 0);
    assert_eq!(reassembler.assembling(), 0);
    adds_up(&reassembler.counts());
}

#[test]
fn an_event_without_bytes_arrives() {
    let mut reassembler = Reassembler::new(Limits::default());
    let whole = all(&mut reassembler, &packets(1, 0, &[], 10));
    assert_eq!((whole.len(), whole[0].bytes.len()), (1, 0));
}

#[test]
fn the_list_of_begun_events_stays_as_short_as_what_is_in_assembly() {
    let mut reassembler = Reassembler::new(Limits::default());
    for number in 0..1000 {
        all(&mut reassembler, &packets(number, 0, &[1; 30], 10));
        assert!(reassembler.begun.is_empty());
    }
}

#[test]
fn a_thousand_shuffled_duplicated_and_thinned_streams_are_exact_and_add_up() {
    for seed in 0..1000 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut events = BTreeMap::new();
        let mut sent: Vec<(Key, Vec<u8>)> = Vec::new();
        for number in 0..random.random_range(1..20) {
            let key = Key { number, data_id: random.random_range(0..3) };
            let body: Vec<u8> = (0..random.random_range(0..2000)).map(|_| random.random()).collect();
            let segments = packets(number, key.data_id, &body, random.random_range(1..500));
            events.insert(key, (body, segments.len()));
            sent.extend(segments.into_iter().map(|segment| (key, segment)));
        }
        let lost = random.random_range(0..20);
        sent.retain(|_| random.random_range(0..100) >= lost);
        for _ in 0..sent.len() * random.random_range(0..3) / 4 {
            let again = sent[random.random_range(0..sent.len())].clone();
            sent.push(again);
        }
        match seed % 3 {
            0 => sent.shuffle(&mut random),
            1 => sent.reverse(),
            _ => {}
        }
        judge(seed, &events, &sent);
    }
}

fn judge(seed: u64, events: &BTreeMap<Key, (Vec<u8>, usize)>, sent: &[(Key, Vec<u8>)]) {
    let mut arrived: BTreeMap<Key, BTreeSet<&[u8]>> = BTreeMap::new();
    for (key, packet) in sent {
        arrived.entry(*key).or_default().insert(packet);
    }
    let distinct: usize = arrived.values().map(BTreeSet::len).sum();
    let expected: BTreeMap<Key, &Vec<u8>> = events
        .iter()
        .filter(|(key, (_, segments))| arrived.get(key).is_some_and(|arrived| arrived.len() == *segments))
        .map(|(key, (body, _))| (*key, body))
        .collect();
    let mut reassembler = Reassembler::new(Limits::default());
    let mut whole = BTreeMap::new();
    for (index, (_, packet)) in sent.iter().enumerate() {
        if let Some(event) = reassembler.accept(packet, index as u64) {
            assert!(whole.insert(event.key, event.bytes.clone()).is_none(), "seed {seed}: delivered twice");
            reassembler.recycle(event.bytes);
        }
    }
    assert!(whole.iter().eq(expected.iter().map(|(key, body)| (key, *body))), "seed {seed}");
    reassembler.expire(u64::MAX);
    let counts = reassembler.counts();
    adds_up(&counts);
    assert_eq!(counts.packets, sent.len() as u64, "seed {seed}");
    assert_eq!(counts.in_whole + counts.in_timed_out, distinct as u64, "seed {seed}: {counts:?}");
    assert_eq!(counts.duplicate + counts.after_whole, (sent.len() - distinct) as u64, "seed {seed}: {counts:?}");
    assert_eq!(counts.events_whole, expected.len() as u64, "seed {seed}");
    assert_eq!(counts.events_whole + counts.events_timed_out, arrived.len() as u64, "seed {seed}");
}
