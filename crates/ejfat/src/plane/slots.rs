//! Who gets which of the 512 slots.

use crate::{balance::NO_MEMBER, control::messages::SlotRange, wire::SLOTS};
use rand::{Rng, seq::SliceRandom};

const COUNT: usize = SLOTS as usize;

/// How slots are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// By weight, in random places.
    Dynamic,
    /// Demanded ones first, the rest by weight.
    Static,
    /// Demanded ones only.
    Explicit,
}

impl Strategy {
    /// Its name; empty is `dynamic`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "dynamic" => Some(Self::Dynamic),
            "static" => Some(Self::Static),
            "explicit" => Some(Self::Explicit),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dynamic => "dynamic",
            Self::Static => "static",
            Self::Explicit => "explicit",
        }
    }
}

/// What one receiver brings to the dealing.
#[derive(Debug, Clone)]
pub struct Share<'a> {
    pub member: u16,
    pub name: &'a str,
    pub weight: f64,
    /// Least and largest share as parts of an even one; a largest one of 0 is no limit.
    pub min_factor: f64,
    pub max_factor: f64,
    pub demands: &'a [SlotRange],
}

/// Deals a calendar. With `random`, places under `Dynamic` are shuffled.
pub fn deal(strategy: Strategy, shares: &mut [Share<'_>], random: Option<&mut impl Rng>) -> [u16; COUNT] {
    let mut calendar = [NO_MEMBER; COUNT];
    shares.sort_by(|a, b| b.name.cmp(a.name).then(b.member.cmp(&a.member)));
    if strategy != Strategy::Dynamic {
        for share in shares.iter() {
            share.demands.iter().for_each(|range| demand(&mut calendar, share.member, *range));
        }
    }
    if strategy != Strategy::Explicit {
        let free: Vec<usize> = (0..COUNT).filter(|slot| calendar[*slot] == NO_MEMBER).collect();
        for (slot, member) in free.iter().zip(in_turn(shares, &counts(shares))) {
            calendar[*slot] = member;
        }
    }
    if let (Strategy::Dynamic, Some(random)) = (strategy, random) {
        calendar.shuffle(random);
    }
    calendar
}

/// Gives a member the free slots of a range.
fn demand(calendar: &mut [u16; COUNT], member: u16, range: SlotRange) {
    let length = usize::try_from(range.length).unwrap_or(COUNT);
    let first = match usize::try_from(range.index) {
        Ok(first) => first,
        Err(_) => calendar.iter().position(|taken| *taken == NO_MEMBER).unwrap_or(COUNT),
    };
    for slot in calendar.iter_mut().skip(first).take(length).filter(|slot| **slot == NO_MEMBER) {
        *slot = member;
    }
}

/// How many slots each gets. Together they are at least all.
fn counts(shares: &[Share<'_>]) -> Vec<usize> {
    let sum: f64 = shares.iter().map(|share| share.weight).sum();
    let even = (COUNT / shares.len().max(1)) as f64;
    let limits = |share: &Share<'_>| {
        let most = if share.max_factor > 0.0 { (even * share.max_factor).round() } else { f64::from(SLOTS) };
        ((even * share.min_factor).round().min(most), most)
    };
    let mut counts: Vec<usize> = shares
        .iter()
        .map(|share| {
            let (least, most) = limits(share);
            // Without any weight at all the shares are even.
            let fair = if sum > 0.0 { (f64::from(SLOTS) * share.weight / sum).round() } else { even };
            fair.clamp(least, most) as usize
        })
        .collect();
    let mut left = COUNT.saturating_sub(counts.iter().sum());
    while left > 0 && !shares.is_empty() {
        let below: Vec<usize> = (0..shares.len()).filter(|at| (counts[*at] as f64) < limits(&shares[*at]).1).collect();
        // A slot of nobody would lose events; one above a limit does not.
        let takers = if below.is_empty() { (0..shares.len()).collect() } else { below };
        for at in takers.into_iter().take(left) {
            counts[at] += 1;
            left -= 1;
        }
    }
    counts
}

/// Members one after another until each has its count.
fn in_turn(shares: &[Share<'_>], counts: &[usize]) -> Vec<u16> {
    let rounds = counts.iter().max().copied().unwrap_or_default();
    (0..rounds)
        .flat_map(|round| {
            shares.iter().zip(counts).filter(move |(_, count)| **count > round).map(|(share, _)| share.member)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn share(member: u16, weight: f64, min_factor: f64, max_factor: f64) -> Share<'static> {
        let name = ["a", "b", "c", "d"][usize::from(member)];
        Share { member, name, weight, min_factor, max_factor, demands: &[] }
    }

    fn dealt(strategy: Strategy, mut shares: Vec<Share<'_>>) -> [u16; COUNT] {
        deal(strategy, &mut shares, None::<&mut ChaCha8Rng>)
    }

    fn count(calendar: &[u16; COUNT]) -> [usize; 4] {
        [0, 1, 2, 3].map(|member| calendar.iter().filter(|taken| **taken == member).count())
    }

    #[test]
    fn slots_follow_weights_within_the_factors_and_none_is_empty() {
        let even = dealt(Strategy::Dynamic, (0..3).map(|member| share(member, 1000.0, 0.0, 0.0)).collect());
        assert_eq!(count(&even), [170, 171, 171, 0]);
        let weighted = vec![share(0, 10.0, 0.5, 2.0), share(1, 1.0, 0.5, 2.0), share(2, 1.0, 0.5, 2.0)];
        assert_eq!(count(&dealt(Strategy::Dynamic, weighted)), [340, 86, 86, 0]);
        let capped = vec![share(0, 1.0, 0.0, 0.1), share(1, 1.0, 0.0, 0.1)];
        assert_eq!(count(&dealt(Strategy::Dynamic, capped)), [256, 256, 0, 0], "no slot is left empty");
        let weightless = vec![share(0, 0.0, 0.0, 0.0), share(1, 0.0, 0.0, 0.0)];
        assert_eq!(count(&dealt(Strategy::Dynamic, weightless)), [256, 256, 0, 0]);
    }

    #[test]
    fn minima_that_ask_for_too_much_leave_the_last_short() {
        let calendar = dealt(Strategy::Dynamic, vec![share(0, 1.0, 1.9, 0.0), share(1, 1.0, 1.9, 0.0)]);
        assert_eq!(count(&calendar).iter().sum::<usize>(), 512);
    }

    #[test]
    fn a_shuffle_moves_places_and_no_shares() {
        let mut shares = vec![share(0, 1.0, 0.0, 0.0), share(1, 3.0, 0.0, 0.0)];
        let plain = dealt(Strategy::Dynamic, shares.clone());
        let shuffled = deal(Strategy::Dynamic, &mut shares, Some(&mut ChaCha8Rng::seed_from_u64(1)));
        assert_ne!(plain, shuffled);
        assert_eq!((count(&plain), count(&shuffled)), ([128, 384, 0, 0], [128, 384, 0, 0]));
    }

    #[test]
    fn demanded_slots_are_given_under_static_and_explicit() {
        let first = [SlotRange { index: 5, length: 2 }, SlotRange { index: -1, length: 1 }];
        let second = [SlotRange { index: 6, length: 2 }, SlotRange { index: 600, length: 9 }];
        let shares = || {
            let (mut a, mut b) = (share(0, 1.0, 0.0, 0.0), share(1, 1.0, 0.0, 0.0));
            (a.demands, b.demands) = (&second, &first);
            vec![a, b]
        };
        let explicit = dealt(Strategy::Explicit, shares());
        assert_eq!(explicit[..9], [1, NO_MEMBER, NO_MEMBER, NO_MEMBER, NO_MEMBER, 1, 1, 0, NO_MEMBER]);
        let fixed = dealt(Strategy::Static, shares());
        assert_eq!((fixed[0], fixed[5], fixed[6], fixed[7]), (1, 1, 1, 0));
        assert!(!fixed.contains(&NO_MEMBER));
    }
}
