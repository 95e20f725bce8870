//! Which bytes of an event are there.

use std::ops::Range;

/// How a segment relates to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placed {
    /// None of its bytes was there.
    New,
    /// All of its bytes were there.
    Within,
    /// Some of its bytes were there.
    Across,
}

/// Disjoint ranges that do not touch, in ascending order. In order of arrival it is a single one.
#[derive(Debug, Default)]
pub struct Coverage {
    ranges: Vec<Range<usize>>,
    bytes: usize,
}

impl Coverage {
    /// How many bytes are there.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a range if none of it was there.
    pub fn add(&mut self, range: Range<usize>) -> Placed {
        // The first one that ends at or after the start of the new one.
        let at = match self.ranges.last() {
            Some(last) if last.end < range.start => self.ranges.len(),
            _ => self.ranges.partition_point(|known| known.end < range.start),
        };
        if let Some(known) = self.ranges.get(at) {
            if known.start <= range.start && range.end <= known.end && !range.is_empty() {
                return Placed::Within;
            }
            let touches_end = known.end == range.start;
            let overlapped = if touches_end { self.ranges.get(at + 1) } else { Some(known) };
            if overlapped.is_some_and(|known| known.start < range.end) {
                return Placed::Across;
            }
        }
        self.bytes += range.len();
        self.join(at, range);
        Placed::New
    }

    /// Inserts a range that overlaps none, and joins it with those it touches.
    fn join(&mut self, at: usize, range: Range<usize>) {
        let follows = self.ranges.get(at).is_some_and(|known| known.end == range.start);
        let next = if follows { at + 1 } else { at };
        let precedes = self.ranges.get(next).is_some_and(|known| known.start == range.end);
        match (follows, precedes) {
            (true, true) => self.ranges[at].end = self.ranges.remove(next).end,
            (true, false) => self.ranges[at].end = range.end,
            (false, true) => self.ranges[at].start = range.start,
            (false, false) => self.ranges.insert(at, range),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn ranges_in_any_order_are_judged_as_byte_by_byte() {
        for seed in 0..500 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut there = [false; 64];
            let mut coverage = Coverage::default();
            for _ in 0..60 {
                let start = random.random_range(0..63);
                let end = random.random_range(start + 1..=64.min(start + 9));
                let known = there[start..end].iter().filter(|there| **there).count();
                let expected = match known {
                    0 => Placed::New,
                    all if all == end - start => Placed::Within,
                    _ => Placed::Across,
                };
                assert_eq!(coverage.add(start..end), expected, "seed {seed}, {start}..{end} in {coverage:?}");
                if expected == Placed::New {
                    there[start..end].fill(true);
                }
                assert_eq!(coverage.bytes(), there.iter().filter(|there| **there).count());
                let apart = coverage.ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
                assert!(apart, "seed {seed}: {coverage:?}");
            }
        }
    }
}
