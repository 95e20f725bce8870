//! The number of events of each message: it follows from the key, so that both ends know it.

use crate::draws::Draws;
use profile::Events;
use std::sync::Arc;

/// Numbers of events of a run's messages.
#[derive(Debug, Clone)]
pub struct EventCount {
    seed: u64,
    law: Law,
}

#[derive(Debug, Clone)]
enum Law {
    Fixed(u32),
    Uniform {
        least: u32,
        span: u32,
    },
    /// For 1, 2 ... events, the probability of at most that many, in units of 2^-32.
    Table(Arc<[u32]>),
}

impl EventCount {
    /// For messages with `events` events.
    pub fn new(seed: u64, events: Events) -> Self {
        let law = match events {
            Events::Fixed(n) => Law::Fixed(n.get()),
            Events::Uniform(least, most) => {
                Law::Uniform { least: least.get(), span: most.get().saturating_sub(least.get()).saturating_add(1) }
            }
            Events::Poisson(mean) => Law::Table(poisson(mean.get(), events.max())),
        };
        Self { seed, law }
    }

    /// Events of the body with this key.
    pub fn of(&self, producer: u32, key: u64) -> u32 {
        if let Law::Fixed(n) = self.law {
            return n;
        }
        let mut draws = Draws::new(self.seed, "events", producer, key);
        match &self.law {
            Law::Fixed(n) => *n,
            Law::Uniform { least, span } => least + draws.below(*span),
            Law::Table(table) => {
                let draw = (draws.bits() >> 32) as u32;
                1 + table.partition_point(|at_most| *at_most <= draw) as u32
            }
        }
    }
}

/// Poisson's distribution from 1 to `most`, scaled to 1. Weights are relative to that of the mean: they need only
/// products and quotients, which are the same on every machine, and not e^-mean, which underflows for a large mean.
fn poisson(mean: u32, most: u32) -> Arc<[u32]> {
    let mut weights = vec![0.0; most as usize + 1];
    weights[mean as usize] = 1.0;
    for k in mean as usize + 1..=most as usize {
        weights[k] = weights[k - 1] * f64::from(mean) / k as f64;
    }
    for k in (1..mean as usize).rev() {
        weights[k] = weights[k + 1] * (k + 1) as f64 / f64::from(mean);
    }
    let all: f64 = weights.iter().sum();
    let mut sum = 0.0;
    // The last entry is left out: a draw above all others means the largest number.
    weights[1..most as usize]
        .iter()
        .map(|weight| {
            sum += weight;
            (sum / all * 4_294_967_296.0) as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(text: &str) -> Vec<u32> {
        let events: Events = text.parse().unwrap();
        let count = EventCount::new(1, events);
        let all: Vec<u32> = (0..40_000).map(|key| count.of(3, key)).collect();
        assert!(all.iter().all(|n| (events.min()..=events.max()).contains(n)), "{text}");
        all
    }

    fn mean_and_variance(counts: &[u32]) -> (f64, f64) {
        let n = counts.len() as f64;
        let mean = counts.iter().map(|c| f64::from(*c)).sum::<f64>() / n;
        (mean, counts.iter().map(|c| (f64::from(*c) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn each_law_has_its_mean_and_variance() {
        for (text, mean, variance) in
            [("8", 8.0, 0.0), ("uniform:4-12", 8.0, 80.0 / 12.0), ("poisson:8", 8.0, 8.0), ("poisson:2000", 2e3, 2e3)]
        {
            let (m, v) = mean_and_variance(&counts(text));
            assert!((m - mean).abs() <= 4.0 * (variance / 40_000.0f64).sqrt() + 0.01, "{text}: mean {m}");
            assert!((v - variance).abs() <= variance * 0.05, "{text}: variance {v}");
        }
    }

    #[test]
    fn poisson_of_one_never_gives_none_and_has_the_mean_that_follows() {
        // Given that there is at least one: 1 / (1 - e^-1).
        let (mean, _) = mean_and_variance(&counts("poisson:1"));
        assert!((mean - 1.582).abs() < 0.02, "{mean}");
    }

    #[test]
    fn the_ends_of_a_range_occur() {
        let all = counts("uniform:4-12");
        assert!(all.contains(&4) && all.contains(&12));
    }

    #[test]
    fn a_count_depends_on_producer_and_key_and_on_nothing_else() {
        let count = EventCount::new(1, "poisson:50".parse().unwrap());
        let of = |producer| (0..20).map(|key| count.of(producer, key)).collect::<Vec<_>>();
        assert_eq!(of(0), of(0));
        assert_ne!(of(0), of(1));
    }
}
