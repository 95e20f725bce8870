//! Random numbers of a plan's seed: delays of workers, and times at which messages are due.

use profile::{Arrivals, COUNT_BITS, Delay, Load};

/// Separates the draws of schedules from those of delays.
const SCHEDULE: u64 = 0x5c4e_d01e;

/// Numbers drawn by one worker for one purpose: SplitMix64 as published.
#[derive(Debug, Clone)]
pub struct Draws(u64);

impl Draws {
    /// Those of `worker` for a purpose.
    pub fn new(seed: u64, purpose: u64, worker: u32) -> Self {
        let mut draws = Self(seed ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        draws.0 = draws.next() ^ u64::from(worker);
        draws
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Exponentially distributed with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// A delay in nanoseconds.
    pub fn delay_ns(&mut self, delay: Delay) -> u64 {
        match delay {
            Delay::Constant(mean) => mean.as_nanos() as u64,
            Delay::Exponential(mean) => (self.exponential() * mean.as_nanos() as f64).round() as u64,
            Delay::Uniform(from, to) => {
                let (from, to) = (from.as_nanos() as f64, to.as_nanos() as f64);
                (from + self.unit() * (to - from)).round() as u64
            }
        }
    }
}

/// When each message of one producer is due, as the harness has it: with even arrivals producer `p` of `P` takes messages
/// `p`, `p + P` and so on of all; with random arrivals each draws its own at 1/`P` of the rate.
#[derive(Debug, Clone)]
pub struct Schedule {
    load: Load,
    producers: u128,
    random: Option<Draws>,
    count: u128,
    /// When the next message is due; `None` if there are no more.
    pub due_ns: Option<u64>,
}

impl Schedule {
    /// That of `producer` of `producers`; `None` if the load has no schedule.
    pub fn new(load: &Load, seed: u64, producer: u32, producers: u32) -> Option<Self> {
        if !load.is_paced() {
            return None;
        }
        let random = (load.arrivals == Arrivals::Poisson).then(|| Draws::new(seed, SCHEDULE, producer));
        let count = u128::from(producer) << COUNT_BITS;
        let mut schedule = Self { load: load.clone(), producers: u128::from(producers), random, count, due_ns: None };
        if schedule.random.is_some() {
            schedule.count = schedule.gap();
        }
        schedule.due_ns = schedule.load.due_ns(schedule.count);
        Some(schedule)
    }

    /// Moves on to the next message.
    pub fn advance(&mut self) {
        self.count += self.gap();
        self.due_ns = self.load.due_ns(self.count);
    }

    fn gap(&mut self) -> u128 {
        let one = 1u128 << COUNT_BITS;
        let gap = self.random.as_mut().map_or(one, |draws| (draws.exponential() * one as f64).round() as u128);
        gap * self.producers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn delays_have_their_mean_and_workers_draw_apart() {
        let mean = Duration::from_millis(2);
        for delay in [Delay::Constant(mean), Delay::Exponential(mean), Delay::Uniform(mean / 2, mean * 3 / 2)] {
            let mut draws = Draws::new(7, 1, 2);
            let sum: u64 = (0..20_000).map(|_| draws.delay_ns(delay)).sum();
            assert!((sum as f64 / 20_000.0 / 2e6 - 1.0).abs() < 0.03, "{delay}: {sum}");
        }
        let first = |seed, purpose, worker| Draws::new(seed, purpose, worker).next();
        assert_eq!(first(1, 1, 1), first(1, 1, 1));
        assert!([first(2, 1, 1), first(1, 2, 1), first(1, 1, 2)].iter().all(|other| *other != first(1, 1, 1)));
    }
}
