//! Runs of a sweep in one HDF5 file: records, plans as attributes, histograms, series.
//!
//! | path | contents |
//! |---|---|
//! | `/table/COLUMN` | one value for each run: keys, verdict and estimates of the record; NaN for unmeasured values |
//! | `/runs/RUN_ID` | attributes: directory, started, pass, reason |
//! | `/runs/RUN_ID/record` | the record as it was written, JSON |
//! | `/runs/RUN_ID/plan` | each field of the plan as an attribute by its path, such as `service.prefetch` |
//! | `/runs/RUN_ID/histograms/METRIC/value_ns`, `count` | upper bounds of the non-empty buckets, and their numbers of samples |
//! | `/runs/RUN_ID/series/COLUMN` | one value for each second |
//!
//! ```no_run
//! # fn example(measured: &figures::Measured) -> Result<(), Box<dyn std::error::Error>> {
//! std::fs::write("sweep.h5", export_hdf5::export(measured)?)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

use figures::{Dimension, FiguresError, Measured, Run, points::Quantity, quantity};
use hdf5::{File, Group, Location, types::VarLenUnicode};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// The file's schema attribute.
pub const SCHEMA: &str = "streamharness/export/1";

/// Estimates of the table, by their names in a record.
const ESTIMATES: [&str; 12] = [
    "messages_per_second",
    "bits_per_second",
    "events_per_second",
    "sum_of_rates",
    "cpu_us_per_message",
    "confirm.p50",
    "confirm.p99",
    "rtt_from_due.p50",
    "rtt_from_due.p99",
    "rtt_from_sent.p50",
    "rtt_from_sent.p99",
    "gather.p50",
];
const KEYS: [&str; 4] = ["workload", "pattern", "architecture", "experiment"];
const COUNTS: [&str; 2] = ["consumers", "producers"];

