//! Predictions beside measurements of the same points: by how much they are off, and whether they have the routes in the right order.

use crate::{Estimate, Key, Run, axis::short, load::PREDICTED, points::Quantity};
use measure::Metric;
use std::collections::BTreeMap;

/// How far a predicted rate may be off.
const RATE_NEAR: f64 = 0.15;
/// How far a predicted round trip may be off.
const ROUND_TRIP_NEAR: f64 = 0.30;

/// What the columns mean.
pub const NOTE: &str = "Medians over runs. Off: by how much the prediction exceeds the measurement.";

const QUANTITIES: [(Quantity, f64); 3] = [
    (Quantity::MessagesPerSecond, RATE_NEAR),
    (Quantity::Median(Metric::RttFromSent), ROUND_TRIP_NEAR),
    (Quantity::P99(Metric::RttFromSent), ROUND_TRIP_NEAR),
];

/// A point that was measured and predicted. One experiment's points are compared with its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    experiment: String,
    key: Key,
    /// By quantity: the measurements, and the prediction.
    values: Vec<Option<(Estimate, f64)>>,
}

impl Pair {
    /// Predicted over measured.
    fn ratio(&self, quantity: usize) -> Option<f64> {
        self.values[quantity].as_ref().map(|(measured, predicted)| predicted / measured.median)
    }
}

/// All points that have both.
pub fn pairs(runs: &[Run]) -> Vec<Pair> {
    let mut points: BTreeMap<(String, Key), [Vec<&Run>; 2]> = BTreeMap::new();
    for run in runs {
        let mut key = Key::of(run);
        let is_prediction = run.record.prediction.is_some();
        key.architecture = key.architecture.trim_end_matches(PREDICTED).to_owned();
        let experiment = run.record.point.as_ref().map_or_else(String::new, |point| point.experiment.clone());
        points.entry((experiment, key)).or_default()[usize::from(is_prediction)].push(run);
    }
    let median = |runs: &[&Run], quantity: Quantity| {
        Estimate::of(&runs.iter().filter_map(|run| quantity.of(run)).collect::<Vec<_>>())
    };
    let pair = |((experiment, key), [measured, predicted]): ((String, Key), [Vec<&Run>; 2])| {
        let value = |(quantity, _): (Quantity, f64)| {
            let predicted = median(&predicted, quantity)?;
            median(&measured, quantity).filter(|one| one.median > 0.0).map(|one| (one, predicted.median))
        };
        let values: Vec<_> = QUANTITIES.into_iter().map(value).collect();
        values.iter().any(Option::is_some).then_some(Pair { experiment, key, values })
    };
    points.into_iter().filter_map(pair).collect()
}

/// As a table with its head, and what it says in all; `None` where nothing was both measured and predicted.
pub fn table(runs: &[Run]) -> Option<(Vec<Vec<String>>, String)> {
    let pairs = pairs(runs);
    if pairs.is_empty() {
        return None;
    }
    let mut head = vec!["point".to_owned(), "consumers".to_owned()];
    for name in ["messages/s", "median round trip, s", "99th percentile, s"] {
        head.extend([name.to_owned(), "predicted".to_owned(), "off".to_owned()]);
    }
    let row = |pair: &Pair| {
        let Key { workload, pattern, architecture, consumers } = &pair.key;
        let mut row = vec![format!("{workload} {pattern} {architecture}"), consumers.to_string()];
        for (quantity, value) in pair.values.iter().enumerate() {
            row.extend(match (value, pair.ratio(quantity)) {
                (Some((measured, predicted)), Some(ratio)) => {
                    [short(measured.median, 3), short(*predicted, 3), format!("{:+.0} %", (ratio - 1.0) * 100.0)]
                }
                _ => ["-", "-", "-"].map(str::to_owned),
            });
        }
        row
    };
    Some((std::iter::once(head).chain(pairs.iter().map(row)).collect(), sentence(&pairs)))
}

