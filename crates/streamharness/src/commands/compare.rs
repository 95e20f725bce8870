//! `streamharness compare A B`: compares B with A.

use crate::{
    cli::arguments::Compare,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use figures::{
    Estimate, Failed, FiguresError, Interval, LeftOut, Point, Points, Quantity,
    compare::{Comparison, Row, Verdict, compare, compared},
};
use measure::foreign;
use profile::nearest;
use serde_json::{Value, json};
use std::{fmt::Write, path::Path};

/// Wide enough for `sum_of_rates_ratio`.
const NAME_WIDTH: usize = 19;
const CELL_WIDTH: usize = 14;
/// Most characters of a value that differs.
const VALUE_MAX: usize = 60;

/// Compares, and exits with 5 if B is a regression.
pub fn run(arguments: &Compare) -> Result<Exit, Failure> {
    let tolerance = tolerance(&arguments.tolerance)?;
    let quantities = quantities(&arguments.metric)?;
    let (a, left_out_of_a) = points(&arguments.a)?;
    let (b, left_out_of_b) = points(&arguments.b)?;
    let mut warnings: Vec<String> = left_out_of_a.iter().chain(&left_out_of_b).map(left_out).collect();
    let pairs = pairs(&a, &b, &mut warnings)?;
    let compared: Vec<Compared> =
        pairs.into_iter().map(|(a, b)| Compared { a, b, comparison: compare(a, b, &quantities, tolerance) }).collect();
    for compared in &compared {
        warnings.extend(in_a_row(compared));
        let rows = &compared.comparison.rows;
        let missing = quantities.iter().filter(|quantity| !rows.iter().any(|row| row.quantity == **quantity));
        // By default, all measured quantities are compared.
        let missing = missing.filter(|_| !arguments.metric.is_empty());
        warnings.extend(missing.map(|quantity| format!("{} was not measured on both sides", quantity.word())));
    }
    let regressions = compared.iter().flat_map(|compared| &compared.comparison.rows);
    let regressions = regressions.filter(|row| row.verdict == Verdict::Regression).count();
    let exit = if regressions > 0 { Exit::Assertion } else { Exit::Pass };
    for warning in &warnings {
        crate::terminal::stderr::say(warning);
    }
    if arguments.json {
        let json = json!({
            "tolerance": tolerance, "regressions": regressions, "warnings": warnings,
            "points": compared.iter().map(Compared::json).collect::<Vec<_>>(),
        });
        stdout::print(&(serde_json::to_string_pretty(&json).expect("text keys only") + "\n"))?;
    } else {
        let mut text: String = compared.iter().map(Compared::table).collect();
        let judged = |row: &Row| row.verdict != Verdict::TooFew;
        let word = match exit {
            Exit::Pass if compared.iter().all(|compared| compared.comparison.rows.iter().all(judged)) => {
                "PASS no regression"
            }
            Exit::Pass => "PASS too few runs to tell a regression",
            _ => "FAIL a regression",
        };
        let _ = writeln!(text, "# STATUS: {word} beyond {}", arguments.tolerance.trim());
        stdout::print(&text)?;
    }
    Ok(exit)
}

/// Two points and their comparison.
struct Compared<'a> {
    a: &'a Point,
    b: &'a Point,
    comparison: Comparison,
}

fn usage<T>(sentence: String) -> Result<T, Failure> {
    Err(Failure::new(Exit::Usage, sentence))
}

fn tolerance(text: &str) -> Result<f64, Failure> {
    let percent = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent.filter(|percent| (0.0..100.0).contains(percent)) {
        Some(percent) => Ok(percent / 100.0),
        None => usage(format!("--tolerance {text}: give per cent from 0 on, such as 5%")),
    }
}

fn quantities(words: &[String]) -> Result<Vec<Quantity>, Failure> {
    if words.is_empty() {
        return Ok(compared());
    }
    let all = Quantity::words();
    let find = |word: &String| {
        Quantity::called(word).ok_or_else(|| {
            let hint = nearest(word, all.iter().map(String::as_str)).unwrap_or("throughput");
            Failure::new(Exit::Usage, format!("--metric {word}: nothing is called that; did you mean `{hint}`?"))
        })
    };
    words.iter().map(find).collect()
}

