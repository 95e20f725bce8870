//! Which tick senders will have at a given time.

use crate::wire::Sync;
use std::collections::VecDeque;

/// Samples that a rate is estimated from, where senders do not report it.
const SAMPLES: usize = 10;
/// How long the control plane's own clock stands in for synchronization packets.
const SEED_US: u64 = 60_000_000;
const HERTZ_OF_SEED: u32 = 1_000_000;

#[derive(Debug, Clone, Copy)]
struct Sample {
    tick: u64,
    hertz: u32,
    at_us: u64,
}

/// What is known about the ticks of a reservation's senders.
#[derive(Debug)]
pub struct Prediction {
    seed: Sample,
    samples: VecDeque<Sample>,
}

impl Prediction {
    /// Begins with the assumption that ticks are microseconds since 1970.
    pub fn new(now_us: u64) -> Self {
        let seed = Sample { tick: now_us, hertz: HERTZ_OF_SEED, at_us: now_us };
        Self { seed, samples: VecDeque::new() }
    }

    /// Takes a packet that arrived now. Only the newest one counts, whoever sent it.
    pub fn add(&mut self, sync: &Sync, now_us: u64) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { tick: sync.tick, hertz: sync.hertz, at_us: now_us });
    }

    /// The tick at `ahead_us` after now; `None` if nothing is known.
    pub fn tick_at(&self, now_us: u64, ahead_us: u64) -> Option<u64> {
        let newest = match self.samples.back() {
            Some(sample) => *sample,
            None if now_us.saturating_sub(self.seed.at_us) <= SEED_US => self.seed,
            None => return None,
        };
        let elapsed_ms = now_us.saturating_add(ahead_us).saturating_sub(newest.at_us) / 1000;
        let ticks = match newest.hertz {
            0 => self.slope() * elapsed_ms as f64,
            hertz => f64::from(hertz) / 1000.0 * elapsed_ms as f64,
        };
        Some(newest.tick.saturating_add(ticks as u64))
    }

    /// Ticks for each millisecond, by least squares over the samples.
    fn slope(&self) -> f64 {
        let Some(first) = self.samples.front() else { return 0.0 };
        let points = self.samples.iter().map(|sample| {
            let ms = sample.at_us.saturating_sub(first.at_us) as f64 / 1000.0;
            (ms, sample.tick as f64 - first.tick as f64)
        });
        let n = self.samples.len() as f64;
        let (sum_x, sum_y) = points.clone().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        let (mean_x, mean_y) = (sum_x / n, sum_y / n);
        let (above, below) = points.fold((0.0, 0.0), |(above, below), (x, y)| {
            (above + (x - mean_x) * (y - mean_y), below + (x - mean_x).powi(2))
        });
        if below > 0.0 { (above / below).max(0.0) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(tick: u64, hertz: u32) -> Sync {
        Sync { source: 1, tick, hertz, unix_ns: 0 }
    }

    #[test]
    fn the_first_minute_is_predicted_by_the_own_clock_and_then_nothing() {
        let prediction = Prediction::new(5_000_000);
        assert_eq!(prediction.tick_at(6_000_000, 800_000), Some(6_800_000));
        assert_eq!(prediction.tick_at(66_000_000, 800_000), None);
    }

    #[test]
    fn the_newest_packet_is_extrapolated_at_its_rate() {
        let mut prediction = Prediction::new(0);
        prediction.add(&sync(77, 1), 1_000_000);
        prediction.add(&sync(10_000, 2000), 2_000_000);
        assert_eq!(prediction.tick_at(3_000_000, 500_000), Some(13_000));
    }

    #[test]
    fn a_rate_that_is_not_reported_is_estimated_from_ten_packets() {
        let mut prediction = Prediction::new(0);
        prediction.add(&sync(0, 0), 0);
        assert_eq!(prediction.tick_at(9_000_000, 0), Some(0), "one packet has no rate");
        for second in 0..10 {
            prediction.add(&sync(1000 + 250 * second, 0), (1 + second) * 1_000_000);
        }
        assert_eq!(prediction.tick_at(10_000_000, 4_000_000), Some(4250));
    }
}
