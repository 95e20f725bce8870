//! Delays per message: service time of a consumer, think time of a producer.

use crate::time::clock::Clock;
use profile::Delay;
use std::time::Duration;

/// Resolution of timers. Shorter delays are accumulated, and oversleeping is subtracted, so that the mean is exact for
/// any delay (D12).
const GRAIN_NS: u64 = 1_000_000;
const OVERSLEPT_MAX_NS: u64 = 3_000_000;

/// The delays of one worker, drawn from the run's seed.
#[derive(Debug, Clone)]
pub struct Delays {
    delay: Delay,
    random: u64,
    free_ns: u64,
}

impl Delays {
    /// Delays of one worker; `salt` gives two workers different draws.
    pub fn new(delay: Delay, seed: u64, salt: u64) -> Self {
        Self { delay, random: seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15), free_ns: 0 }
    }

    /// Begins the next delay at `now_ns`; returns how long to sleep, or `None` if the accumulated time is still too
    /// short.
    pub fn begin(&mut self, now_ns: u64) -> Option<Duration> {
        let start_ns = self.free_ns.max(now_ns.saturating_sub(OVERSLEPT_MAX_NS));
        self.free_ns = start_ns + self.draw_ns();
        let left_ns = self.free_ns.saturating_sub(now_ns);
        (left_ns >= GRAIN_NS).then_some(Duration::from_nanos(left_ns))
    }

    fn draw_ns(&mut self) -> u64 {
        let ns = |time: Duration| time.as_nanos() as f64;
        match self.delay {
            Delay::Constant(time) => time.as_nanos() as u64,
            Delay::Exponential(mean) => (-(1.0 - unit(&mut self.random)).ln() * ns(mean)) as u64,
            Delay::Uniform(from, to) => (ns(from) + unit(&mut self.random) * ns(to - from)) as u64,
        }
    }
}

/// SplitMix64's next number, from 0 to 1, without 1.
pub(crate) fn unit(random: &mut u64) -> f64 {
    *random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
    (mixed(*random) >> 11) as f64 / (1u64 << 53) as f64
}

/// SplitMix64's output function: neighbouring inputs give unrelated outputs.
pub(crate) fn mixed(mut z: u64) -> u64 {
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Sleeps for a delay of `delays`, if there are any.
pub(crate) async fn pass(delays: Option<&mut Delays>, clock: Clock) {
    if let Some(sleep) = delays.and_then(|delays| delays.begin(clock.now_ns())) {
        tokio::time::sleep(sleep).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The mean of many delays, if each begins as soon as the sleep before it is over, and a sleep takes up to a grain
    /// longer than requested.
    fn mean_ns(delay: Delay, overslept_ns: u64) -> f64 {
        let (mut delays, mut now_ns) = (Delays::new(delay, 1, 2), 1_000_000_000);
        let start_ns = now_ns;
        const COUNT: u32 = 20_000;
        for _ in 0..COUNT {
            if let Some(sleep) = delays.begin(now_ns) {
                now_ns += sleep.as_nanos() as u64 + overslept_ns;
            }
        }
        (now_ns - start_ns) as f64 / f64::from(COUNT)
    }

    #[test]
    fn the_mean_is_the_requested_one_at_any_length() {
        for mean_us in [10, 300, 1_000, 7_000] {
            let mean = Duration::from_micros(mean_us);
            for delay in [Delay::Constant(mean), Delay::Exponential(mean), Delay::Uniform(mean / 2, mean * 3 / 2)] {
                let found = mean_ns(delay, 900_000) / mean.as_nanos() as f64;
                assert!((found - 1.0).abs() < 0.05, "{delay}: {found}");
            }
        }
    }

    #[test]
    fn idle_time_is_not_saved_up() {
        let mut delays = Delays::new(Delay::Constant(Duration::from_millis(10)), 1, 1);
        assert!(delays.begin(1_000_000_000).is_some());
        let after_a_long_rest = delays.begin(9_000_000_000).expect("a whole delay, or nearly");
        assert!(after_a_long_rest >= Duration::from_millis(7), "{after_a_long_rest:?}");
    }

    #[test]
    fn two_workers_draw_apart_and_a_seed_draws_alike() {
        let mut draws = [(1, 1), (1, 2), (2, 1), (1, 1)]
            .map(|(seed, salt)| Delays::new(Delay::Exponential(Duration::from_secs(1)), seed, salt));
        let [a, b, c, d] = draws.each_mut().map(|delays| delays.draw_ns());
        assert!(a != b && a != c && a == d);
    }
}
