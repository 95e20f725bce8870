//! The bodies of one producer: built before the clock starts, lent out in turn, stamped for each message.

use crate::{Layout, sequence_crc::SequenceCrc};
use engine::ports::{Body, Source};

/// A ring of bodies that differ from each other. Message `sequence` is slot `sequence % ring`, stamped.
pub struct Bodies {
    layout: Layout,
    producer: u32,
    slots: Vec<Slot>,
    terms: SequenceCrc,
}

struct Slot {
    /// None while on loan.
    bytes: Option<Vec<u8>>,
    /// CRC-32C of the body when it is stamped with sequence 0.
    checksum_at_zero: u32,
}

impl Bodies {
    pub(crate) fn new(layout: Layout, producer: u32, ring_bodies: usize) -> Self {
        let slots = (0..ring_bodies as u64)
            .map(|slot| {
                let mut bytes = layout.build(producer, slot);
                layout.stamp(&mut bytes, producer, 0);
                Slot { checksum_at_zero: crc32c::crc32c(&bytes), bytes: Some(bytes) }
            })
            .collect();
        let terms = SequenceCrc::new(layout.body_bytes(), |body, sequence| layout.stamp(body, producer, sequence));
        Self { layout, producer, slots, terms }
    }

    fn slot(&self, sequence: u64) -> usize {
        (sequence % self.slots.len() as u64) as usize
    }
}

impl Source for Bodies {
    fn take(&mut self, sequence: u64) -> Body {
        let index = self.slot(sequence);
        let slot = &mut self.slots[index];
        let mut bytes = slot.bytes.take().unwrap_or_else(|| self.layout.build(self.producer, index as u64));
        self.layout.stamp(&mut bytes, self.producer, sequence);
        let checksum = slot.checksum_at_zero ^ self.terms.of(sequence);
        Body { bytes, checksum, events: self.layout.events() }
    }

    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        // A client library may hand back an emptied buffer; the slot then stays on loan and is built anew.
        if bytes.len() == self.layout.body_bytes() {
            debug_assert!(self.layout.matches(&bytes, self.producer, sequence), "not the body lent for {sequence}");
            let index = self.slot(sequence);
            self.slots[index].bytes = Some(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dstream::Dstream;

    fn ring(event_bytes: u64, events: u32, ring_bodies: usize) -> Bodies {
        Bodies::new(Layout::Dstream(Dstream::new(7, event_bytes, events).unwrap()), 3, ring_bodies)
    }

    #[test]
    fn the_checksum_is_that_of_the_whole_body() {
        for (event_bytes, events, ring_bodies) in [(2000, 8, 5), (2000, 1, 1), (8336, 2, 3), (52, 3, 2), (2000, 63, 4)]
        {
            let mut bodies = ring(event_bytes, events, ring_bodies);
            let far = (0..64).map(|bit| (1 << bit) - 1).chain([u64::MAX, 0x0123_4567_89ab_cdef]);
            for sequence in (0..500).chain(far) {
                let body = bodies.take(sequence);
                assert_eq!(body.checksum, crc32c::crc32c(&body.bytes), "{event_bytes} x {events}, message {sequence}");
                assert_eq!(body.events, events);
                bodies.give_back(sequence, body.bytes);
            }
        }
    }

    #[test]
    fn a_message_is_the_same_from_the_ring_from_a_full_loan_and_from_another_ring() {
        let (mut lent, mut fresh) = (ring(2000, 8, 4), ring(2000, 8, 4));
        // Nothing is given back to `fresh`, so from its second turn on it builds each body anew.
        for sequence in 0..20 {
            let (a, b) = (lent.take(sequence), fresh.take(sequence));
            assert_eq!((a.checksum, &a.bytes), (b.checksum, &b.bytes), "message {sequence}");
            lent.give_back(sequence, a.bytes);
        }
        let again = lent.take(5);
        assert_eq!(again.bytes, fresh.take(5).bytes, "republished");
    }

    #[test]
    fn a_buffer_that_comes_back_is_lent_again_and_an_emptied_one_is_replaced() {
        let mut bodies = ring(2000, 8, 2);
        let body = bodies.take(0);
        assert!(bodies.slots[0].bytes.is_none());
        // An address would prove nothing here: an allocator likes to hand out the same one again.
        bodies.give_back(0, body.bytes);
        assert!(bodies.slots[0].bytes.is_some());
        let body = bodies.take(2);
        bodies.give_back(2, Vec::new());
        assert_eq!(bodies.take(2).bytes, body.bytes);
    }
}
