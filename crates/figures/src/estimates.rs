//! The quantities in claims: estimates of a point by workload, pattern, architecture and number of consumers.

use crate::{
    Distribution, Estimate, FiguresError, Key, Measured, Run,
    experiment::preferred,
    load::PREDICTED,
    points::{Quantity, comparable, difference},
    truth::Number,
};
use measure::Metric;
use std::collections::{BTreeMap, BTreeSet};

/// A missing point that a claim needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Missing {
    /// Workload and pattern.
    pub of: String,
    /// Its architecture.
    pub architecture: String,
    /// How many consumers.
    pub consumers: u32,
}

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop {
    /// Points are missing.
    Missing(BTreeSet<Missing>),
    /// The runs cannot be used.
    Unusable(String),
    /// The claim has an error.
    Wrong(String),
}

/// Points by their keys.
pub struct Estimates<'a> {
    measured: &'a Measured,
    points: BTreeMap<Key, Vec<&'a Run>>,
    /// Points whose runs had different plans, with a sentence.
    mixed: BTreeMap<Key, String>,
}

impl<'a> Estimates<'a> {
    /// From all runs or, if there are runs of preferred experiments, from these.
    pub fn of(measured: &'a Measured, prefer: &[String]) -> Self {
        let mut points: BTreeMap<Key, Vec<&Run>> = BTreeMap::new();
        let mut mixed = BTreeMap::new();
        // Beside measurements, predictions are compared with them and decide nothing.
        let decides = |run: &&Run| !run.record.route.architecture.ends_with(PREDICTED);
        for run in preferred(measured.runs.iter().filter(decides).collect(), prefer) {
            let key = Key::of(run);
            let point = points.entry(key.clone()).or_default();
            if let Some(first) = point.first()
                && let Some(field) = difference(&comparable(first), &comparable(run))
            {
                let sentence = FiguresError::MixedPlans {
                    point: key.to_string(),
                    one: first.dir.clone(),
                    other: run.dir.clone(),
                    field,
                };
                mixed.entry(key).or_insert_with(|| sentence.to_string());
            }
            point.push(run);
        }
        Self { measured, points, mixed }
    }

    /// The runs of these workloads and this pattern.
    pub fn runs(&self, workloads: &[String], pattern: &str) -> Vec<&'a Run> {
        let of = |key: &Key| workloads.contains(&key.workload) && key.pattern == pattern;
        self.points.iter().filter(|(key, _)| of(key)).flat_map(|(_, runs)| runs.iter().copied()).collect()
    }

    fn point(&self, key: &Key) -> Result<&[&'a Run], Stop> {
        if let Some(sentence) = self.mixed.get(key) {
            return Err(Stop::Unusable(sentence.clone()));
        }
        self.points.get(key).map(Vec::as_slice).ok_or_else(|| missing(key))
    }

    /// A quantity of a point.
    pub fn value(&self, key: &Key, quantity: Quantity) -> Result<Number, Stop> {
        let values: Vec<f64> = self.point(key)?.iter().filter_map(|run| quantity.of(run)).collect();
        number(&values).ok_or_else(|| missing(key))
    }

    /// The value, in seconds, that a fraction `p` of a latency's samples does not exceed.
    pub fn quantile(&self, key: &Key, metric: Metric, p: f64) -> Result<Number, Stop> {
        let distributions = self.distributions(key, metric)?;
        let values: Vec<f64> = distributions.iter().filter_map(|distribution| distribution.quantile(p)).collect();
        number(&values).ok_or_else(|| missing(key))
    }

    /// The largest gap between the distributions of two points, their runs taken together.
    pub fn gap(&self, one: &Key, other: &Key, metric: Metric) -> Result<Number, Stop> {
        let (one, other) = both(self.distributions(one, metric), self.distributions(other, metric))?;
        let middle = Distribution::gap(&one.iter().collect::<Vec<_>>(), &other.iter().collect::<Vec<_>>());
        // The gaps between single pairs of runs show how much of it is noise.
        let pairs = one.iter().flat_map(|a| other.iter().map(move |b| Distribution::gap(&[a], &[b])));
        let (low, high) = pairs.fold((middle, middle), |(low, high), gap| (low.min(gap), high.max(gap)));
        let single = one.len() < 2 && other.len() < 2;
        Ok(Number { middle, low: if single { 0.0 } else { low }, high: if single { 1.0 } else { high } })
    }

    fn distributions(&self, key: &Key, metric: Metric) -> Result<Vec<Distribution>, Stop> {
        let mut distributions = Vec::new();
        for run in self.point(key)? {
            let distribution = self.measured.distribution(run, metric);
            distributions.extend(distribution.map_err(|error| Stop::Unusable(error.to_string()))?);
        }
        if distributions.is_empty() { Err(missing(key)) } else { Ok(distributions) }
    }
}

