//! Any order of deliveries, forged ones too, against a set that remembers each: the ledger counts the same, survives its
//! bytes, and is joined with what was sent.

use measure::{Deliveries, Observation, Sent, join};
use std::collections::HashSet;

/// A producer, a byte of flags and a number of at most 48 bits.
const DELIVERY_BYTES: usize = 8;
/// Flags: the broker has delivered it before; its number is near the last one, as most are.
const REDELIVERED: u8 = 1;
const NEAR: u8 = 2;

pub fn run(data: &[u8]) {
    let (mut ledger, mut seen, mut last) = (Deliveries::new(), HashSet::new(), 0);
    let mut sent = Sent::new(false);
    for delivery in data.chunks_exact(DELIVERY_BYTES) {
        let mut number = [0; 8];
        number[..6].copy_from_slice(&delivery[2..]);
        let number = u64::from_le_bytes(number);
        let (producer, flags) = (u32::from(delivery[0]), delivery[1]);
        let sequence = if flags & NEAR == 0 { number } else { last + number % 8 };
        last = sequence.min(1 << 47);
        let expected = if seen.insert((producer, sequence)) { Observation::New } else { Observation::Duplicate };
        assert_eq!(ledger.observe(producer, sequence, flags & REDELIVERED != 0), expected);
        sent.publish();
    }
    let read = Deliveries::decode(&ledger.encode()).expect("it was just encoded");
    assert_eq!(read, ledger);
    ledger.pack();
    let joined = join(&[(0, sent.finish())], [read, ledger]);
    assert!(joined.delivered <= seen.len() as u64, "{} of {} were delivered", joined.delivered, seen.len());
}
