//! Compares the runs of two points, quantity by quantity.

use crate::{
    Estimate, Point, Quantity,
    points::comparable,
    statistics::{Shift, shift},
};
use measure::{Metric, record::differences};
use serde_json::Value;

/// The differences of two points.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Fields of the plan and of the machine that differ: then the difference may have more than one cause.
    pub unlike: Vec<Unlike>,
    /// Each quantity that both have.
    pub rows: Vec<Row>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Unlike {
    /// Its path.
    pub field: String,
    /// The value in A.
    pub a: Value,
    /// The value in B.
    pub b: Value,
}

/// One quantity of both.
#[derive(Debug, Clone)]
pub struct Row {
    /// The quantity.
    pub quantity: Quantity,
    /// The estimate of A.
    pub a: Estimate,
    /// The estimate of B.
    pub b: Estimate,
    /// The median of B divided by that of A.
    pub ratio: f64,
    /// The factor by which B lies above A; absent if a value is not positive.
    pub shift: Option<Shift>,
    /// The verdict.
    pub verdict: Verdict,
}

/// The verdict on B, compared with A.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The 95 % interval of the factor is on the good side of 1.
    Better,
    /// It is on the bad side.
    Worse,
    /// The whole interval is on the bad side and beyond the tolerance.
    Regression,
    /// It contains 1.
    NoDifference,
    /// There are too few runs for an interval.
    TooFew,
}

impl Verdict {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Regression => "regression",
            Self::NoDifference => "no difference",
            Self::TooFew => "no verdict",
        }
    }

    fn of(quantity: Quantity, shift: Option<&Shift>, tolerance: f64) -> Self {
        let Some(interval) = shift.and_then(|shift| shift.interval) else { return Self::TooFew };
        let (more_is_better, lower, upper) = (quantity.more_is_better(), 1.0 - tolerance, 1.0 + tolerance);
        match (interval.low > 1.0, interval.high < 1.0) {
            (true, _) if more_is_better => Self::Better,
            (true, _) if interval.low > upper => Self::Regression,
            (true, _) => Self::Worse,
            (_, true) if !more_is_better => Self::Better,
            (_, true) if interval.high < lower => Self::Regression,
            (_, true) => Self::Worse,
            _ => Self::NoDifference,
        }
    }
}

/// The quantities that are compared by default: those that do not follow from another.
pub fn compared() -> Vec<Quantity> {
    let latencies = [Metric::RttFromDue, Metric::RttFromSent, Metric::Gather, Metric::Confirm, Metric::OneWay];
    let latencies = latencies.into_iter().flat_map(|metric| [Quantity::Median(metric), Quantity::P99(metric)]);
    [Quantity::MessagesPerSecond, Quantity::BitsPerSecond, Quantity::CpuPerMessage]
        .into_iter()
        .chain(latencies)
        .collect()
}

/// Compares `b` with `a`. `tolerance` is the fraction by which `b` may be worse before it is a regression.
pub fn compare(a: &Point, b: &Point, quantities: &[Quantity], tolerance: f64) -> Comparison {
    let row = |quantity: &Quantity| {
        let (of_a, of_b) = (a.values(*quantity), b.values(*quantity));
        let shift = shift(&of_b, &of_a);
        let (a, b) = (Estimate::of(&of_a)?, Estimate::of(&of_b)?);
        let verdict = Verdict::of(*quantity, shift.as_ref(), tolerance);
        Some(Row { quantity: *quantity, ratio: b.median / a.median, a, b, shift, verdict })
    };
    Comparison { unlike: unlike(a, b), rows: quantities.iter().filter_map(row).collect() }
}

/// The differences in the plans and in the machines. All runs of a point are equal in these.
fn unlike(a: &Point, b: &Point) -> Vec<Unlike> {
    let seen = |point: &Point| {
        let run = &point.runs[0];
        let (route, environment) = (&run.record.route, &run.record.environment);
        serde_json::json!({
            "plan": comparable(run), "architecture": route.architecture, "ranks": environment.world_size,
            "hosts": environment.hosts.len(), "cores": environment.cores, "cpu_model": environment.cpu_model,
        })
    };
    let mut found = Vec::new();
    differences(&seen(a), &seen(b), "", &mut |field, a, b| {
        let field = field.strip_prefix("plan.").unwrap_or(field).to_owned();
        found.push(Unlike { field, a: a.clone(), b: b.clone() });
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Points, Run, sample};

    fn point(rates: &[f64], change: impl Fn(&mut measure::Record)) -> Point {
        let runs = rates.iter().enumerate().map(|(number, rate)| {
            let mut record = sample::record("dts", 2, *rate);
            record.harness.cpu_us_per_message = Some(1e6 / rate);
            change(&mut record);
            Run { dir: format!("{number}").into(), record }
        });
        Points::of(runs.collect()).unwrap().iter().next().unwrap().clone()
    }

    #[track_caller]
    fn verdicts(a: &[f64], b: &[f64], tolerance: f64, throughput: Verdict, cpu: Verdict) {
        let quantities = [Quantity::MessagesPerSecond, Quantity::CpuPerMessage];
        let comparison = compare(&point(a, |_| {}), &point(b, |_| {}), &quantities, tolerance);
        let found: Vec<Verdict> = comparison.rows.iter().map(|row| row.verdict).collect();
        assert_eq!(found, [throughput, cpu], "{comparison:#?}");
    }

    #[test]
    fn better_worse_or_no_difference_by_the_interval_and_a_regression_only_beyond_the_tolerance() {
        use Verdict::*;
        let base = [100.0, 101.0, 102.0, 103.0, 104.0, 105.0];
        let times = |factor: f64| base.map(|rate| rate * factor);
        verdicts(&base, &times(1.5), 0.05, Better, Better);
        verdicts(&base, &times(0.5), 0.05, Regression, Regression);
        verdicts(&base, &times(0.94), 0.05, Worse, Worse);
        verdicts(&base, &times(0.94), 0.0, Regression, Regression);
        verdicts(&base, &times(1.001), 0.05, NoDifference, NoDifference);
        verdicts(&base[..1], &[50.0], 0.05, TooFew, TooFew);
        verdicts(&base[..3], &[50.0, 51.0, 52.0], 0.05, TooFew, TooFew);
        verdicts(&base[..4], &[50.0, 51.0, 52.0, 53.0], 0.05, Regression, Regression);
    }

    #[test]
    fn what_is_not_alike_is_named_with_both_values() {
        let other = point(&[100.0], |record| {
            record.plan["service"]["prefetch"] = 16.into();
            record.plan["seed"] = 9.into();
            record.route.architecture = "mss".to_owned();
        });
        let comparison = compare(&point(&[100.0], |_| {}), &other, &compared(), 0.05);
        let unlike = |field: &str, a: Value, b: Value| Unlike { field: field.to_owned(), a, b };
        assert_eq!(
            comparison.unlike,
            [unlike("architecture", "dts".into(), "mss".into()), unlike("service.prefetch", 64.into(), 16.into())]
        );
        assert_eq!(comparison.rows[0].ratio, 1.0);
        assert!(comparison.rows.iter().all(|row| row.quantity != Quantity::P99(Metric::OneWay)), "none has it");
    }
}
