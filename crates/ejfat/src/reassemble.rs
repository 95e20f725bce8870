//! Packets to whole events. Pure: the caller owns sockets and clock.

mod counts;
mod coverage;
mod pool;
mod remembered;

pub use counts::Counts;

use crate::wire::ReHeader;
use coverage::{Coverage, Placed};
use pool::Pool;
use remembered::{End, Remembered};
use std::collections::{HashMap, VecDeque};

/// What names an event to its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The event's number.
    pub number: u64,
    /// Its source.
    pub data_id: u16,
}

/// The limits of a reassembler.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From an event's first segment until it is given up.
    pub timeout_ns: u64,
    /// Bytes of all events in assembly together, and of the buffers kept for the next ones.
    pub pool_bytes: usize,
    /// How many ended events are remembered, so that their late segments are not taken for new events.
    pub remembered: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { timeout_ns: 500_000_000, pool_bytes: 256 << 20, remembered: 1 << 16 }
    }
}

/// A whole event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Its name.
    pub key: Key,
    /// All its bytes.
    pub bytes: Vec<u8>,
    /// Arrival of its first segment.
    pub first_ns: u64,
    /// Arrival of its last segment.
    pub last_ns: u64,
}

/// An event of which segments are missing.
struct Partial {
    bytes: Vec<u8>,
    coverage: Coverage,
    segments: u64,
    first_ns: u64,
}

/// Takes the packets of all senders, in any order, and returns whole events.
pub struct Reassembler {
    limits: Limits,
    assembling: HashMap<Key, Partial>,
    /// In the order of their first segments; those that are whole by now are passed over.
    begun: VecDeque<(u64, Key)>,
    remembered: Remembered,
    pool: Pool,
    counts: Counts,
}

impl Reassembler {
    /// One with these limits.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            assembling: HashMap::new(),
            begun: VecDeque::new(),
            remembered: Remembered::new(limits.remembered),
            pool: Pool::new(limits.pool_bytes),
            counts: Counts::default(),
        }
    }

    /// Takes a packet without the load balancer's header, and returns the event if this was its last missing segment.
    pub fn accept(&mut self, packet: &[u8], now_ns: u64) -> Option<Whole> {
        self.counts.packets += 1;
        let Ok(header) = ReHeader::decode(packet) else {
            self.counts.bad_header += 1;
            return None;
        };
        let body = &packet[ReHeader::BYTES..];
        self.counts.bytes += body.len() as u64;
        let (from, length) = (index(header.offset), index(header.event_bytes));
        let fits = from.checked_add(body.len()).is_some_and(|end| end <= length);
        if !fits || body.is_empty() && length > 0 {
            self.counts.misfit += 1;
            return None;
        }
        let key = Key { number: header.number, data_id: header.data_id };
        match self.remembered.end_of(key) {
            Some(End::Whole) => self.counts.after_whole += 1,
            Some(End::GivenUp) => self.counts.after_given_up += 1,
            None if self.assembling.contains_key(&key) || self.begin(key, from, length, now_ns) => {
                return self.place(key, from, body, length, now_ns);
            }
            None => self.counts.no_room += 1,
        }
        None
    }

    /// Gives up events whose first segment is too old.
    pub fn expire(&mut self, now_ns: u64) {
        while let Some((first_ns, key)) = self.begun.front().copied() {
            let stale = self.assembling.get(&key).is_none_or(|partial| partial.first_ns != first_ns);
            if !stale && now_ns.saturating_sub(first_ns) < self.limits.timeout_ns {
                return;
            }
            self.begun.pop_front();
            if !stale {
                self.give_up(key);
            }
        }
    }

    /// Takes back the buffer of an event for the next ones.
    pub fn recycle(&mut self, bytes: Vec<u8>) {
        self.pool.keep(bytes);
    }

    /// When [`Self::expire`] has something to do next.
    pub fn next_expiry_ns(&self) -> Option<u64> {
        self.begun.front().map(|(first_ns, _)| first_ns.saturating_add(self.limits.timeout_ns))
    }

    /// Events in assembly.
    pub fn assembling(&self) -> usize {
        self.assembling.len()
    }

    /// What became of all packets so far.
    pub fn counts(&self) -> Counts {
        Counts { in_assembly: self.assembling.values().map(|partial| partial.segments).sum(), ..self.counts }
    }

    /// Whether there is room for a new event, which then is in assembly.
    fn begin(&mut self, key: Key, from: usize, length: usize, now_ns: u64) -> bool {
        let Some(bytes) = self.pool.take(length) else {
            self.counts.events_without_room += 1;
            self.remembered.add(key, End::GivenUp);
            return false;
        };
        self.counts.events_begun_inside += u64::from(from > 0);
        self.assembling.insert(key, Partial { bytes, coverage: Coverage::default(), segments: 0, first_ns: now_ns });
        self.begun.push_back((now_ns, key));
        true
    }

    fn place(&mut self, key: Key, from: usize, body: &[u8], length: usize, now_ns: u64) -> Option<Whole> {
        let partial = self.assembling.get_mut(&key).expect("the caller has looked");
        if partial.bytes.len() != length {
            self.counts.other_length += 1;
            return None;
        }
        let range = from..from + body.len();
        match partial.coverage.add(range.clone()) {
            Placed::New => partial.bytes[range].copy_from_slice(body),
            // The same bytes at the same place are the same segment once more.
            Placed::Within if partial.bytes[range] == *body => {
                self.counts.duplicate += 1;
                return None;
            }
            Placed::Within | Placed::Across => {
                self.counts.overlapping += 1;
                return None;
            }
        }
        partial.segments += 1;
        if partial.coverage.bytes() < length {
            return None;
        }
        let Partial { bytes, segments, first_ns, .. } = self.assembling.remove(&key).expect("it was there");
        self.pool.release(length);
        self.remembered.add(key, End::Whole);
        self.counts.events_whole += 1;
        self.counts.in_whole += segments;
        self.forget_ended();
        Some(Whole { key, bytes, first_ns, last_ns: now_ns })
    }

    fn give_up(&mut self, key: Key) {
        let partial = self.assembling.remove(&key).expect("the caller has looked");
        self.counts.events_timed_out += 1;
        self.counts.in_timed_out += partial.segments;
        self.pool.release(partial.bytes.len());
        self.pool.keep(partial.bytes);
        self.remembered.add(key, End::GivenUp);
    }

    /// Keeps the list of begun events as short as what is in assembly.
    fn forget_ended(&mut self) {
        while let Some((first_ns, key)) = self.begun.front() {
            if self.assembling.get(key).is_some_and(|partial| partial.first_ns == *first_ns) {
                return;
            }
            self.begun.pop_front();
        }
    }
}

fn index(value: u32) -> usize {
    usize::try_from(value).expect("addresses have at least 32 bits")
}

#[cfg(test)]
mod tests;