/// Both values, or all that is missing of either.
pub fn both<A, B>(one: Result<A, Stop>, other: Result<B, Stop>) -> Result<(A, B), Stop> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(Stop::Missing(mut one)), Err(Stop::Missing(other))) => {
            one.extend(other);
            Err(Stop::Missing(one))
        }
        (Err(Stop::Missing(_)), Err(stop)) | (Err(stop), _) | (Ok(_), Err(stop)) => Err(stop),
    }
}

fn missing(key: &Key) -> Stop {
    let of = format!("{} {}", key.workload, key.pattern);
    Stop::Missing([Missing { of, architecture: key.architecture.clone(), consumers: key.consumers }].into())
}

fn number(values: &[f64]) -> Option<Number> {
    let estimate = Estimate::of(values)?;
    let (low, high) =
        estimate.interval.map_or((f64::NEG_INFINITY, f64::INFINITY), |interval| (interval.low, interval.high));
    Some(Number { middle: estimate.median, low, high })
}

/// Missing points in words, grouped by kind.
pub fn sentence(missing: &BTreeSet<Missing>) -> String {
    let mut routes: BTreeMap<(&str, &str), Vec<String>> = BTreeMap::new();
    for point in missing {
        routes.entry((&point.of, &point.architecture)).or_default().push(point.consumers.to_string());
    }
    let mut kinds: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for ((of, architecture), consumers) in routes {
        kinds.entry((of, consumers.join(", "))).or_default().push(architecture);
    }
    let kinds: Vec<String> = kinds
        .into_iter()
        .map(|((of, consumers), routes)| format!("{of} over {} with {consumers} consumer(s)", routes.join(", ")))
        .collect();
    kinds.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn key(architecture: &str, consumers: u32) -> Key {
        Key {
            workload: "dstream".to_owned(),
            pattern: "work-sharing".to_owned(),
            architecture: architecture.to_owned(),
            consumers,
        }
    }

    #[test]
    fn a_point_has_its_median_and_interval_or_is_reported_as_missing() {
        let run = |dir: &str, rate| Run { dir: dir.into(), record: sample::record("dts", 1, rate) };
        let measured = Measured::of(vec![run("a", 10.0), run("b", 12.0), run("c", 11.0)]);
        let estimates = Estimates::of(&measured, &[]);
        let value = estimates.value(&key("dts", 1), Quantity::MessagesPerSecond).unwrap();
        assert_eq!(value, Number { middle: 11.0, low: 10.0, high: 12.0 });
        let value = |consumers| estimates.value(&key("mss", consumers), Quantity::MessagesPerSecond);
        let Err(Stop::Missing(missing)) = both(value(2), value(4)) else { panic!("no run has it") };
        assert_eq!(sentence(&missing), "dstream work-sharing over mss with 2, 4 consumer(s)");
    }

    #[test]
    fn a_point_of_several_plans_is_refused_with_its_files() {
        let mut other = sample::record("dts", 1, 10.0);
        other.plan["service"]["prefetch"] = 1.into();
        let measured = Measured::of(vec![
            Run { dir: "a".into(), record: sample::record("dts", 1, 10.0) },
            Run { dir: "b".into(), record: other },
        ]);
        let error = Estimates::of(&measured, &[]).value(&key("dts", 1), Quantity::MessagesPerSecond).unwrap_err();
        let Stop::Unusable(sentence) = error else { panic!("{error:?}") };
        assert!(sentence.contains("`a` and `b`") && sentence.contains("service.prefetch"), "{sentence}");
    }
}
