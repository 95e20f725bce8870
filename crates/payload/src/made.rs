//! Bodies that are made: the layout of an instrument, the number of events of each message, and how they are kept.

use crate::{event_count::EventCount, layout::Layout};
use engine::ports::{Body, Corruption, CorruptionKind, PayloadError};
use profile::{Fill, Plan};

/// Bodies that are made from a seed.
#[derive(Debug, Clone)]
pub struct Made {
    pub(crate) layout: Layout,
    count: EventCount,
    pub(crate) fill: Fill,
    pub(crate) ring_bodies: u32,
}

impl Made {
    /// The workload of a plan. Builds the parts that need a library; call it before the clock starts.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the plan's bodies cannot be built, such as larger ones than planned.
    pub fn new(plan: &Plan) -> Result<Self, PayloadError> {
        let message = &plan.message;
        if message.ring_bodies == 0 {
            return Err(PayloadError("a producer needs at least one body".to_owned()));
        }
        let layout = Layout::new(plan)?;
        let (largest, planned) = (layout.body_bytes(message.events.max()) as u64, message.body_bytes);
        if largest > planned {
            return Err(PayloadError(format!(
                "a body of {largest} B is larger than the {planned} B that were planned for: use shorter paths or fewer events"
            )));
        }
        Ok(Self {
            layout,
            count: EventCount::new(plan.seed, message.events),
            fill: message.fill,
            ring_bodies: message.ring_bodies,
        })
    }

    /// Size of the body with this many events.
    pub fn body_bytes(&self, events: u32) -> usize {
        self.layout.body_bytes(events)
    }

    /// The layout of a body, one line per part.
    pub fn describe(&self) -> Vec<String> {
        self.layout.describe()
    }

    /// The key of a message's contents: in a ring, the slot.
    pub(crate) fn key(&self, sequence: u64) -> u64 {
        match self.fill {
            Fill::Ring => sequence % u64::from(self.ring_bodies),
            Fill::Fresh => sequence,
        }
    }

    /// The body of message `sequence` of a producer.
    pub fn body(&self, producer: u32, sequence: u64) -> Body {
        let (key, events) = (self.key(sequence), self.events(producer, sequence));
        let mut bytes = vec![0; self.layout.body_bytes(events)];
        self.layout.fill(&mut bytes, producer, key, events);
        self.layout.stamp(&mut bytes, producer, sequence, events);
        Body { checksum: crc32c::crc32c(&bytes), bytes, events }
    }

    /// Events in message `sequence` of a producer.
    pub fn events(&self, producer: u32, sequence: u64) -> u32 {
        self.count.of(producer, self.key(sequence))
    }

    /// Checks a body by its length, its checksum and its structure.
    pub fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        let events = self.events(producer, sequence);
        let expected = self.layout.body_bytes(events);
        if body.len() != expected {
            return Err(Corruption::new(CorruptionKind::Length, format!("{} B instead of {expected}", body.len())));
        }
        // The only pass over all bytes; what follows reads headers. It costs about as much as copying the body.
        let found = crc32c::crc32c(body);
        if found != checksum {
            let detail = format!("CRC-32C {found:08x} instead of {checksum:08x}");
            return Err(Corruption::new(CorruptionKind::Checksum, detail));
        }
        let checked = self.layout.check(body, producer, sequence, events);
        checked.map_err(|detail| Corruption::new(CorruptionKind::Structure, detail))
    }

    /// Whether a library of the format reads more than [`Self::verify`] does.
    pub fn inspects(&self) -> bool {
        self.layout.inspects()
    }

    /// Reads a body with the format's library, where it has one.
    pub fn inspect(&self, producer: u32, sequence: u64, body: &[u8]) -> Result<(), Corruption> {
        self.layout.inspect(body, producer, sequence, self.events(producer, sequence))
    }
}
