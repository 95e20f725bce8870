//! The bodies of one producer, lent in turn: from a ring whose bodies are stamped, or filled for each message.

use crate::{made::Made, sequence_crc::SequenceCrc};
use engine::ports::{Body, Source};
use profile::Fill;
use std::{collections::HashMap, sync::Arc};

/// Bodies of one producer.
pub struct Bodies {
    workload: Made,
    producer: u32,
    kept: Kept,
}

/// The storage between messages.
enum Kept {
    /// Bodies built before the clock starts. Message `sequence` is slot `sequence % ring`, stamped.
    Ring(Vec<Slot>),
    /// Buffers to fill.
    Fresh(Vec<Vec<u8>>),
}

struct Slot {
    /// `None` while on loan.
    bytes: Option<Vec<u8>>,
    events: u32,
    checksum: Checksum,
}

/// How the checksum of a stamped slot is computed.
enum Checksum {
    /// CRC-32C of the body stamped with sequence 0, and the terms that the bits of a sequence add.
    Linear { at_zero: u32, terms: Arc<SequenceCrc> },
    /// By reading the body.
    Read,
}

impl Bodies {
    pub(crate) fn new(workload: &Made, producer: u32) -> Self {
        let kept = match workload.fill {
            Fill::Ring => Kept::Ring(ring(workload, producer)),
            Fill::Fresh => Kept::Fresh(Vec::new()),
        };
        Self { workload: workload.clone(), producer, kept }
    }
}

fn ring(workload: &Made, producer: u32) -> Vec<Slot> {
    // The terms depend on the places of the stamps, and so on the number of events.
    let mut terms: HashMap<u32, Arc<SequenceCrc>> = HashMap::new();
    let layout = &workload.layout;
    let mut slot = |index: u64| {
        let events = workload.events(producer, index);
        let mut bytes = vec![0; layout.body_bytes(events)];
        layout.fill(&mut bytes, producer, index, events);
        layout.stamp(&mut bytes, producer, 0, events);
        let checksum = if layout.stamp_is_linear() {
            let at_zero = crc32c::crc32c(&bytes);
            let terms = terms.entry(events).or_insert_with(|| {
                let stamp = |body: &mut [u8], sequence| layout.stamp(body, producer, sequence, events);
                Arc::new(SequenceCrc::new(bytes.len(), stamp))
            });
            Checksum::Linear { at_zero, terms: terms.clone() }
        } else {
            Checksum::Read
        };
        Slot { bytes: Some(bytes), events, checksum }
    };
    (0..u64::from(workload.ring_bodies)).map(&mut slot).collect()
}

