//! Replies that are vectors of numbers: each consumer makes its own, and the producer adds them up, as data-parallel training does
//! with gradients.
//!
//! Numbers are whole, from 1 to 1,024, and implied by the seed. They are added up as `f64`: so the sum is exact whatever the order of
//! replies, the producer can compute what it has to be, and one changed bit of one number shows.

use std::collections::BTreeMap;

/// Bytes of a number: an `f32`, little endian.
pub const NUMBER_BYTES: usize = 4;
/// The largest number. None is 0, whose lowest bits would vanish in a sum.
const LARGEST: u32 = 1 << 10;
/// Most messages whose replies are added up at the same time. Replies to older ones are counted and not added.
const OPEN_MAX: usize = 1 << 10;

/// Adds up the replies to each message of a producer.
#[derive(Debug)]
pub struct Reduction {
    seed: u64,
    consumers: u32,
    /// Whether the sum is divided by the number of consumers.
    is_mean: bool,
    open: BTreeMap<u64, Open>,
    spare: Vec<Vec<f64>>,
}

#[derive(Debug)]
struct Open {
    sum: Vec<f64>,
    replies: u32,
    /// Time spent on it so far.
    ns: u64,
}

/// A vector that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reduced {
    /// Time spent on adding its replies, and on the division of a mean.
    pub ns: u64,
    /// Whether every number is the one that the seed implies; `None` if that was not wanted.
    pub is_right: Option<bool>,
}

/// Writes the vector of a consumer for a message.
pub fn fill(seed: u64, sequence: u64, consumer: u32, bytes: usize, body: &mut Vec<u8>) {
    let first = first(seed, sequence, consumer);
    body.clear();
    let numbers = (0..bytes / NUMBER_BYTES).map(|place| number(first, place) as f32);
    body.extend(numbers.flat_map(f32::to_le_bytes));
}

impl Reduction {
    /// A reduction over so many consumers.
    pub fn new(seed: u64, consumers: u32, is_mean: bool) -> Self {
        Self { seed, consumers, is_mean, open: BTreeMap::new(), spare: Vec::new() }
    }

    /// Adds one reply; `Some` if it was the last one to its message. `now_ns` is a clock, and `checks` whether the result is
    /// compared with what it has to be.
    pub fn add(&mut self, sequence: u64, body: &[u8], checks: bool, now_ns: impl Fn() -> u64) -> Option<Reduced> {
        let began_ns = now_ns();
        let spare = &mut self.spare;
        let open = self.open.entry(sequence).or_insert_with(|| {
            let mut sum = spare.pop().unwrap_or_default();
            sum.clear();
            sum.resize(body.len() / NUMBER_BYTES, 0.0);
            Open { sum, replies: 0, ns: 0 }
        });
        let numbers = body.as_chunks::<NUMBER_BYTES>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
        open.sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        open.replies += 1;
        let is_last = open.replies == self.consumers;
        if is_last && self.is_mean {
            let consumers = f64::from(self.consumers);
            open.sum.iter_mut().for_each(|sum| *sum /= consumers);
        }
        open.ns += now_ns().saturating_sub(began_ns);
        if !is_last {
            if self.open.len() > OPEN_MAX {
                self.open.pop_first();
            }
            return None;
        }
        let Open { sum, ns, .. } = self.open.remove(&sequence)?;
        let is_right = checks.then(|| self.is_right(sequence, &sum));
        self.spare.push(sum);
        Some(Reduced { ns, is_right })
    }

    /// Compares with what the seed implies.
    fn is_right(&self, sequence: u64, sum: &[f64]) -> bool {
        let firsts: Vec<u32> = (0..self.consumers).map(|consumer| first(self.seed, sequence, consumer)).collect();
        sum.iter().enumerate().all(|(place, sum)| {
            let expected = f64::from(firsts.iter().map(|first| number(*first, place)).sum::<u32>());
            *sum == if self.is_mean { expected / f64::from(self.consumers) } else { expected }
        })
    }
}

/// The first number of a consumer's vector for a message (SplitMix64 over all three).
fn first(seed: u64, sequence: u64, consumer: u32) -> u32 {
    let mut mixed = seed ^ sequence.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(consumer).rotate_left(40);
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(factor);
    }
    (mixed >> 33) as u32 % LARGEST
}

fn number(first: u32, place: usize) -> u32 {
    1 + first.wrapping_add(place as u32) % LARGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reduced(is_mean: bool, spoil: impl Fn(u32, &mut Vec<u8>)) -> Vec<Reduced> {
        let mut reduction = Reduction::new(7, 3, is_mean);
        let (mut body, mut done) = (Vec::new(), Vec::new());
        // Replies of two messages, mixed and in different orders.
        for (sequence, consumer) in [(4, 2), (5, 0), (4, 0), (5, 2), (5, 1), (4, 1)] {
            fill(7, sequence, consumer, 40_000, &mut body);
            spoil(consumer, &mut body);
            done.extend(reduction.add(sequence, &body, true, || 0));
        }
        assert!(reduction.open.is_empty());
        done
    }

    #[test]
    fn sums_and_means_are_what_the_seed_implies_in_any_order() {
        for is_mean in [false, true] {
            assert_eq!(reduced(is_mean, |_, _| {}), [Reduced { ns: 0, is_right: Some(true) }; 2]);
        }
    }

    #[test]
    fn one_wrong_bit_of_one_consumer_is_found() {
        let spoil = |consumer, body: &mut Vec<u8>| {
            if consumer == 1 {
                body[400] ^= 1;
            }
        };
        assert_eq!(reduced(false, spoil), [Reduced { ns: 0, is_right: Some(false) }; 2]);
    }

    #[test]
    fn consumers_and_messages_have_vectors_of_their_own() {
        let vector = |sequence, consumer| {
            let mut body = Vec::new();
            fill(1, sequence, consumer, 64, &mut body);
            body
        };
        assert_ne!(vector(1, 0), vector(1, 1));
        assert_ne!(vector(1, 0), vector(2, 0));
        assert_eq!(vector(1, 0).len(), 64);
    }

    #[test]
    fn time_is_that_of_the_additions_alone() {
        let clock = std::cell::Cell::new(0);
        let now_ns = || {
            clock.set(clock.get() + 5);
            clock.get()
        };
        let mut reduction = Reduction::new(7, 2, false);
        let mut body = Vec::new();
        fill(7, 0, 0, 8, &mut body);
        assert_eq!(reduction.add(0, &body, false, now_ns), None);
        clock.set(1_000_000);
        fill(7, 0, 1, 8, &mut body);
        assert_eq!(reduction.add(0, &body, false, now_ns), Some(Reduced { ns: 10, is_right: None }));
    }
}
