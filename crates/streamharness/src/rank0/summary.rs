//! The summary of several runs of one plan: medians with intervals, as a table and as JSON.

use crate::{rank0::repeat::Until, terminal::exit::Exit};
use figures::{Estimate, Quantity};
use measure::foreign;
use serde_json::{Value, json};
use std::fmt::Write;

/// The version of `summary.json`. New fields do not change it.
const SCHEMA: &str = "streamharness/runs/1";
/// Wide enough for `median_sum_of_rates_ratio`.
const NAME_WIDTH: usize = 27;
const CELL_WIDTH: usize = 14;

/// A run that is over.
pub struct Done {
    /// Its number, from 1.
    pub number: u32,
    /// Its directory and its record.
    pub run: figures::Run,
}

/// The results of all runs.
pub struct Summary<'a> {
    /// The runs, by their numbers.
    pub done: &'a [Done],
    /// When and why they ended: `after 5 runs, as requested`.
    pub ended: &'a str,
    /// Whether all requested runs were carried out.
    pub complete: bool,
    /// The requested precision.
    pub until: Option<Until>,
}

impl Summary<'_> {
    /// Runs whose numbers are sound. A run that missed an assertion is one of them.
    fn sound(&self) -> impl Iterator<Item = &Done> {
        self.done.iter().filter(|done| done.run.is_sound())
    }

    /// A number over the runs that are sound and have it.
    pub fn estimate(&self, quantity: Quantity) -> Option<Estimate> {
        let values: Vec<f64> = self.sound().filter_map(|done| quantity.of(&done.run)).collect();
        Estimate::of(&values)
    }

    fn estimates(&self) -> impl Iterator<Item = (Quantity, Estimate)> {
        Quantity::all().into_iter().filter_map(|quantity| Some((quantity, self.estimate(quantity)?)))
    }

    /// Runs whose value is beyond the fences.
    fn outliers(&self, quantity: Quantity, estimate: &Estimate) -> Vec<(u32, f64)> {
        let beyond = estimate.outliers();
        let values = self.sound().filter_map(|done| Some((done.number, quantity.of(&done.run)?)));
        values.filter(|(_, value)| beyond.contains(value)).collect()
    }

    /// The exit code of the program, and the reason.
    pub fn verdict(&self) -> (Exit, String) {
        let failed: Vec<&Done> = self.done.iter().filter(|done| !done.run.record.status.pass).collect();
        let (all, passed) = (self.done.len(), self.done.len() - failed.len());
        let code = |done: &&Done| Exit::from_code(done.run.record.status.exit_code);
        let Some(first) = failed.first() else {
            let exit = if self.complete { Exit::Pass } else { Exit::Partial };
            let why = if self.complete { String::new() } else { format!(", and it ended {}", self.ended) };
            return (exit, format!("{passed} of {all} runs passed{why}"));
        };
        let alike = failed.iter().all(|done| code(done) == code(first));
        // If some runs are sound and others are not, the whole is partial.
        let exit = if alike && (passed == 0 || code(first) == Exit::Assertion) { code(first) } else { Exit::Partial };
        let reason = &first.run.record.status.reason;
        (exit, format!("{passed} of {all} runs passed; run {}: {reason}", first.number))
    }

    /// The table, in the format of a run's table; its last line is the verdict over all runs.
    pub fn table(&self) -> String {
        let mut text = format!("# Over {} run(s) that ended {}\n", self.done.len(), self.ended);
        let sound = self.sound().count();
        if sound < self.done.len() {
            line(&mut text, &format!("# {} of them failed, and are in none of these", self.done.len() - sound));
        }
        line(&mut text, "# rates are a second, bit_rate in Gbit/s, times in us, half_width in % of the median");
        let mut head = format!("{:<NAME_WIDTH$}", "#");
        for column in ["runs", "median", "low", "high", "coverage", "half_width"] {
            let _ = write!(head, "{column:>CELL_WIDTH$}");
        }
        line(&mut text, &head);
        for (quantity, estimate) in self.estimates() {
            let interval = estimate.interval;
            let cells = [
                Some(estimate.runs().to_string()),
                Some(shown(quantity, estimate.median)),
                interval.map(|interval| shown(quantity, interval.low)),
                interval.map(|interval| shown(quantity, interval.high)),
                interval.map(|interval| format!("{:.4}", interval.coverage)),
                estimate.relative_half_width().map(|part| format!("{:.2}", 100.0 * part)),
            ];
            let mut row = format!("{:<NAME_WIDTH$}", format!("median_{}", quantity.word()));
            for cell in cells {
                let _ = write!(row, "{:>CELL_WIDTH$}", cell.as_deref().unwrap_or("n/a"));
            }
            line(&mut text, &row);
        }
        for (quantity, estimate) in self.estimates() {
            for (number, value) in self.outliers(quantity, &estimate) {
                let word = quantity.word();
                line(&mut text, &format!("# outlier       run {number}: {word} {}, kept", shown(quantity, value)));
            }
        }
        let (exit, sentence) = self.verdict();
        let word = if exit == Exit::Pass { "PASS" } else { "FAIL" };
        line(&mut text, &format!("# STATUS: {word} {}", foreign::line(&sentence)));
        text
    }

    /// The same for programs, in the units of the record, times in seconds.
    pub fn json(&self) -> String {
        let runs: Vec<Value> = self
            .done
            .iter()
            .map(|done| {
                let (record, dir) = (&done.run.record, done.run.dir.file_name().unwrap_or_default());
                json!({
                    "number": done.number, "dir": dir.to_string_lossy(), "run_id": record.run_id,
                    "pass": record.status.pass, "exit_code": record.status.exit_code, "reason": record.status.reason,
                })
            })
            .collect();
        let estimates: serde_json::Map<String, Value> = self
            .estimates()
            .map(|(quantity, estimate)| {
                let interval = estimate.interval;
                let outliers = self.outliers(quantity, &estimate);
                let value = json!({
                    "name": quantity.name(), "runs": estimate.runs(), "median": estimate.median,
                    "low": interval.map(|interval| interval.low), "high": interval.map(|interval| interval.high),
                    "coverage": interval.map(|interval| interval.coverage),
                    "outliers": outliers.iter().map(|(run, value)| json!({"run": run, "value": value})).collect::<Vec<_>>(),
                });
                (quantity.word(), value)
            })
            .collect();
        let until =
            self.until.map(|until| json!({ "quantity": until.quantity.word(), "half_width_below": until.part }));
        let summary = json!({
            "schema": SCHEMA, "complete": self.complete, "ended": self.ended, "until": until,
            "exit_code": self.verdict().0 as u8, "runs": runs, "estimates": estimates,
        });
        serde_json::to_string_pretty(&summary).expect("text keys only") + "\n"
    }
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

