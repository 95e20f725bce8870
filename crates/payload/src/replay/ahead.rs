//! The messages of one producer, all read before the clock starts and lent in turn.

use super::Replayed;
use engine::ports::{Body, PayloadError};

/// Messages in memory. A part that is smaller than what can be on loan is kept several times.
#[derive(Debug)]
pub struct Ahead {
    replayed: Replayed,
    producer: u32,
    /// `None` while on loan.
    slots: Vec<Option<Vec<u8>>>,
    checksums: Vec<u32>,
}

impl Ahead {
    /// Reads the messages of a producer.
    pub fn new(replayed: Replayed, producer: u32) -> Result<Self, PayloadError> {
        let plan = &replayed.plan;
        let kept = plan.kept(producer, u64::from(replayed.in_flight) + 1) as usize;
        let part = plan.part(producer);
        let own = (part.end - part.start) as usize;
        let mut reader = replayed.reader();
        let mut slots: Vec<Option<Vec<u8>>> = Vec::with_capacity(kept);
        let mut checksums = Vec::with_capacity(own);
        for sequence in 0..own {
            let body = replayed.read_with(&mut reader, producer, sequence as u64)?;
            checksums.push(body.checksum);
            slots.push(Some(body.bytes));
        }
        for slot in own..kept {
            slots.push(slots[slot - own].clone());
        }
        Ok(Self { producer, slots, checksums, replayed })
    }

    fn slot(&self, sequence: u64) -> usize {
        (sequence % self.slots.len() as u64) as usize
    }

    /// The body of a message. One that did not come back is read again.
    pub fn take(&mut self, sequence: u64) -> Body {
        let slot = self.slot(sequence);
        match self.slots[slot].take() {
            Some(bytes) => Body {
                bytes,
                checksum: self.checksums[slot % self.checksums.len()],
                events: self.replayed.record(self.producer, sequence).events,
            },
            None => self.replayed.body(self.producer, sequence),
        }
    }

    /// Takes a body back.
    pub fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        // A client library may return an emptied buffer; the slot then stays on loan and is read again.
        if !bytes.is_empty() {
            let slot = self.slot(sequence);
            self.slots[slot] = Some(bytes);
        }
    }
}
