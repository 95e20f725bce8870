//! Which slot and which port an event selects, so that all are used evenly.

use crate::wire::{SLOTS, Version};

/// Odd, and near 2^64 divided by the golden ratio: neighbours get values that are far apart.
const SCATTER: u64 = 0x9E37_79B9_7F4A_7C15;

/// The selectors of one producer's events.
///
/// Slots are taken in turn: any 512 events in a row take each slot once, so a receiver's share of the events is its share
/// of the slots. A clock read at regular intervals would visit few of them.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The version of the header.
    pub version: Version,
    /// The producer: each begins at another slot.
    pub producer: u16,
}

impl Spread {
    /// Tick and port selector of event `sequence` for one slot, which a receiver has demanded.
    pub fn within(&self, slot: u16, sequence: u64, clock_us: u64) -> (u64, u16) {
        let slot = u64::from(slot % SLOTS);
        let mixed = (sequence ^ (slot << 40)).wrapping_add(u64::from(self.producer)).wrapping_mul(SCATTER);
        (self.tick(slot, clock_us), entropy(mixed))
    }

    /// Tick, slot and port selector of event `sequence` at this time of the clock. In version 2, whose slot is part of
    /// the tick, the tick differs from the clock by less than 512.
    pub fn select(&self, sequence: u64, clock_us: u64) -> (u64, u16, u16) {
        let slots = u64::from(SLOTS);
        let first = u64::from(self.producer).wrapping_mul(SCATTER) >> 32;
        let slot = first.wrapping_add(sequence) % slots;
        // Of other bits than the slot, so that each port gets events of all slots.
        let mixed = ((sequence / slots) ^ (slot << 40)).wrapping_add(first).wrapping_mul(SCATTER);
        (self.tick(slot, clock_us), u16::try_from(slot).expect("it is below 512"), entropy(mixed))
    }

    fn tick(&self, slot: u64, clock_us: u64) -> u64 {
        match self.version {
            Version::V2 => clock_us - clock_us % u64::from(SLOTS) + slot,
            Version::V3 => clock_us,
        }
    }
}

/// The upper bits; 0 stands for "choose one" in E2SAR.
fn entropy(mixed: u64) -> u16 {
    u16::try_from(mixed >> 48).expect("16 bits are left").max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn events_in_a_row_take_every_slot_once_whatever_the_clock_says() {
        for version in [Version::V2, Version::V3] {
            let spread = Spread { version, producer: 3 };
            let mut seen = [0; 512];
            for sequence in 1000..1512 {
                let (tick, slot, _) = spread.select(sequence, 1_790_000_000_000_000 + sequence * 512);
                let taken = if version == Version::V2 { tick % 512 } else { u64::from(slot) };
                seen[usize::try_from(taken).unwrap()] += 1;
            }
            assert_eq!(seen, [1; 512], "{version:?}");
        }
    }

    #[test]
    fn events_for_one_slot_stay_in_it_and_use_every_port() {
        for version in [Version::V2, Version::V3] {
            let spread = Spread { version, producer: 3 };
            let mut ports = [0; 4];
            for sequence in 0..4000 {
                let clock_us = 1_790_000_000_000_000 + sequence * 77;
                let (tick, entropy) = spread.within(200, sequence, clock_us);
                assert!(tick.abs_diff(clock_us) < 512 && (version == Version::V3 || tick % 512 == 200));
                ports[usize::from(entropy % 4)] += 1;
            }
            assert!(ports.iter().all(|count| (850..1150).contains(count)), "{ports:?}");
        }
    }

    #[test]
    fn ticks_stay_near_the_clock() {
        let spread = Spread { version: Version::V2, producer: 9 };
        for sequence in 0..2000 {
            let clock = 1_790_000_000_000_000 + sequence * 77;
            assert!(spread.select(sequence, clock).0.abs_diff(clock) < 512);
        }
    }

    #[test]
    fn ports_are_used_evenly_within_a_slot_and_within_a_row() {
        let spread = Spread { version: Version::V3, producer: 1 };
        let mut by_port = BTreeMap::new();
        let mut by_slot = BTreeMap::new();
        for sequence in 0..512 * 64 {
            let (_, slot, entropy) = spread.select(sequence, 0);
            assert_ne!(entropy, 0);
            *by_port.entry(entropy % 4).or_insert(0) += 1;
            *by_slot.entry((slot, entropy % 4)).or_insert(0) += 1;
        }
        assert!(by_port.values().all(|count| (7_500..8_900).contains(count)), "{by_port:?}");
        assert_eq!(by_slot.len(), 512 * 4, "each slot uses each port");
    }
}
