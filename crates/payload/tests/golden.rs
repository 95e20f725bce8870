//! The bodies of a few messages, by fingerprint: a change is deliberate, or it is a fault.
//!
//! `UPDATE_GOLDEN=1 cargo test -p payload --test golden` writes the file anew.

mod common;

use common::{RING_BODIES, plan};
use engine::ports::{Payloads, Source};
use payload::Workload;
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/dstream.sha256");

#[test]
fn dstream_bodies_are_those_of_the_golden_file() {
    let mut lines = String::new();
    for (event_bytes, events) in [(2000, 8), (8336, 2), (52, 1)] {
        for (seed, producer, sequence) in [(1, 0, 0), (1, 0, 1_000_000), (1, 63, 5), (2, 0, 0)] {
            let text = format!("seed = {seed}\n[message]\nevent_bytes = '{event_bytes}B'\nevents = {events}");
            let plan = plan(&text);
            let body = Workload::new(&plan).unwrap().source(producer).unwrap().take(sequence);
            let hash: String = Sha256::digest(&body.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(
                lines,
                "sha256={hash} bytes={} crc32c={:08x} event_bytes={event_bytes} events={events} ring={RING_BODIES} \
                 seed={seed} producer={producer} sequence={sequence}",
                body.bytes.len(),
                body.checksum,
            )
            .unwrap();
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(PATH, &lines).unwrap();
    }
    let golden = fs::read_to_string(PATH).unwrap();
    assert_eq!(lines, golden, "if this is meant, run with UPDATE_GOLDEN=1 and explain it in the commit");
}
