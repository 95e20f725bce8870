//! What a message's sequence number adds to the CRC-32C of its body, without reading the body.
//!
//! A CRC is linear: flipping a fixed set of bits in a body of fixed length flips a fixed set of bits in its CRC. A
//! stamp flips, for each bit of the sequence, a set of body bits that is the same in every slot. So the CRC of any
//! message is the CRC of its slot stamped with sequence 0, XOR one term per bit set in the sequence; the terms of eight
//! bits at a time are summed ahead. One set of tables serves all stamped places of all slots.

/// The terms, by byte of the sequence and value of that byte: 8 KiB, which stays in the first-level cache.
pub struct SequenceCrc([[u32; 256]; 8]);

impl SequenceCrc {
    /// Learns the terms from `stamp` itself, so that the two cannot disagree.
    pub fn new(body_bytes: usize, stamp: impl Fn(&mut [u8], u64)) -> Self {
        let mut body = vec![0; body_bytes];
        let mut crc_of = |sequence| {
            stamp(&mut body, sequence);
            crc32c::crc32c(&body)
        };
        let zero = crc_of(0);
        let mut tables = [[0; 256]; 8];
        for (byte, table) in tables.iter_mut().enumerate() {
            for bit in 0..8 {
                let term = crc_of(1 << (8 * byte + bit)) ^ zero;
                // Every value whose highest bit is this one: the value without the bit is already there.
                for value in 1 << bit..2 << bit {
                    table[value] = table[value - (1 << bit)] ^ term;
                }
            }
        }
        Self(tables)
    }

    /// What turns the CRC of a slot stamped with sequence 0 into that of the slot stamped with `sequence`.
    pub fn of(&self, sequence: u64) -> u32 {
        self.0.iter().zip(sequence.to_le_bytes()).fold(0, |crc, (table, byte)| crc ^ table[usize::from(byte)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terms_give_the_crc_of_the_whole_body() {
        // Two places, one of them byte-swapped and shifted, over bytes that are not zero.
        let stamp = |body: &mut [u8], sequence: u64| {
            body[3..11].copy_from_slice(&sequence.to_be_bytes());
            body[90..98].copy_from_slice(&(sequence << 11 | 5).to_le_bytes());
        };
        let terms = SequenceCrc::new(100, stamp);
        let mut body: Vec<u8> = (0..100).map(|i| i ^ 0x5a).collect();
        stamp(&mut body, 0);
        let zero = crc32c::crc32c(&body);
        for sequence in (0..64).map(|bit| 1 << bit).chain([0, 3, 999, u64::MAX, 0x0123_4567_89ab_cdef]) {
            stamp(&mut body, sequence);
            assert_eq!(zero ^ terms.of(sequence), crc32c::crc32c(&body), "sequence {sequence:#x}");
        }
    }
}
