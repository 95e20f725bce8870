//! The fate of each packet, drawn from a seed. Pure: the caller owns the clock.

use crate::Conditions;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost,
    /// It arrives at this time, after all that left before it.
    InOrder { due_ns: u64 },
    /// It arrives at this time, and others overtake it.
    HeldBack { due_ns: u64 },
}

/// Draws the fates of one direction.
#[derive(Debug)]
pub struct Fates {
    conditions: Conditions,
    random: ChaCha8Rng,
    wander: Wander,
}

impl Fates {
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self { conditions, random: ChaCha8Rng::seed_from_u64(seed), wander: Wander::default() }
    }

    /// The fate of a packet that leaves now.
    pub fn draw(&mut self, now_ns: u64) -> Fate {
        let Conditions { delay, jitter, loss, reorder } = self.conditions;
        if loss > 0.0 && self.random.random::<f64>() < loss {
            return Fate::Lost;
        }
        let jitter_ns = jitter.as_nanos() as f64;
        let aside_ns = if jitter.is_zero() { 0.0 } else { self.wander.at(now_ns, jitter_ns, &mut self.random) };
        let due_ns = (now_ns + delay.as_nanos() as u64).saturating_add_signed(aside_ns as i64);
        if reorder > 0.0 && self.random.random::<f64>() < reorder {
            return Fate::HeldBack { due_ns: due_ns + Conditions::HELD_BACK.as_nanos() as u64 };
        }
        Fate::InOrder { due_ns }
    }
}

/// A value that moves on straight lines between points drawn at regular times.
#[derive(Debug, Default)]
struct Wander {
    /// The number of the line, counted from the start of the clock.
    line: Option<u64>,
    from: f64,
    to: f64,
}

impl Wander {
    /// Points are four times the largest value apart, so the steepest line falls by half of the time that passes: a packet
    /// never overtakes one that left before it.
    const POINTS_APART: f64 = 4.0;

    fn at(&mut self, now_ns: u64, largest_ns: f64, random: &mut ChaCha8Rng) -> f64 {
        let mut point = || (random.random::<f64>() * 2.0 - 1.0) * largest_ns;
        let position = now_ns as f64 / (largest_ns * Self::POINTS_APART);
        let line = position as u64;
        if self.line != Some(line) {
            self.from = if self.line.is_some_and(|before| before + 1 == line) { self.to } else { point() };
            self.to = point();
            self.line = Some(line);
        }
        self.from + (self.to - self.from) * (position - line as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const DELAY_NS: u64 = 30_000_000;

    fn fates(jitter_us: u64, loss: f64, reorder: f64) -> Fates {
        let jitter = Duration::from_micros(jitter_us);
        Fates::new(Conditions { delay: Duration::from_nanos(DELAY_NS), jitter, loss, reorder }, 7)
    }

    #[test]
    fn without_chance_each_packet_is_due_after_the_delay() {
        let mut fates = fates(0, 0.0, 0.0);
        assert_eq!(fates.draw(5), Fate::InOrder { due_ns: 5 + DELAY_NS });
        assert_eq!(fates.draw(5), Fate::InOrder { due_ns: 5 + DELAY_NS });
    }

    #[test]
    fn as_many_are_lost_and_held_back_as_requested_and_a_seed_repeats_them() {
        let draw = || {
            let mut fates = fates(0, 0.02, 0.1);
            (0..100_000).map(|now_ns| fates.draw(now_ns)).collect::<Vec<_>>()
        };
        let all = draw();
        let lost = all.iter().filter(|fate| **fate == Fate::Lost).count();
        let held_back = all.iter().filter(|fate| matches!(fate, Fate::HeldBack { .. })).count();
        assert!((1800..2200).contains(&lost), "{lost}");
        assert!((9400..10_200).contains(&held_back), "{held_back}");
        assert_eq!(all, draw());
    }

    #[test]
    fn jitter_stays_within_its_bounds_keeps_the_mean_and_the_order() {
        let mut fates = fates(1000, 0.0, 0.0);
        let (mut last, mut sum, mut extremes) = (0, 0.0, [0.0_f64, 0.0]);
        // Every 50 us, with a pause now and then, in which lines are passed over.
        let times = (0..200_000_u64).map(|number| number * 50_000 + number / 1000 * 50_000_000);
        for now_ns in times {
            let Fate::InOrder { due_ns } = fates.draw(now_ns) else {
                panic!("neither loss nor reordering is requested")
            };
            assert!(due_ns >= last, "order");
            last = due_ns;
            let aside = due_ns as f64 - (now_ns + DELAY_NS) as f64;
            assert!(aside.abs() <= 1e6, "{aside}");
            sum += aside;
            extremes = [extremes[0].min(aside), extremes[1].max(aside)];
        }
        assert!((sum / 2e5).abs() < 50_000.0, "mean {sum}");
        assert!(extremes[0] < -8e5 && extremes[1] > 8e5, "{extremes:?}");
    }
}
