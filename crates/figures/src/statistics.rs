//! What repetitions tell: medians with intervals, ratios of medians, and whether two samples differ.
//!
//! The run is the unit of repetition: messages of one run depend on each other. From [`BOOTSTRAP_RUNS`] runs on an
//! interval is the 95 % percentile bootstrap of the median (seeded: the same records give the same interval). With
//! fewer the bootstrap promises more than it keeps, so the interval is from the smallest to the largest, which covers
//! the true median with probability 1 - 2^(1-R) and no more; a single run has no interval.
//!
//! A median over few runs is one of few values, so what the bootstrap covers depends on R: on log-normal values it was
//! 94 % for R = 6, 93 % for 10, 94 % for 12, 16 and 30, but only 87 to 93 % for 7, 8, 13 to 15, 21 and 25.
//! Take 6 or 10.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Runs from which on the bootstrap is used.
pub const BOOTSTRAP_RUNS: usize = 6;
/// What a bootstrap interval is meant to cover.
pub const CONFIDENCE: f64 = 0.95;
const RESAMPLES: usize = 2_000;
const SEED: u64 = 0x5eed;
/// Tukey's fences.
const FENCE: f64 = 1.5;

/// A median over runs, and how well it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The median.
    pub median: f64,
    /// The interval; absent for a single run.
    pub interval: Option<Interval>,
    /// Each run's value, ascending. None is ever dropped.
    pub values: Vec<f64>,
}

/// Where a true value is, with what probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// With which probability such an interval is meant to hold the true value: 0.95, or less where runs are few. What a
    /// bootstrap really reaches is told at the head of this module.
    pub coverage: f64,
}

impl Interval {
    /// Whether a value is inside.
    pub fn holds(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
}

impl Estimate {
    /// The median of these values; absent where there is none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        let median = (!values.is_empty()).then(|| median_of_sorted(&values))?;
        let interval = match values.len() {
            1 => None,
            runs if runs < BOOTSTRAP_RUNS => {
                Some(Interval { low: values[0], high: values[runs - 1], coverage: order_coverage(runs) })
            }
            _ => {
                let mut medians = resampled_medians(&values, &mut ChaCha8Rng::seed_from_u64(SEED));
                Some(percentiles(&mut medians, CONFIDENCE))
            }
        };
        Some(Self { median, interval, values })
    }

    /// How many runs.
    pub fn runs(&self) -> usize {
        self.values.len()
    }

    /// The lower end, or the value itself where there is no interval.
    pub fn low(&self) -> f64 {
        self.interval.map_or(self.median, |interval| interval.low)
    }

    /// The upper end, or the value itself where there is no interval.
    pub fn high(&self) -> f64 {
        self.interval.map_or(self.median, |interval| interval.high)
    }

    /// Values beyond Tukey's fences: shown, never dropped. With fewer than four there is no telling.
    pub fn outliers(&self) -> Vec<f64> {
        if self.values.len() < 4 {
            return Vec::new();
        }
        let (lower, upper) = (quantile_of_sorted(&self.values, 0.25), quantile_of_sorted(&self.values, 0.75));
        let fence = FENCE * (upper - lower);
        self.values.iter().copied().filter(|value| *value < lower - fence || *value > upper + fence).collect()
    }
}

/// The ratio of two medians, `of / to`, with an interval from both samples. Absent where a sample is empty or the
/// denominator 0.
pub fn ratio(of: &[f64], to: &[f64]) -> Option<(f64, Option<Interval>)> {
    let (of, to) = (Estimate::of(of)?, Estimate::of(to)?);
    if to.median == 0.0 {
        return None;
    }
    let interval = if of.runs().min(to.runs()) >= BOOTSTRAP_RUNS {
        let mut random = ChaCha8Rng::seed_from_u64(SEED);
        let above = resampled_medians(&of.values, &mut random);
        let below = resampled_medians(&to.values, &mut random);
        let mut ratios: Vec<f64> = above.iter().zip(below).map(|(above, below)| above / below).collect();
        Some(percentiles(&mut ratios, CONFIDENCE))
    } else {
        // Both sides' intervals at their worst; both hold with at least this probability.
        of.interval.zip(to.interval).map(|(of, to)| Interval {
            low: of.low / to.high,
            high: of.high / to.low,
            coverage: of.coverage * to.coverage,
        })
    };
    Some((of.median / to.median, interval.filter(|interval| interval.low.is_finite() && interval.high.is_finite())))
}

/// With which probability the smallest and the largest of so many runs have the true median between them.
pub fn order_coverage(runs: usize) -> f64 {
    1.0 - 2.0_f64.powi(1 - runs as i32)
}

/// The median.
pub fn median(values: &[f64]) -> Option<f64> {
    Estimate::of(values).map(|estimate| estimate.median)
}

fn median_of_sorted(values: &[f64]) -> f64 {
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

/// Linear between order statistics.
fn quantile_of_sorted(values: &[f64], p: f64) -> f64 {
    let position = p * (values.len() - 1) as f64;
    let (below, part) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(values.len() - 1);
    values[below] + part * (values[above] - values[below])
}

fn resampled_medians(values: &[f64], random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut sample = vec![0.0; values.len()];
    (0..RESAMPLES)
        .map(|_| {
            sample.iter_mut().for_each(|slot| *slot = values[random.random_range(0..values.len())]);
            let middle = sample.len() / 2;
            let (lower, upper, _) = sample.select_nth_unstable_by(middle, f64::total_cmp);
            let upper = *upper;
            if values.len() % 2 == 1 {
                upper
            } else {
                f64::midpoint(lower.iter().copied().fold(f64::MIN, f64::max), upper)
            }
        })
        .collect()
}

fn percentiles(values: &mut [f64], confidence: f64) -> Interval {
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - confidence) / 2.0;
    let rank = |p: f64| ((p * values.len() as f64) as usize).min(values.len() - 1);
    Interval { low: values[rank(tail)], high: values[rank(1.0 - tail)], coverage: confidence }
}