fn points(root: &Path) -> Result<(Points, Vec<LeftOut>), Failure> {
    let unusable = |error: FiguresError| Failure::new(Exit::Usage, error);
    let loaded = figures::load(&[root.to_owned()], Failed::LeaveOut).map_err(unusable)?;
    Ok((Points::of(loaded.runs).map_err(unusable)?, loaded.left_out))
}

fn left_out(left_out: &LeftOut) -> String {
    format!("{} failed and is left out: {}", left_out.dir.display(), left_out.reason)
}

/// The pairs of points: equal ones of two campaigns, or the only one of each side, even if they differ.
fn pairs<'a>(a: &'a Points, b: &'a Points, warnings: &mut Vec<String>) -> Result<Vec<(&'a Point, &'a Point)>, Failure> {
    let (mut of_a, mut of_b) = (a.iter(), b.iter());
    if let (Some(one), None, Some(other), None) = (of_a.next(), of_a.next(), of_b.next(), of_b.next()) {
        return Ok(vec![(one, other)]);
    }
    let pairs: Vec<_> = a.iter().filter_map(|point| Some((point, b.get(&point.key)?))).collect();
    if pairs.is_empty() {
        return usage(
            "A and B have several points each and none in common: give directories of one point, or of the same ones"
                .to_owned(),
        );
    }
    let lonely = |one: &'a Points, other: &'a Points| one.iter().filter(|point| other.get(&point.key).is_none());
    for (name, point) in lonely(a, b).map(|point| ("A", point)).chain(lonely(b, a).map(|point| ("B", point))) {
        warnings.push(format!("{} is in {name} only", point.key));
    }
    Ok(pairs)
}

/// A warning if all runs of one side came before all of the other: changes of the machine would appear as a difference.
fn in_a_row(Compared { a, b, .. }: &Compared) -> Option<String> {
    let started = |point: &Point| -> Option<Vec<jiff::Timestamp>> {
        point.runs.iter().map(|run| run.record.started.parse().ok()).collect()
    };
    let (of_a, of_b) = (started(a)?, started(b)?);
    let (first_a, last_a, first_b, last_b) =
        (of_a.iter().min()?, of_a.iter().max()?, of_b.iter().min()?, of_b.iter().max()?);
    let repeated = of_a.len() > 1 && of_b.len() > 1;
    (repeated && (last_a < first_b || last_b < first_a)).then(|| {
        "all runs of one were before all of the other: whatever else changed in between is in the difference; take turns"
            .to_owned()
    })
}

