//! The engine's envelope as the first bytes of an event, since packets have no properties.

use engine::envelope::Envelope;

/// Its length: run 4, producer 3, sequence 6, due 8, sent 8, checksum 4, seal 4, all big-endian.
pub const BYTES: usize = 37;

/// The bytes of an envelope.
pub fn encode(envelope: &Envelope) -> [u8; BYTES] {
    let Envelope { run, producer, sequence, due_ns, sent_ns, checksum, seal } = *envelope;
    let mut bytes = [0; BYTES];
    bytes[..4].copy_from_slice(&run.to_be_bytes());
    bytes[4..7].copy_from_slice(&producer.to_be_bytes()[1..]);
    bytes[7..13].copy_from_slice(&sequence.to_be_bytes()[2..]);
    bytes[13..21].copy_from_slice(&due_ns.to_be_bytes());
    bytes[21..29].copy_from_slice(&sent_ns.to_be_bytes());
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    bytes[33..].copy_from_slice(&seal.to_be_bytes());
    bytes
}

/// The envelope that an event begins with; `None` if it is too short. Any bytes are one: its seal tells whose.
pub fn decode(event: &[u8]) -> Option<Envelope> {
    let bytes: &[u8; BYTES] = event.first_chunk()?;
    let number = |from: usize, to: usize| bytes[from..to].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    let small = |from: usize, to: usize| u32::try_from(number(from, to)).expect("it has at most four bytes");
    Some(Envelope {
        run: small(0, 4),
        producer: small(4, 7),
        sequence: number(7, 13),
        due_ns: number(13, 21),
        sent_ns: number(21, 29),
        checksum: small(29, 33),
        seal: small(33, 37),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_survives_its_bytes_and_short_events_have_none() {
        let envelope = Envelope {
            run: 0xdead_beef,
            producer: 0x00ab_cdef,
            sequence: 0x1234_5678_9abc,
            due_ns: 7,
            sent_ns: u64::MAX,
            checksum: 0x0bad_cafe,
            seal: 0x5ea1,
        };
        let bytes = encode(&envelope);
        assert_eq!(decode(&[&bytes[..], b"body"].concat()), Some(envelope));
        assert_eq!(decode(&bytes[..36]), None);
        assert_eq!(bytes[..13], *b"\xde\xad\xbe\xef\xab\xcd\xef\x12\x34\x56\x78\x9a\xbc");
    }
}