/// The two-sided Mann-Whitney test: how probable a difference like this one is where there is none. Exact by
/// counting for small samples without ties, else by the normal approximation with ties corrected for.
pub fn mann_whitney(a: &[f64], b: &[f64]) -> Option<f64> {
    let (n, m) = (a.len(), b.len());
    if n == 0 || m == 0 {
        return None;
    }
    // How often a value of `a` is above one of `b`; a tie is half.
    let above = |x: f64, y: f64| {
        if x > y {
            1.0
        } else if x == y {
            0.5
        } else {
            0.0
        }
    };
    let u: f64 = a.iter().map(|x| b.iter().map(|y| above(*x, *y)).sum::<f64>()).sum();
    let mean = (n * m) as f64 / 2.0;
    let mut all: Vec<f64> = a.iter().chain(b).copied().collect();
    all.sort_by(f64::total_cmp);
    let ties: f64 = all.chunk_by(|x, y| x == y).map(|group| group.len() as f64).map(|t| t * t * t - t).sum();
    if ties == 0.0 && n * m <= 400 {
        let counts = u_counts(n, m);
        let total: f64 = counts.iter().sum();
        let extreme = (u.min((n * m) as f64 - u)) as usize;
        let tail: f64 = counts[..=extreme].iter().sum();
        return Some((2.0 * tail / total).min(1.0));
    }
    let size = (n + m) as f64;
    let variance = (n * m) as f64 / 12.0 * ((size + 1.0) - ties / (size * (size - 1.0)));
    if variance <= 0.0 {
        return Some(1.0);
    }
    let z = ((u - mean).abs() - 0.5).max(0.0) / variance.sqrt();
    Some(2.0 * (1.0 - normal_cdf(z)))
}

/// In how many ways each U can come about.
fn u_counts(n: usize, m: usize) -> Vec<f64> {
    // Ways to choose i of the first k ranks with a given sum of how many of the others are below.
    let mut ways = vec![vec![0.0; n * m + 1]; n + 1];
    ways[0][0] = 1.0;
    for k in 0..n + m {
        for i in (0..n.min(k + 1)).rev() {
            let below = k - i;
            if below > m {
                continue;
            }
            for u in (0..=n * m - below.min(n * m)).rev() {
                let more = ways[i][u];
                if more > 0.0 {
                    ways[i + 1][u + below] += more;
                }
            }
        }
    }
    ways.swap_remove(n)
}

/// Abramowitz and Stegun 26.2.17, within 7.5e-8.
fn normal_cdf(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z);
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let sum = series.iter().fold(0.0, |sum, coefficient| (sum + coefficient) * t);
    1.0 - (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Log-normal, like rates and latencies are; its median is 1.
    fn experiment(random: &mut ChaCha8Rng, runs: usize) -> Vec<f64> {
        (0..runs)
            .map(|_| {
                let (u, v): (f64, f64) = (random.random::<f64>().max(1e-300), random.random());
                (0.3 * (-2.0 * u.ln()).sqrt() * (2.0 * std::f64::consts::PI * v).cos()).exp()
            })
            .collect()
    }

    fn covered(runs: usize) -> f64 {
        let mut random = ChaCha8Rng::seed_from_u64(runs as u64);
        let hits = (0..2_000)
            .filter(|_| Estimate::of(&experiment(&mut random, runs)).unwrap().interval.unwrap().holds(1.0))
            .count();
        hits as f64 / 2_000.0
    }

    #[test]
    fn ten_runs_cover_the_true_median_as_often_as_they_say() {
        let covered = covered(10);
        assert!((0.93..=0.97).contains(&covered), "{covered}");
    }

    #[test]
    fn few_runs_say_how_little_they_cover() {
        assert!(Estimate::of(&[]).is_none());
        assert_eq!(Estimate::of(&[3.0]).unwrap().interval, None);
        let five = Estimate::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!(five.median, 3.0);
        assert_eq!(five.interval, Some(Interval { low: 1.0, high: 5.0, coverage: 0.9375 }));
    }

    #[test]
    fn outliers_are_shown_and_kept() {
        let estimate = Estimate::of(&[1.0, 1.1, 1.2, 1.3, 9.0]).unwrap();
        assert_eq!(estimate.outliers(), [9.0]);
        assert_eq!(estimate.runs(), 5);
    }

    #[test]
    fn a_ratio_holds_its_interval() {
        let base: Vec<f64> = (0..10).map(|run| 100.0 + f64::from(run)).collect();
        let double: Vec<f64> = base.iter().map(|value| value * 2.0).collect();
        let (ratio, interval) = ratio(&double, &base).unwrap();
        assert!((ratio - 2.0).abs() < 1e-9 && interval.unwrap().holds(2.0) && !interval.unwrap().holds(1.5));
        assert!(super::ratio(&base, &[0.0]).is_none());
    }

    #[test]
    fn mann_whitney_is_that_of_the_tables() {
        let p = mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert!((p - 0.1).abs() < 1e-12, "2 of 20 arrangements: {p}");
        let p = mann_whitney(&[1.0, 3.0, 5.0], &[2.0, 4.0, 6.0]).unwrap();
        assert!((p - 0.7).abs() < 1e-12, "14 of 20 arrangements: {p}");
        assert_eq!(mann_whitney(&[1.0, 1.0], &[1.0, 1.0]), Some(1.0));
    }
}