/// Why there is no file.
#[derive(Debug, Error)]
pub enum ExportError {
    /// A file beside a record cannot be read.
    #[error(transparent)]
    Run(#[from] FiguresError),
    /// A run has data that HDF5 cannot store.
    #[error("the run in `{}` cannot be exported: {reason}; repeat the run, or move its directory away", dir.display())]
    Unfit {
        /// Its directory.
        dir: PathBuf,
        /// The reason.
        reason: String,
    },
    /// HDF5 cannot hold all runs together.
    #[error("these runs cannot be exported: {0}; give fewer of them")]
    Hdf5(String),
}

/// All runs as the bytes of an HDF5 file. It is built in memory, so that errors here concern the runs only, and a full
/// disk is noticed when the bytes are written; the library would close such a file without an error.
///
/// # Errors
///
/// [`ExportError`] with the run that cannot be exported.
pub fn export(measured: &Measured) -> Result<Vec<u8>, ExportError> {
    let whole = |stop: hdf5::Error| ExportError::Hdf5(in_one_line(&stop));
    let file = hdf5_image::create().map_err(whole)?;
    attribute(&file, "schema", SCHEMA).map_err(whole)?;
    let runs = file.create_group("runs").map_err(whole)?;
    let mut names = Vec::new();
    for run in &measured.runs {
        let name = fresh(&run.record.run_id, &names);
        let written = runs.create_group(&name).map_err(Stop::from).and_then(|group| write_run(&group, measured, run));
        written.map_err(|stop| match stop {
            Stop::Run(error) => error.into(),
            Stop::Hdf5(reason) => ExportError::Unfit { dir: run.dir.clone(), reason },
        })?;
        names.push(name);
    }
    file.create_group("table").and_then(|group| table(&group, measured, &names)).map_err(whole)?;
    hdf5_image::bytes(&file).map_err(whole)
}

/// Checks that a file can be read and has this many runs.
///
/// # Errors
///
/// A sentence with the reason.
pub fn check(path: &Path, runs: usize) -> Result<(), String> {
    let read = || File::open(path)?.dataset("table/run")?.read_raw::<VarLenUnicode>();
    match read() {
        Ok(names) if names.len() == runs => Ok(()),
        Ok(names) => Err(format!("{} of {runs} runs are in it when it is read back", names.len())),
        Err(error) => Err(format!("it cannot be read back: {}", in_one_line(&error))),
    }
}

fn in_one_line(error: &hdf5::Error) -> String {
    error.to_string().replace('\n', "; ")
}

enum Stop {
    Hdf5(String),
    Run(FiguresError),
}

impl From<hdf5::Error> for Stop {
    fn from(error: hdf5::Error) -> Self {
        Self::Hdf5(in_one_line(&error))
    }
}

impl From<FiguresError> for Stop {
    fn from(error: FiguresError) -> Self {
        Self::Run(error)
    }
}

/// A name for a run: a copy of a run has the same id, and both are kept.
fn fresh(id: &str, names: &[String]) -> String {
    let taken: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let id = if id.is_empty() { "run".to_owned() } else { id.replace('/', "_") };
    let numbered = (2..).map(|number| format!("{id}-{number}"));
    std::iter::once(id.clone()).chain(numbered).find(|name| !taken.contains(name.as_str())).unwrap_or(id)
}

fn write_run(group: &Group, measured: &Measured, run: &Run) -> Result<(), Stop> {
    let record = &run.record;
    attribute(group, "directory", &run.dir.display().to_string())?;
    attribute(group, "started", &record.started)?;
    attribute(group, "reason", &record.status.reason)?;
    group.new_attr::<bool>().create("pass")?.write_scalar(&record.status.pass)?;
    group.new_dataset::<VarLenUnicode>().create("record")?.write_scalar(&text(&record.to_json()))?;
    let plan = group.create_group("plan")?;
    fields(&plan, "", &record.plan)?;
    let histograms = group.create_group("histograms")?;
    for (metric, buckets) in measured.histograms(run)? {
        let group = histograms.create_group(metric.name())?;
        let (values, counts): (Vec<u64>, Vec<u64>) = buckets.into_iter().unzip();
        column(&group, "value_ns", &values)?;
        column(&group, "count", &counts)?;
    }
    let series = group.create_group("series")?;
    for (name, values) in measured.columns(run)? {
        column(&series, &name, &values)?;
    }
    Ok(())
}

fn table(group: &Group, measured: &Measured, names: &[String]) -> hdf5::Result<()> {
    let runs = &measured.runs;
    let texts = |of: &dyn Fn(&Run) -> String| runs.iter().map(|run| text(&of(run))).collect::<Vec<_>>();
    column(group, "run", &names.iter().map(|name| text(name)).collect::<Vec<_>>())?;
    column(group, "directory", &texts(&|run| run.dir.display().to_string()))?;
    let dimension = |name: &str| Dimension::named(name).expect("it is one of the dimensions");
    for name in KEYS {
        column(group, name, &texts(&|run| dimension(name).of(run).to_string()))?;
    }
    for name in COUNTS {
        let values: Vec<f64> = runs.iter().map(|run| dimension(name).of(run).number().unwrap_or(f64::NAN)).collect();
        column(group, name, &values)?;
    }
    column(group, "pass", &runs.iter().map(|run| run.record.status.pass).collect::<Vec<_>>())?;
    for name in ESTIMATES {
        let quantity: Quantity = quantity::named(name).expect("it is one of the quantities");
        let values: Vec<f64> = runs.iter().map(|run| quantity.of(run).unwrap_or(f64::NAN)).collect();
        column(group, name, &values)?;
    }
    Ok(())
}

/// Every leaf of a plan, by its path. Unset values are left out; a list is JSON.
fn fields(group: &Group, path: &str, value: &Value) -> hdf5::Result<()> {
    match value {
        Value::Object(inside) => {
            for (name, value) in inside {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields(group, &path, value)?;
            }
        }
        Value::Null => {}
        Value::Bool(value) => group.new_attr::<bool>().create(path)?.write_scalar(value)?,
        Value::String(value) => attribute(group, path, value)?,
        Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(value), _) => group.new_attr::<u64>().create(path)?.write_scalar(&value)?,
            (None, Some(value)) => group.new_attr::<f64>().create(path)?.write_scalar(&value)?,
            (None, None) => attribute(group, path, &number.to_string())?,
        },
        list @ Value::Array(_) => attribute(group, path, &list.to_string())?,
    }
    Ok(())
}

fn column<T: hdf5::H5Type>(group: &Group, name: &str, values: &[T]) -> hdf5::Result<()> {
    group.new_dataset_builder().with_data(values).create(name)?;
    Ok(())
}

fn attribute(at: &Location, name: &str, value: &str) -> hdf5::Result<()> {
    at.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text(value))
}