/// A number in the units of the table.
fn shown(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::BitsPerSecond => format!("{:.4}", value * 1e-9),
        Quantity::SumOfRatesRatio => format!("{value:.3}"),
        Quantity::Median(_) | Quantity::P99(_) => format!("{:.2}", value * 1e6),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank0::sample;

    /// Runs with these rates and exit codes.
    fn runs(of: &[(f64, u8)]) -> Vec<Done> {
        let run = |(number, (rate, exit_code)): (usize, &(f64, u8))| {
            let record = sample::record(number as u64, *rate, *exit_code);
            let number = number as u32 + 1;
            Done { number, run: figures::Run { dir: format!("out/run-{number:03}").into(), record } }
        };
        of.iter().enumerate().map(run).collect()
    }

    fn summary(done: &[Done]) -> Summary<'_> {
        Summary { done, ended: "after all, as requested", complete: true, until: None }
    }

    #[test]
    fn a_failed_run_is_reported_and_in_no_median() {
        let done = runs(&[(10.0, 0), (11.0, 0), (99.0, 4), (12.0, 0)]);
        let summary = summary(&done);
        assert_eq!(summary.estimate(Quantity::MessagesPerSecond).unwrap().values, [10.0, 11.0, 12.0]);
        let (exit, sentence) = summary.verdict();
        assert_eq!((exit, sentence.as_str()), (Exit::Partial, "3 of 4 runs passed; run 3: code 4"));
        let table = summary.table();
        assert!(table.contains("# 1 of them failed"), "{table}");
        let row: Vec<&str> =
            table.lines().find(|line| line.starts_with("median_throughput ")).unwrap().split_whitespace().collect();
        assert_eq!(row[1..], ["3", "11.00", "10.00", "12.00", "0.7500", "9.09"]);
        assert_eq!(table.lines().last(), Some("# STATUS: FAIL 3 of 4 runs passed; run 3: code 4"));
    }

    #[test]
    fn the_exit_code_is_that_of_all_runs_or_partial() {
        for (codes, expected) in [
            (vec![0, 0], Exit::Pass),
            (vec![3, 3], Exit::Route),
            (vec![0, 5], Exit::Assertion),
            (vec![5, 4], Exit::Partial),
            (vec![0, 4], Exit::Partial),
        ] {
            let done = runs(&codes.iter().map(|code| (1.0, *code)).collect::<Vec<_>>());
            assert_eq!(summary(&done).verdict().0, expected, "{codes:?}");
        }
        let done = runs(&[(1.0, 0)]);
        assert_eq!(Summary { complete: false, ..summary(&done) }.verdict().0, Exit::Partial, "fewer than requested");
    }

    #[test]
    fn an_outlier_is_shown_with_its_run_and_kept() {
        let done = runs(&[(10.0, 0), (10.1, 0), (10.2, 0), (10.3, 5), (90.0, 0)]);
        let summary = summary(&done);
        assert!(summary.table().contains("# outlier       run 5: throughput 90.00, kept"), "{}", summary.table());
        let json: Value = serde_json::from_str(&summary.json()).unwrap();
        assert_eq!(json["estimates"]["throughput"]["runs"], 5);
        assert_eq!(json["estimates"]["throughput"]["outliers"], json!([{ "run": 5, "value": 90.0 }]));
        assert_eq!(json["runs"][3]["dir"], "run-004");
    }
}