impl Source for Bodies {
    fn take(&mut self, sequence: u64) -> Body {
        let Self { workload, producer, kept } = self;
        match kept {
            Kept::Ring(slots) => {
                let slot = &mut slots[workload.key(sequence) as usize];
                let Some(mut bytes) = slot.bytes.take() else { return workload.body(*producer, sequence) };
                workload.layout.stamp(&mut bytes, *producer, sequence, slot.events);
                let checksum = match &slot.checksum {
                    Checksum::Linear { at_zero, terms } => at_zero ^ terms.of(sequence),
                    Checksum::Read => crc32c::crc32c(&bytes),
                };
                Body { bytes, checksum, events: slot.events }
            }
            Kept::Fresh(buffers) => {
                let events = workload.events(*producer, sequence);
                let mut bytes = buffers.pop().unwrap_or_default();
                bytes.resize(workload.layout.body_bytes(events), 0);
                workload.layout.fill(&mut bytes, *producer, sequence, events);
                workload.layout.stamp(&mut bytes, *producer, sequence, events);
                Body { checksum: crc32c::crc32c(&bytes), bytes, events }
            }
        }
    }

    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        // A client library may return an emptied buffer; the slot then stays on loan and is built again.
        if bytes.is_empty() {
            return;
        }
        match &mut self.kept {
            Kept::Ring(slots) => slots[self.workload.key(sequence) as usize].bytes = Some(bytes),
            Kept::Fresh(buffers) => buffers.push(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, Plan, combine};

    fn bodies(text: &str, ring_bodies: u32, fill: Fill) -> Bodies {
        let layer = Layer::parse(Origin::CommandLine, text).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let mut plan = Plan::resolve(&profile, 1, 1).unwrap();
        (plan.message.ring_bodies, plan.message.fill) = (ring_bodies, fill);
        Bodies::new(&Made::new(&plan).unwrap(), 3)
    }

    /// Every format, with bodies small enough for a debug build.
    const SMALL: [&str; 8] = [
        "",
        "[message]\nevents = 'uniform:1-5'",
        "[message]\nevent_bytes = '52B'\nevents = 63",
        "workload = 'dstream-decomposed'",
        "workload = 'generic'\n[message]\nevent_bytes = '1KiB'\nevents = 3",
        "workload = 'sns-adara'\n[message]\nevents = 'poisson:50'",
        "workload = 'lstream'\n[message]\nevents = 'uniform:1-3'\n[message.frames]\nshape = [40, 48]",
        "workload = 'aps-ptychography'\n[message.frames]\nshape = [3, 16, 24]\ndtype = 'f32'",
    ];

    #[test]
    fn the_checksum_is_that_of_the_whole_body() {
        for text in SMALL {
            let mut bodies = bodies(text, 5, Fill::Ring);
            let far = (0..64).map(|bit| (1 << bit) - 1).chain([u64::MAX, 0x0123_4567_89ab_cdef]);
            for sequence in (0..100).chain(far) {
                let body = bodies.take(sequence);
                assert_eq!(body.checksum, crc32c::crc32c(&body.bytes), "{text}, message {sequence}");
                bodies.give_back(sequence, body.bytes);
            }
        }
    }

    #[test]
    fn a_message_is_the_same_from_the_ring_from_a_full_loan_and_from_another_ring() {
        for text in SMALL {
            let (mut lent, mut kept) = (bodies(text, 4, Fill::Ring), bodies(text, 4, Fill::Ring));
            // Nothing is given back to `kept`, so from its second turn on it builds each body anew.
            for sequence in 0..20 {
                let (a, b) = (lent.take(sequence), kept.take(sequence));
                assert_eq!((a.checksum, a.events, &a.bytes), (b.checksum, b.events, &b.bytes), "{text} {sequence}");
                lent.give_back(sequence, a.bytes);
            }
            assert_eq!(lent.take(5).bytes, kept.take(5).bytes, "republished");
        }
    }

    #[test]
    fn a_fresh_body_does_not_depend_on_what_its_buffer_held() {
        for text in SMALL {
            let mut bodies = bodies(text, 2, Fill::Fresh);
            for sequence in 0..12 {
                let body = bodies.take(sequence);
                let alone = bodies.workload.body(3, sequence);
                assert_eq!((body.checksum, &body.bytes), (alone.checksum, &alone.bytes), "{text} {sequence}");
                bodies.give_back(sequence, vec![0xff; body.bytes.len() + 100]);
            }
        }
    }

    #[test]
    fn a_buffer_that_comes_back_is_lent_again_and_an_emptied_one_is_replaced() {
        let mut bodies = bodies("", 2, Fill::Ring);
        let on_loan = |bodies: &Bodies| match &bodies.kept {
            Kept::Ring(slots) => slots[0].bytes.is_none(),
            Kept::Fresh(_) => unreachable!("the default is a ring"),
        };
        let body = bodies.take(0);
        assert!(on_loan(&bodies));
        // An address would prove nothing here: an allocator likes to hand out the same one again.
        bodies.give_back(0, body.bytes);
        assert!(!on_loan(&bodies));
        let body = bodies.take(2);
        bodies.give_back(2, Vec::new());
        assert_eq!(bodies.take(2).bytes, body.bytes);
    }
}