/// HDF5 ends texts at a zero byte.
fn text(value: &str) -> VarLenUnicode {
    let value = value.replace('\0', " ");
    value.parse().unwrap_or_else(|error| unreachable!("a text without zeros is one of HDF5's: {error:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use figures::{Failed, load};
    use measure::{Metric, Record, read_hlog};
    use serde_json::json;
    use std::fs;

    /// Real runs, kept as an example.
    fn example() -> Measured {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../analysis/example");
        Measured::of(load(&[dir], Failed::LeaveOut).unwrap().runs)
    }

    fn texts(group: &Group, name: &str) -> Vec<String> {
        group.dataset(name).unwrap().read_raw::<VarLenUnicode>().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_is_exported_is_read_back_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sweep.h5");
        let mut measured = example();
        // A copy of a run is another run.
        measured.runs.push(measured.runs[0].clone());
        fs::write(&path, export(&measured).unwrap()).unwrap();
        assert_eq!(check(&path, 10), Ok(()));
        assert!(check(&path, 9).unwrap_err().contains("10 of 9 runs"));

        let file = File::open(&path).unwrap();
        let schema: VarLenUnicode = file.attr("schema").unwrap().read_scalar().unwrap();
        assert_eq!(schema.as_str(), SCHEMA);
        let table = file.group("table").unwrap();
        let names = texts(&table, "run");
        assert_eq!(names.len(), 10);
        assert_eq!(names[9], format!("{}-2", names[0]));
        let rates = table.dataset("messages_per_second").unwrap().read_raw::<f64>().unwrap();
        for (index, (run, name)) in measured.runs.iter().zip(&names).enumerate() {
            assert_eq!(Some(rates[index]), run.record.throughput.messages_per_second);
            let group = file.group(&format!("runs/{name}")).unwrap();
            let record: VarLenUnicode = group.dataset("record").unwrap().read_scalar().unwrap();
            assert_eq!(Record::from_json(record.as_str()).unwrap(), run.record);
            let prefetch: u64 = group.group("plan").unwrap().attr("service.prefetch").unwrap().read_scalar().unwrap();
            assert_eq!(Some(prefetch), run.record.plan["service"]["prefetch"].as_u64());
            let log = read_hlog(&fs::read(run.dir.join("histograms.hlog")).unwrap()).unwrap();
            let kept = &log.iter().find(|(metric, _)| *metric == Metric::RttFromSent).unwrap().1;
            let histogram = group.group("histograms/rtt_from_sent").unwrap();
            let values = histogram.dataset("value_ns").unwrap().read_raw::<u64>().unwrap();
            let counts = histogram.dataset("count").unwrap().read_raw::<u64>().unwrap();
            assert_eq!(&values.into_iter().zip(counts).collect::<Vec<_>>(), kept);
            let received = group.dataset("series/received").unwrap().read_raw::<f64>().unwrap();
            let lines = fs::read_to_string(run.dir.join("series.csv")).unwrap().lines().count() - 1;
            assert_eq!(received.len(), lines);
        }
        let gather = table.dataset("gather.p50").unwrap().read_raw::<f64>().unwrap();
        assert!(gather.iter().all(|value| *value > 0.1), "{gather:?}");
    }

    #[test]
    fn a_file_that_was_cut_off_is_not_taken_for_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("sweep.h5");
        let bytes = export(&example()).unwrap();
        for kept in [0, 100, bytes.len() / 2, bytes.len() - 1] {
            fs::write(&path, &bytes[..kept]).unwrap();
            let error = check(&path, 9).unwrap_err();
            assert!(error.starts_with("it cannot be read back: ") && !error.contains('\n'), "{kept}: {error}");
        }
    }

    #[test]
    fn a_run_that_cannot_be_exported_is_named() {
        let place = tempfile::tempdir().unwrap();
        let mut damaged = example();
        damaged.runs[0].dir = place.path().to_owned();
        fs::write(place.path().join("series.csv"), "nothing\n").unwrap();
        let error = export(&damaged).unwrap_err().to_string();
        assert!(error.contains("series.csv` is damaged"), "{error}");

        // A name has a letter, ends at a zero, and is there once.
        for plan in [json!({"zero\0": 1}), json!({"a.b": 1, "a": {"b": 2}}), json!({"": 1})] {
            let mut odd = example();
            odd.runs[2].record.plan = plan;
            let error = export(&odd).unwrap_err().to_string();
            let named = format!("the run in `{}` cannot be exported: ", odd.runs[2].dir.display());
            assert!(error.starts_with(&named) && !error.contains('\n'), "{error}");
        }
    }
}
