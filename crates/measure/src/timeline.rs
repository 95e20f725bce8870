//! When deliveries came to one consumer, slot by slot: what a fault costs is computed from it. Pure.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Narrowest slot.
const SLOT_NS_MIN: u64 = 100_000_000;
/// A run has so many slots at most, however long it is; as many more follow for what comes late.
const SLOTS_MAX: u64 = 1_200;
/// Most stalls that are kept: the longest.
const STALLS_MAX: usize = 1_024;
/// A stall that is shorter than another and lasts for less than this when a span ends is a hiccup of the machine, and not the
/// end of all deliveries.
const SILENCE_NS: u64 = 1_000_000_000;
/// Parts of an octave that latencies are told apart by: 3 %.
const PARTS: u64 = 32;

/// A time without a delivery, from one delivery to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// The last delivery before it, since the common start.
    pub from_ns: u64,
    /// The first after it.
    pub to_ns: u64,
}

impl Stall {
    /// Its length.
    pub fn ns(&self) -> u64 {
        self.to_ns - self.from_ns
    }
}

/// The deliveries to one consumer over time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    start_ns: u64,
    slot_ns: u64,
    /// A time without a delivery that is longer than this is a stall.
    stall_ns: u64,
    delivered: Vec<u32>,
    latencies: Vec<BTreeMap<u16, u32>>,
    last_ns: Option<u64>,
    stalls: Vec<Stall>,
}

impl Timeline {
    /// Of a run that begins at `start_ns` and streams for `length_ns`.
    pub fn new(start_ns: u64, length_ns: u64, stall_ns: u64) -> Self {
        Self {
            start_ns,
            slot_ns: SLOT_NS_MIN.max(length_ns.div_ceil(SLOTS_MAX)),
            stall_ns,
            delivered: Vec::new(),
            latencies: Vec::new(),
            last_ns: None,
            stalls: Vec::new(),
        }
    }

    /// A message that was due at `due_ns` arrived; both in common time.
    pub fn deliver(&mut self, at_ns: u64, due_ns: u64) {
        let since_ns = at_ns.saturating_sub(self.start_ns);
        if let Some(last_ns) = self.last_ns.filter(|last_ns| since_ns.saturating_sub(*last_ns) > self.stall_ns) {
            self.stall(Stall { from_ns: last_ns, to_ns: since_ns });
        }
        self.last_ns = Some(since_ns.max(self.last_ns.unwrap_or_default()));
        let slot = (since_ns / self.slot_ns) as usize;
        if slot < 2 * SLOTS_MAX as usize {
            if slot >= self.delivered.len() {
                self.delivered.resize(slot + 1, 0);
                self.latencies.resize(slot + 1, BTreeMap::new());
            }
            self.delivered[slot] += 1;
            *self.latencies[slot].entry(bucket(at_ns.saturating_sub(due_ns))).or_default() += 1;
        }
    }

    fn stall(&mut self, stall: Stall) {
        if self.stalls.len() < STALLS_MAX {
            self.stalls.push(stall);
            return;
        }
        let shortest = self.stalls.iter().enumerate().min_by_key(|(_, stall)| stall.ns()).map(|(place, _)| place);
        if let Some(place) = shortest.filter(|place| self.stalls[*place].ns() < stall.ns()) {
            self.stalls.remove(place);
            self.stalls.push(stall);
        }
    }

    /// The width of its slots.
    pub fn slot_ns(&self) -> u64 {
        self.slot_ns
    }

    /// Its longest stall that reaches into a span of time since the start, and whether it gets nothing at the end of the span:
    /// the longest has not ended by `until_ns`, or another that lasts for a second or longer. A stall ends at `until_ns` at
    /// the latest.
    pub fn stalled(&self, from_ns: u64, until_ns: u64) -> Option<(Stall, bool)> {
        let within = |stall: &&Stall| stall.to_ns > from_ns && stall.from_ns < until_ns;
        let cut = |stall: &Stall| (Stall { to_ns: stall.to_ns.min(until_ns), ..*stall }, stall.to_ns > until_ns);
        // What has just begun when the span ends belongs to the next one.
        let long = |(stall, open): &(Stall, bool)| !open || stall.ns() > self.stall_ns;
        let closed = self.stalls.iter().filter(within).map(cut).filter(long);
        let last_ns = self.last_ns.unwrap_or_default();
        let open = Stall { from_ns: last_ns, to_ns: until_ns.max(last_ns) };
        let open = (last_ns < until_ns && open.ns() > self.stall_ns).then_some((open, true));
        let stalls: Vec<(Stall, bool)> = closed.chain(open).collect();
        let silent = stalls.iter().any(|(stall, open)| *open && stall.ns() >= SILENCE_NS);
        stalls.into_iter().max_by_key(|(stall, _)| stall.ns()).map(|(longest, open)| (longest, open || silent))
    }