fn sentence(pairs: &[Pair]) -> String {
    let mut parts = Vec::new();
    for (quantity, name) in ["rates", "median round trips", "99th percentiles"].into_iter().enumerate() {
        let near = QUANTITIES[quantity].1;
        let off: Vec<f64> = pairs.iter().filter_map(|pair| pair.ratio(quantity)).map(|ratio| ratio - 1.0).collect();
        let Some(middle) = Estimate::of(&off.iter().map(|off| off.abs()).collect::<Vec<_>>()) else { continue };
        let within = off.iter().filter(|off| off.abs() <= near).count();
        parts.push(format!(
            "{within} of {} {name} are within {:.0} % (median {:.0} %)",
            off.len(),
            near * 100.0,
            middle.median * 100.0
        ));
    }
    let [right, all] = orders(pairs);
    if all > 0 {
        parts.push(format!(
            "of {all} pairs of routes whose measured rates differ for sure, {right} are in the predicted order"
        ));
    }
    format!("{}.", parts.join("; "))
}

/// Pairs of routes at one point whose intervals of the rate do not overlap: those in the predicted order, and all.
fn orders(pairs: &[Pair]) -> [usize; 2] {
    let [mut right, mut all] = [0, 0];
    for (place, one) in pairs.iter().enumerate() {
        let at = |pair: &Pair| {
            let Key { workload, pattern, consumers, .. } = pair.key.clone();
            (pair.experiment.clone(), workload, pattern, consumers)
        };
        for other in pairs[place + 1..].iter().filter(|other| at(other) == at(one)) {
            let (Some((a, a_predicted)), Some((b, b_predicted))) = (&one.values[0], &other.values[0]) else { continue };
            let (Some(a), Some(b)) = (&a.interval, &b.interval) else { continue };
            let higher = if a.low > b.high {
                a_predicted > b_predicted
            } else if b.low > a.high {
                b_predicted > a_predicted
            } else {
                continue;
            };
            all += 1;
            right += usize::from(higher);
        }
    }
    [right, all]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use measure::record::Prediction;

    fn run(architecture: &str, rate: f64, is_prediction: bool) -> Run {
        let mut record = sample::record(architecture, 2, rate);
        if is_prediction {
            record.prediction = Some(Prediction::default());
            record.route.architecture += PREDICTED;
        }
        Run { dir: format!("{architecture}-{rate}-{is_prediction}").into(), record }
    }

    #[test]
    fn predictions_are_compared_with_measurements_of_the_same_point() {
        let measured = [("dts", 99.0), ("dts", 100.0), ("dts", 101.0), ("mss", 48.0), ("mss", 50.0), ("mss", 52.0)];
        let mut runs: Vec<Run> = measured.into_iter().map(|(name, rate)| run(name, rate, false)).collect();
        assert_eq!(table(&runs), None, "nothing was predicted");
        runs.extend([run("dts", 112.0, true), run("mss", 65.0, true), run("prs", 10.0, true)]);
        let (rows, sentence) = table(&runs).unwrap();
        let shown: Vec<[&str; 4]> =
            rows[1..].iter().map(|row| [&row[0], &row[2], &row[3], &row[4]].map(String::as_str)).collect();
        assert_eq!(
            shown,
            [["dstream work-sharing dts", "100", "112", "+12 %"], ["dstream work-sharing mss", "50", "65", "+30 %"]]
        );
        assert_eq!(
            sentence,
            "1 of 2 rates are within 15 % (median 21 %); of 1 pairs of routes whose measured rates differ for sure, 1 are in the \
             predicted order."
        );
        runs.last_mut().unwrap().record.route.architecture = "mss (predicted)".to_owned();
        runs.last_mut().unwrap().record.throughput.messages_per_second = Some(400.0);
        assert!(table(&runs).unwrap().1.ends_with("0 are in the predicted order."), "232 on average is above 112");
    }
}
