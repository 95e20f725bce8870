//! The random numbers of a body: a fixed sequence for each (seed, what, producer, key).

/// SplitMix64: a counter through a fixed, well-mixed bijection. Our own implementation, because messages depend on
/// these numbers and must not change with a library; a few cycles each, since fresh bodies draw them while streaming.
/// Source: Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014).
#[derive(Debug, Clone)]
pub struct Draws(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    /// The sequence of a body (`key` is its message or its slot), or of anything else named by `what`.
    pub fn new(seed: u64, what: &str, producer: u32, key: u64) -> Self {
        let name = what.bytes().fold(0, |name, byte| mix(name ^ u64::from(byte)));
        Self(mix(mix(mix(seed ^ name) ^ u64::from(producer)) ^ key))
    }

    /// 64 random bits.
    #[inline]
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    /// A number below `limit`; the bias of at most limit / 2^32 does not matter here.
    #[inline]
    pub fn below(&mut self, limit: u32) -> u32 {
        (((self.bits() >> 32) * u64::from(limit)) >> 32) as u32
    }

    /// A number from 0 to 1 in steps of 2^-24, exact in single precision.
    pub fn unit(&mut self) -> f32 {
        self.below(1 << 24) as f32 / (1 << 24) as f32
    }
}

/// One step of the sequence from `value`.
pub fn mix(value: u64) -> u64 {
    scramble(value.wrapping_add(GOLDEN))
}

#[inline]
fn scramble(value: u64) -> u64 {
    let value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_sequence_is_splitmix64() {
        // The first numbers from seed 0 of the published reference implementation.
        let mut draws = Draws(0);
        assert_eq!([draws.bits(), draws.bits()], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    }

    #[test]
    fn seeds_names_producers_and_keys_have_sequences_of_their_own() {
        let mut seen = HashSet::new();
        for seed in 0..4 {
            for what in ["a", "b", "ab", "ba"] {
                for (producer, key) in (0..4).flat_map(|producer| (0..4).map(move |key| (producer, key))) {
                    assert!(seen.insert(Draws::new(seed, what, producer, key).bits()));
                }
            }
        }
    }

    #[test]
    fn numbers_stay_below_their_limit_and_reach_it() {
        let mut draws = Draws::new(1, "test", 0, 0);
        let seen: HashSet<_> = (0..1000).map(|_| draws.below(7)).collect();
        assert_eq!(seen, (0..7).collect());
    }
}
