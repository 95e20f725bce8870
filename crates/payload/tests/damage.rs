//! Whatever arrives is accepted or counted, and never a crash.
//!
//! A few thousand damaged bodies of every format, from seeds; `tests/fuzz` looks further, with coverage to guide it.

mod common;

use common::plan;
use engine::{envelope::Envelope, ports::Payloads};
use payload::Workload;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SMALL: [&str; 6] = [
    "[message]\nevents = 'uniform:1-3'",
    "workload = 'dstream-decomposed'\n[message]\nevents = 'poisson:2'",
    "workload = 'generic'\n[message]\nevent_bytes = '256B'\nevents = 2",
    "workload = 'sns-adara'\n[message]\nevents = 'poisson:20'",
    "workload = 'lstream'\n[message]\nevents = 2\n[message.frames]\nshape = [24, 32]",
    "workload = 'aps-ptychography'\n[message.frames]\nshape = [24, 32]",
];

/// Cuts, adds, flips and repeats parts of a body.
fn damage(random: &mut ChaCha8Rng, body: &mut Vec<u8>) {
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=body.len());
        match random.random_range(0..5) {
            0 => body.truncate(at),
            1 => body.splice(at..at, [0; 7]).for_each(drop),
            2 => body.iter_mut().skip(at).take(8).for_each(|byte| *byte = random.random()),
            3 => body.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.random_range(0..8)),
            _ => {
                let from = random.random_range(0..=body.len());
                let part: Vec<u8> = body.iter().skip(from).take(16).copied().collect();
                body.iter_mut().skip(at).zip(part).for_each(|(byte, other)| *byte = other);
            }
        }
    }
}

#[test]
fn a_damaged_body_is_accepted_or_named_and_never_a_crash() {
    let mut random = ChaCha8Rng::seed_from_u64(1);
    for text in SMALL {
        let workload = Workload::new(&plan(text)).unwrap();
        let mut refused = 0;
        for sequence in 0..1000 {
            let mut body = workload.body(0, sequence).bytes;
            let intact = body.clone();
            damage(&mut random, &mut body);
            // With a checksum that was taken after the damage: what is left is what the format itself shows.
            let found = workload.verify(0, sequence, crc32c::crc32c(&body), &body);
            refused += u32::from(found.is_err());
            assert!(found.is_ok() || body != intact, "{text}: {found:?}");
            if found.is_ok() && workload.inspects() {
                let _ = workload.inspect(0, sequence, &body);
            }
        }
        assert!(refused > 300, "{text}: {refused} of 1000");
    }
}

#[test]
fn bytes_of_any_kind_are_no_body_of_any_workload() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    for text in SMALL {
        let workload = Workload::new(&plan(text)).unwrap();
        for sequence in 0..200 {
            let most = workload.body(0, sequence).bytes.len();
            let mut body = vec![0; if sequence % 2 == 0 { most } else { random.random_range(0..2 * most) }];
            random.fill_bytes(&mut body);
            assert!(workload.verify(0, sequence, crc32c::crc32c(&body), &body).is_err(), "{text}");
        }
    }
}

#[test]
fn text_of_any_kind_is_an_envelope_or_none() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let envelope = Envelope { run: 7, producer: 1, sequence: 2, due_ns: 3, sent_ns: 4, checksum: 5, seal: 6 };
    for _ in 0..20_000 {
        let mut text = envelope.encode().as_str().as_bytes().to_vec();
        damage(&mut random, &mut text);
        if let Some(read) = Envelope::decode(&text) {
            assert_eq!(read.encode().as_str().as_bytes(), text, "what is read is what was written");
        }
    }
}
