//! Bodies that a consumer accepts, and those that it rejects.

mod common;

use common::{RING_BODIES, plan};
use engine::ports::{CorruptionKind, Payloads, Source};
use payload::Workload;

#[test]
fn every_message_of_every_shape_is_accepted() {
    for text in [
        "",
        "[message]\nevents = 1",
        "[message]\nevents = 'poisson:3'\nfill = 'fresh'",
        "[message]\nevent_bytes = '8336B'\nevents = 2",
        "seed = 99",
        "workload = 'dstream-decomposed'\n[message]\nevents = 'poisson:3'",
        "workload = 'generic'\n[message]\nevent_bytes = '8KiB'",
        "workload = 'sns-adara'\n[message]\nevents = 'uniform:1-40'",
        "workload = 'lstream'\n[message]\nevents = 'uniform:1-3'\n[message.frames]\nshape = [48, 64]",
    ] {
        let workload = Workload::new(&plan(text)).unwrap();
        for producer in [0, 1, 1023, 1024, u32::MAX] {
            let mut bodies = workload.source(producer).unwrap();
            for sequence in (0..50).chain([1 << 20, 1 << 40]) {
                let body = bodies.take(sequence);
                assert_eq!(workload.verify(producer, sequence, body.checksum, &body.bytes), Ok(()), "{text}");
                assert_eq!(workload.inspect(producer, sequence, &body.bytes), Ok(()), "{text}");
                assert_eq!(workload.events(producer, sequence), body.events, "{text}");
                bodies.give_back(sequence, body.bytes);
            }
        }
    }
}

#[test]
fn damage_is_named_length_before_checksum_before_structure() {
    let workload = Workload::new(&plan("")).unwrap();
    let body = workload.source(0).unwrap().take(7);
    let mut damaged = body.bytes.clone();
    damaged[9_999] ^= 1;
    for (checksum, bytes, expected) in [
        (body.checksum, &body.bytes[..], Ok(())),
        (body.checksum, &[], Err(CorruptionKind::Length)),
        (!body.checksum, &body.bytes[1..], Err(CorruptionKind::Length)),
        (!body.checksum, &body.bytes, Err(CorruptionKind::Checksum)),
        (body.checksum, &damaged, Err(CorruptionKind::Checksum)),
    ] {
        assert_eq!(workload.verify(0, 7, checksum, bytes).map_err(|found| found.kind), expected);
    }
    for (producer, sequence) in [(1, 7), (1024, 7), (0, 8), (0, 0), (0, 7 + u64::from(RING_BODIES))] {
        let result = workload.verify(producer, sequence, body.checksum, &body.bytes).map_err(|found| found.kind);
        assert_eq!(result, Err(CorruptionKind::Structure), "taken for message {sequence} of producer {producer}");
    }
}

#[test]
fn each_header_byte_with_a_meaning_of_its_own_is_checked() {
    let workload = Workload::new(&plan("")).unwrap();
    let body = workload.source(3).unwrap().take(41).bytes;
    // Of the last event: its GEB header, and sync, length, address and timestamp of its last channel.
    let (event, channel) = (7 * 2000, 7 * 2000 + 16 + 7 * 248);
    let checked = (event..event + 16).chain(channel..channel + 12).chain(channel + 14..channel + 16);
    for offset in checked {
        let mut bytes = body.clone();
        bytes[offset] ^= 0x10;
        let result = workload.verify(3, 41, crc32c::crc32c(&bytes), &bytes).map_err(|found| found.kind);
        assert_eq!(result, Err(CorruptionKind::Structure), "offset {offset}");
    }
}

#[test]
fn a_plan_that_cannot_be_built_is_reported_with_the_setting_to_change() {
    for (text, expected) in [
        ("[message]\nevent_bytes = '2001B'", "set event_bytes to 2000B or 2004B"),
        ("[message]\nevent_bytes = '1B'", "set event_bytes to 52B"),
        ("workload = 'generic'\n[message]\nevent_bytes = '64B'", "from 72B on"),
        ("workload = 'generic'\n[message]\nevent_bytes = '1001B'", "from 72B on"),
    ] {
        let error = Workload::new(&plan(text)).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let mut empty = plan("");
    empty.message.ring_bodies = 0;
    assert!(Workload::new(&empty).is_err());
}
