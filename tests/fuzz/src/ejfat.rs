//! Any bytes as packets of EJFAT, as its addresses, and as control messages.
//!
//! The first byte chooses; packets are each a byte for the length, then so many bytes.

use ejfat::{LbHeader, Limits, Reassembler, Sync, Uri};

/// Small, so that the room runs out and keys are forgotten.
const LIMITS: Limits = Limits { timeout_ns: 20, pool_bytes: 1 << 16, remembered: 4 };

pub fn run(data: &[u8]) {
    match data {
        [kind, rest @ ..] if kind % 2 == 0 => packets(rest),
        [_, rest @ ..] => address(&String::from_utf8_lossy(rest)),
        [] => {}
    }
}

fn packets(mut rest: &[u8]) {
    let mut reassembler = Reassembler::new(LIMITS);
    let mut now_ns = 0;
    while let [length, more @ ..] = rest {
        let (packet, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        now_ns += 1;
        if let Ok(header) = LbHeader::decode(packet) {
            assert!(header.calendar_slot() < ejfat::SLOTS);
            assert_eq!(LbHeader::decode(&header.encode()), Ok(header));
        }
        if let Ok(sync) = Sync::decode(packet) {
            assert_eq!(Sync::decode(&sync.encode()), Ok(sync));
        }
        if let Some(whole) = reassembler.accept(packet, now_ns) {
            assert!(whole.bytes.len() <= LIMITS.pool_bytes);
            reassembler.recycle(whole.bytes);
        }
        reassembler.expire(now_ns);
    }
    reassembler.expire(u64::MAX);
    let counts = reassembler.counts();
    assert_eq!(counts.ends().iter().map(|(_, count)| count).sum::<u64>(), counts.packets);
    assert_eq!(reassembler.assembling(), 0);
}

/// What is read prints as something that reads the same.
fn address(text: &str) {
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(Uri::parse(&uri.with_token()).as_ref(), Ok(&uri), "{text}");
        assert_eq!(Uri::parse(&uri.to_string()), Ok(Uri { token: None, ..uri }), "{text}");
    }
}