    /// Deliveries in a slot.
    pub fn delivered(&self, slot: usize) -> u64 {
        u64::from(self.delivered.get(slot).copied().unwrap_or_default())
    }

    /// Adds its latencies in a slot.
    pub fn add_latencies(&self, slot: usize, to: &mut Latencies) {
        for (bucket, count) in self.latencies.get(slot).into_iter().flatten() {
            *to.0.entry(*bucket).or_default() += u64::from(*count);
        }
    }
}

/// Latencies of some slots.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies(BTreeMap<u16, u64>);

impl Latencies {
    /// How many.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The 99th percentile; `None` without any.
    pub fn p99_ns(&self) -> Option<u64> {
        let mut left = self.count() - self.count() / 100;
        self.0.iter().find_map(|(bucket, count)| {
            left = left.saturating_sub(*count);
            (left == 0).then(|| value(*bucket))
        })
    }
}

/// Octaves of microseconds, each in equal parts.
fn bucket(ns: u64) -> u16 {
    let us = (ns / 1_000).max(1);
    let octave = u64::from(us.ilog2());
    (octave * PARTS + (((us - (1 << octave)) * PARTS) >> octave)) as u16
}

/// The middle of a bucket.
fn value(bucket: u16) -> u64 {
    let (octave, part) = (u64::from(bucket) / PARTS, u64::from(bucket) % PARTS);
    let width_ns = (1_000u64 << octave) / PARTS;
    (1_000 << octave) + part * width_ns + width_ns / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_latency_is_known_to_a_thirtieth() {
        for ns in [1_000, 7_300, 999_000, 1_000_000, 123_456_789, 40_000_000_000] {
            let found = value(bucket(ns));
            assert!(found.abs_diff(ns) * 30 <= ns, "{ns}: {found}");
        }
        assert!((1..60).all(|shift| bucket(1 << shift) <= bucket(2 << shift)), "they ascend");
    }

    #[test]
    fn stalls_are_gaps_above_the_threshold_and_the_last_may_be_open() {
        let mut timeline = Timeline::new(1_000 * MS, 10_000 * MS, 50 * MS);
        for at in [10, 20, 70, 400, 410, 420] {
            timeline.deliver((1_000 + at) * MS, (1_000 + at) * MS - MS);
        }
        let stall = |from, to| Stall { from_ns: from * MS, to_ns: to * MS };
        assert_eq!(timeline.stalled(0, 430 * MS), Some((stall(70, 400), false)));
        assert_eq!(timeline.stalled(0, 300 * MS), Some((stall(70, 300), true)), "it had not ended by then");
        assert_eq!(timeline.stalled(405 * MS, 430 * MS), None);
        assert_eq!(timeline.stalled(405 * MS, 900 * MS), Some((stall(420, 900), true)));
        assert_eq!(timeline.stalled(0, 110 * MS), None, "it had lasted for less than a stall by then");
        assert_eq!(timeline.stalled(0, 700 * MS), Some((stall(70, 400), false)), "a hiccup after the longest");
        assert_eq!((timeline.delivered(0), timeline.delivered(4), timeline.delivered(2)), (3, 3, 0));
    }

    #[test]
    fn one_that_gets_nothing_for_a_second_is_silent_whatever_it_lived_through_before() {
        let mut timeline = Timeline::new(0, 10_000 * MS, 50 * MS);
        [10, 3_010, 3_020].iter().for_each(|at| timeline.deliver(at * MS, at * MS));
        let longest = Stall { from_ns: 10 * MS, to_ns: 3_010 * MS };
        assert_eq!(timeline.stalled(0, 4_000 * MS), Some((longest, false)));
        assert_eq!(timeline.stalled(0, 4_020 * MS), Some((longest, true)));
    }

    #[test]
    fn a_long_run_has_as_many_slots_as_a_short_one() {
        let hour = 3_600_000 * MS;
        let mut timeline = Timeline::new(0, 12 * hour, 50 * MS);
        for minute in 0..24 * 60 {
            timeline.deliver(minute * hour / 60, minute * hour / 60);
        }
        assert!(timeline.delivered.len() <= 2 * SLOTS_MAX as usize && timeline.stalls.len() <= STALLS_MAX);
    }
}
