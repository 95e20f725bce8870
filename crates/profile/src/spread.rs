//! The assignment of workers to several addresses. Pure arithmetic, the same on every rank.

use crate::values::unknown;
use serde::{Deserialize, Serialize};
use std::{fmt, num::NonZeroU32, str::FromStr};

/// How the workers of a side spread over its addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// Worker `i` of `n` uses address `i * addresses / n`: neighbours share one, as ranks do with several proxy ports.
    Block,
    /// Worker `i` uses address `i mod addresses`.
    RoundRobin,
    /// A random address with equal probability, drawn from the plan's seed, so that a run can be repeated.
    Random,
    /// All use this address, counted from 1. `single` is the first.
    Pinned(NonZeroU32),
}

impl Spread {
    /// The address, from 0, of worker `index` of `workers`. `seed` is the plan's, different for each side.
    pub fn of(self, index: u32, workers: u32, addresses: u32, seed: u64) -> u32 {
        match self {
            Self::Block => (u64::from(index) * u64::from(addresses) / u64::from(workers)) as u32,
            Self::RoundRobin => index % addresses,
            Self::Random => ((u128::from(mixed(seed, index)) * u128::from(addresses)) >> 64) as u32,
            // A side with one address has no choice; `fits` has checked the others.
            Self::Pinned(address) => (address.get() - 1).min(addresses - 1),
        }
    }

    /// Whether it is possible with this many addresses. With one address, every spread is.
    pub fn fits(self, addresses: usize) -> bool {
        match self {
            Self::Pinned(address) => addresses <= 1 || address.get() as usize <= addresses,
            _ => true,
        }
    }
}

/// SplitMix64 as published: every bit of the result depends on every bit of seed and index.
fn mixed(seed: u64, index: u32) -> u64 {
    let mut z = seed.wrapping_add(u64::from(index).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl FromStr for Spread {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "block" => Ok(Self::Block),
            "round-robin" => Ok(Self::RoundRobin),
            "random" => Ok(Self::Random),
            "single" => Ok(Self::Pinned(NonZeroU32::MIN)),
            number => number.parse().map(Self::Pinned).or_else(|_| {
                unknown("a spread", text, &["round-robin", "block", "random", "single", "the number of an address"])
            }),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Block => f.write_str("block"),
            Self::RoundRobin => f.write_str("round-robin"),
            Self::Random => f.write_str("random"),
            Self::Pinned(NonZeroU32::MIN) => f.write_str("single"),
            Self::Pinned(address) => write!(f, "{address}"),
        }
    }
}

impl Serialize for Spread {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Spread {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Spread;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`round-robin`, `block`, `random`, `single` or the number of an address")
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Spread, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Spread, E> {
                number.to_string().parse().map_err(E::custom)
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Spread, E> {
                text.parse().map_err(E::custom)
            }
        }
        // Messages between ranks do not describe themselves, so they always contain the text.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Visitor)
        } else {
            deserializer.deserialize_str(Visitor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(spread: &str, workers: u32, addresses: u32, seed: u64) -> Vec<u32> {
        let spread: Spread = spread.parse().unwrap();
        (0..workers).map(|index| spread.of(index, workers, addresses, seed)).collect()
    }

    #[test]
    fn each_spread_assigns_workers_to_its_addresses() {
        assert_eq!(all("round-robin", 5, 3, 1), [0, 1, 2, 0, 1]);
        assert_eq!(all("single", 3, 3, 1), [0, 0, 0]);
        assert_eq!(all("3", 2, 3, 1), [2, 2]);
        assert_eq!(all("3", 2, 1, 1), [0, 0], "one address leaves no choice");
        // The published mapping, rank / (ranks / ports), is out of range here.
        assert_eq!(all("block", 10, 4, 1), [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]);
        assert_eq!(all("block", 2, 4, 1), [0, 2]);
    }

    #[test]
    fn a_random_spread_repeats_with_its_seed_and_uses_every_address() {
        let drawn = all("random", 300, 3, 7);
        assert_eq!(drawn, all("random", 300, 3, 7));
        assert_ne!(drawn, all("random", 300, 3, 8));
        for address in 0..3 {
            let count = drawn.iter().filter(|one| **one == address).count();
            assert!((70..=130).contains(&count), "address {address}: {count} of 300");
        }
    }

    #[test]
    fn a_spread_is_read_as_it_is_written_and_a_wrong_one_is_rejected_with_the_right_ones() {
        for text in ["round-robin", "block", "random", "single", "2"] {
            assert_eq!(text.parse::<Spread>().map(|spread| spread.to_string()).as_deref(), Ok(text));
        }
        for wrong in ["rondom", "0", "-1"] {
            let error = wrong.parse::<Spread>().unwrap_err();
            assert!(error.contains("round-robin, block, random, single"), "{error}");
        }
        let three = "3".parse::<Spread>().unwrap();
        assert!(three.fits(3) && three.fits(1) && !three.fits(2));
    }
}
