//! When each message of one producer is due. Pure arithmetic: the caller owns the clock.

use crate::time::delay::{mixed, unit};
use profile::{Arrivals, COUNT_BITS, Load};

/// Separates the draws of a schedule from all others of the same seed.
const SALT: u64 = 0x5c4e_d01e_0000_0000;
const ONE: u128 = 1 << COUNT_BITS;

/// Due times of one producer, ascending, in nanoseconds from the start of streaming.
///
/// The schedules of all producers together are the load. With even arrivals, producer `p` of `P` takes messages `p`,
/// `p + P`, `p + 2P` of it, so that producers do not send simultaneously; with random arrivals, each draws its own at
/// 1/`P` of the rate. The schedule never depends on which messages were sent, or when (open loop).
#[derive(Debug, Clone)]
pub struct Schedule {
    load: Load,
    producers: u128,
    /// State of the random gaps; `None` with even arrivals.
    random: Option<u64>,
    /// The place of the next message among those of all producers, with a fraction of [`COUNT_BITS`].
    count: u128,
    due_ns: Option<u64>,
}

impl Schedule {
    /// The schedule of `producer` of `producers`; `None` if the load has no schedule.
    pub fn new(load: &Load, seed: u64, producer: u32, producers: u32) -> Option<Self> {
        if !load.is_paced() {
            return None;
        }
        let random = (load.arrivals == Arrivals::Poisson).then(|| mixed(mixed(seed) ^ SALT ^ u64::from(producer)));
        let mut schedule = Self {
            load: load.clone(),
            producers: u128::from(producers),
            random,
            count: u128::from(producer) << COUNT_BITS,
            due_ns: None,
        };
        if random.is_some() {
            schedule.count = schedule.gap();
        }
        schedule.due_ns = load.due_ns(schedule.count);
        Some(schedule)
    }

    /// When the next message is due; `None` if there are no more.
    pub fn due_ns(&self) -> Option<u64> {
        self.due_ns
    }

    /// Moves on to the next message.
    pub fn advance(&mut self) {
        self.count += self.gap();
        self.due_ns = self.load.due_ns(self.count);
    }

    /// How many more are due before `at_ns`; with random arrivals, the expected number.
    pub fn left_before(&self, at_ns: u64) -> u64 {
        let ahead = self.load.due_before(at_ns) - self.count as f64 / ONE as f64;
        (ahead / self.producers as f64).ceil().max(0.0) as u64
    }

    fn gap(&mut self) -> u128 {
        let one = match &mut self.random {
            None => ONE,
            Some(random) => (-(1.0 - unit(random)).ln() * ONE as f64).round() as u128,
        };
        one * self.producers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    const S: u64 = 1_000_000_000;

    fn load(text: &str) -> Load {
        sample::plan(&format!("duration = '1s'\n[load]\n{text}"), 2).load
    }

    fn dues(schedule: &mut Schedule, count: usize) -> Vec<u64> {
        let mut next = || {
            let due = schedule.due_ns();
            schedule.advance();
            due
        };
        (0..count).map_while(|_| next()).collect()
    }

    /// The due times of all producers, in the order of time.
    fn together(load: &Load, seed: u64, producers: u32, each: usize) -> Vec<u64> {
        let of = |producer| dues(&mut Schedule::new(load, seed, producer, producers).unwrap(), each);
        let mut all: Vec<u64> = (0..producers).flat_map(of).collect();
        all.sort_unstable();
        all
    }

    #[test]
    fn the_same_seed_draws_the_same_schedule_and_another_one_another() {
        let load = load("rate = '1000/s'\narrivals = 'poisson'");
        let of = |seed, producer| dues(&mut Schedule::new(&load, seed, producer, 3).unwrap(), 1000);
        assert_eq!(of(1, 0), of(1, 0));
        assert_ne!(of(1, 0), of(2, 0));
        assert_ne!(of(1, 0), of(1, 1));
        assert!(of(1, 0).is_sorted());
    }

    #[test]
    fn producers_together_are_the_load_whatever_their_number() {
        for text in [
            "rate = '300000/s'",
            "rate = '1000/s'\narrivals = 'on-off:1s-4s'",
            "rate = '1000/s'\nphases = 'ramp 0..max over 3s'",
            "arrivals = 'trace'\ntrace = [0.0, 0.1, 0.15, 0.7]",
        ] {
            let load = load(text);
            let one = together(&load, 1, 1, 6000);
            for producers in [2, 3, 5] {
                assert_eq!(together(&load, 1, producers, 6000 / producers as usize), one, "{text} {producers}");
            }
        }
    }

    #[test]
    fn producers_at_a_constant_rate_never_send_in_step() {
        let all = together(&load("rate = '1000/s'"), 1, 4, 1000);
        assert!(all.windows(2).all(|pair| pair[1] - pair[0] == S / 1000));
    }

    #[test]
    fn random_gaps_have_the_mean_and_the_variance_of_a_poisson_process_also_when_added_up() {
        let load = load("rate = '1000/s'\narrivals = 'poisson'");
        for producers in [1, 8] {
            // Those of one producer end before those of another: what all have is before the first end.
            let each = 40_000;
            let of = |producer| dues(&mut Schedule::new(&load, 3, producer, producers).unwrap(), each);
            let all: Vec<Vec<u64>> = (0..producers).map(of).collect();
            let until = all.iter().filter_map(|dues| dues.last()).min().copied().unwrap();
            let mut all: Vec<u64> = all.into_iter().flatten().filter(|due_ns| *due_ns <= until).collect();
            all.sort_unstable();
            let gaps: Vec<f64> = all.windows(2).map(|pair| (pair[1] - pair[0]) as f64 / 1e6).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            // Of 40,000 gaps or more: four standard errors.
            assert!((mean - 1.0).abs() < 0.02, "{producers}: mean {mean} ms");
            assert!((variance - 1.0).abs() < 0.06, "{producers}: variance {variance} ms2");
        }
    }

    #[test]
    fn what_is_left_before_an_instant_is_what_would_follow() {
        for text in ["rate = '1000/s'", "rate = '1000/s'\nphases = 'ramp 0..max over 3s'"] {
            for (producer, taken, at_ns) in [(0, 0, 0), (0, 0, 2 * S), (2, 10, 2 * S + 1), (1, 900, S)] {
                let mut schedule = Schedule::new(&load(text), 1, producer, 3).unwrap();
                dues(&mut schedule, taken);
                let left = schedule.left_before(at_ns);
                let follow = dues(&mut schedule, 5000).iter().filter(|due_ns| **due_ns < at_ns).count() as u64;
                assert!(left.abs_diff(follow) <= 1, "{text}, {producer}: {left} {follow}");
            }
        }
        let mut random = Schedule::new(&load("rate = '1000/s'\narrivals = 'poisson'"), 1, 0, 1).unwrap();
        let left = random.left_before(10 * S);
        let follow = dues(&mut random, 20_000).iter().filter(|due_ns| **due_ns < 10 * S).count() as u64;
        assert!(left.abs_diff(follow) < 400, "{left} {follow}");
    }

    #[test]
    fn a_schedule_ends_where_its_phases_end_in_silence() {
        let load = load("rate = '10/s'\nphases = 'hold max for 1s, hold 0 for 1s'");
        assert_eq!(together(&load, 1, 3, 100).len(), 10);
    }
}