impl Compared<'_> {
    fn table(&self) -> String {
        let Self { a, b, comparison } = self;
        let mut text = String::new();
        for (name, point) in [("A", a), ("B", b)] {
            let _ =
                writeln!(text, "# {name}: {} run(s) of {}", point.runs.len(), foreign::line(&point.key.to_string()));
        }
        for unlike in &comparison.unlike {
            let _ = writeln!(
                text,
                "# not alike: {}: {} and {}",
                foreign::line(&unlike.field),
                short(&unlike.a),
                short(&unlike.b)
            );
        }
        if !comparison.unlike.is_empty() {
            let _ =
                writeln!(text, "# so the difference is not of one cause alone, unless there is one line of these only");
        }
        let _ = writeln!(
            text,
            "# medians; factor of B to A (Hodges-Lehmann) with its 95 % interval; p of the Mann-Whitney test"
        );
        let _ = write!(text, "{:<NAME_WIDTH$}", "#");
        for column in ["A", "B", "B/A", "factor", "low", "high", "p"] {
            let _ = write!(text, "{column:>CELL_WIDTH$}");
        }
        text.push_str("  verdict\n");
        for row in &comparison.rows {
            let _ = write!(text, "{:<NAME_WIDTH$}", row.quantity.word());
            let shift = row.shift.as_ref();
            let interval = shift.and_then(|shift| shift.interval);
            let factor = |factor: Option<f64>| factor.map(|factor| format!("{factor:.4}"));
            for cell in [
                Some(shown(row.quantity, row.a.median)),
                Some(shown(row.quantity, row.b.median)),
                Some(percent(row.ratio)),
                factor(shift.map(|shift| shift.factor)),
                factor(interval.map(|interval| interval.low)),
                factor(interval.map(|interval| interval.high)),
                interval.and(shift).map(|shift| format!("{:.4}", shift.p)),
            ] {
                let _ = write!(text, "{:>CELL_WIDTH$}", cell.as_deref().unwrap_or("n/a"));
            }
            let _ = writeln!(text, "  {}", row.verdict.words());
        }
        if comparison.rows.iter().any(|row| row.verdict == Verdict::TooFew) {
            let runs = |point: &Point| point.runs.len();
            let _ = writeln!(
                text,
                "# {} and {} run(s) show a ratio and nothing more: a verdict takes 4 of each, better 10 (--repeat 10)",
                runs(a),
                runs(b)
            );
        }
        text
    }

    fn json(&self) -> Value {
        let Self { a, b, comparison } = self;
        let interval = |interval: Option<Interval>| {
            interval.map(|Interval { low, high, coverage }| json!({ "low": low, "high": high, "coverage": coverage }))
        };
        let row = |row: &Row| {
            let side = |estimate: &Estimate| {
                let (runs, median) = (estimate.runs(), estimate.median);
                json!({ "runs": runs, "median": median, "interval": interval(estimate.interval) })
            };
            let shift = row
                .shift
                .as_ref()
                .map(|shift| json!({ "factor": shift.factor, "interval": interval(shift.interval), "p": shift.p }));
            json!({
                "metric": row.quantity.word(), "name": row.quantity.name(), "a": side(&row.a), "b": side(&row.b),
                "ratio": row.ratio, "shift": shift, "verdict": row.verdict.words(),
            })
        };
        let unlike =
            comparison.unlike.iter().map(|unlike| json!({ "field": unlike.field, "a": unlike.a, "b": unlike.b }));
        json!({
            "a": a.key.to_string(), "b": b.key.to_string(), "unlike": unlike.collect::<Vec<_>>(),
            "metrics": comparison.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn short(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= VALUE_MAX { text } else { text.chars().take(VALUE_MAX).collect::<String>() + "..." }
}

/// The distance of a ratio from 1, in per cent.
fn percent(ratio: f64) -> String {
    format!("{:+.1}%", 100.0 * (ratio - 1.0))
}

/// In the units of a run's table.
fn shown(quantity: Quantity, value: f64) -> String {
    match quantity {
        Quantity::BitsPerSecond => format!("{:.4}Gbit", value * 1e-9),
        Quantity::SumOfRatesRatio => format!("{value:.3}"),
        Quantity::CpuPerMessage => format!("{value:.2}us"),
        Quantity::Median(_) | Quantity::P99(_) => format!("{:.1}us", value * 1e6),
        _ => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank0::sample;
    use std::fs;

    /// Compares runs with these rates.
    fn compared(a: &[f64], b: &[f64], tolerance: &str, metric: &[&str]) -> Result<Exit, String> {
        let root = tempfile::tempdir().unwrap();
        for (side, rates) in [("a", a), ("b", b)] {
            for (number, rate) in rates.iter().enumerate() {
                let dir = root.path().join(format!("{side}/{number}"));
                fs::create_dir_all(&dir).unwrap();
                fs::write(dir.join("record.json"), sample::record(number as u64, *rate, 0).to_json()).unwrap();
            }
        }
        let metric = metric.iter().map(|&word| word.to_owned()).collect();
        let (a, b) = (root.path().join("a"), root.path().join("b"));
        run(&Compare { a, b, tolerance: tolerance.to_owned(), metric, json: false }).map_err(|failure| failure.sentence)
    }

    #[test]
    fn a_regression_is_an_exit_code_and_too_few_runs_are_none() {
        let base = [100.0, 101.0, 102.0, 103.0];
        let half = base.map(|rate| rate / 2.0);
        assert_eq!(compared(&base, &half, "5%", &[]), Ok(Exit::Assertion));
        assert_eq!(compared(&base, &half, "60%", &[]), Ok(Exit::Pass));
        assert_eq!(compared(&half, &base, "5%", &[]), Ok(Exit::Pass), "twice as fast");
        assert_eq!(compared(&base[..1], &half[..1], "5%", &["throughput"]), Ok(Exit::Pass), "one run shows nothing");
        let error = compared(&base, &half, "5", &[]).unwrap_err();
        assert!(error.contains("such as 5%"), "{error}");
        let error = compared(&base, &half, "5%", &["rtt_p9"]).unwrap_err();
        assert!(error.contains("did you mean `rtt"), "{error}");
    }
}
