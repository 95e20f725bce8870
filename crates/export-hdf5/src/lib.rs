//! Runs of a sweep in one HDF5 file: records, plans as attributes, histograms, series.
//!
//! | path | what |
//! |---|---|
//! | `/table/COLUMN` | one value for each run: keys, verdict and estimates of the record; NaN for what was not taken |
//! | `/runs/RUN_ID` | attributes: directory, started, pass, reason |
//! | `/runs/RUN_ID/record` | the record as it was written, JSON |
//! | `/runs/RUN_ID/plan` | each field of the plan as an attribute by its path, such as `service.prefetch` |
//! | `/runs/RUN_ID/histograms/METRIC/value_ns`, `count` | upper ends of the counters that hold samples, and how many |
//! | `/runs/RUN_ID/series/COLUMN` | one value for each second |

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use figures::{Dimension, FiguresError, Measured, Run, points::Quantity, quantity};
use hdf5::{Group, Location, types::VarLenUnicode};
use serde_json::Value;
use thiserror::Error;

/// What the file says it is.
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
    /// What lies beside a record cannot be read.
    #[error(transparent)]
    Run(#[from] FiguresError),
    /// The file cannot be written.
    #[error("`{}` cannot be written: {reason}; give another file with --hdf5", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Writes all runs into a new file, under another name until it is whole.
pub fn export(measured: &Measured, file: &Path) -> Result<(), ExportError> {
    let mut partial = file.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let unwritten = |reason: String| ExportError::Write { file: file.to_owned(), reason };
    let written = write(measured, &partial)
        .and_then(|()| fs::rename(&partial, file).map_err(|error| Stop::Hdf5(error.to_string())));
    written.map_err(|stop| {
        // It may not have come to be.
        let _ = fs::remove_file(&partial);
        match stop {
            Stop::Hdf5(reason) => unwritten(reason),
            Stop::Run(error) => error.into(),
        }
    })
}

enum Stop {
    Hdf5(String),
    Run(FiguresError),
}

impl From<hdf5::Error> for Stop {
    fn from(error: hdf5::Error) -> Self {
        Self::Hdf5(error.to_string().replace('\n', "; "))
    }
}

impl From<FiguresError> for Stop {
    fn from(error: FiguresError) -> Self {
        Self::Run(error)
    }
}

fn write(measured: &Measured, path: &Path) -> Result<(), Stop> {
    let file = hdf5::File::create(path)?;
    attribute(&file, "schema", SCHEMA)?;
    let runs = file.create_group("runs")?;
    let mut names = Vec::new();
    for run in &measured.runs {
        let name = fresh(&run.record.run_id, &names);
        write_run(&runs.create_group(&name)?, measured, run)?;
        names.push(name);
    }
    table(&file.create_group("table")?, measured, &names)?;
    Ok(file.close()?)
}

/// A copy of a run has its id; both are kept.
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

fn table(group: &Group, measured: &Measured, names: &[String]) -> Result<(), Stop> {
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

/// Every leaf of a plan, by its path. What is unset is left out; a list is JSON.
fn fields(group: &Group, path: &str, value: &Value) -> Result<(), Stop> {
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

fn column<T: hdf5::H5Type>(group: &Group, name: &str, values: &[T]) -> Result<(), Stop> {
    group.new_dataset_builder().with_data(values).create(name)?;
    Ok(())
}

fn attribute(at: &Location, name: &str, value: &str) -> Result<(), Stop> {
    Ok(at.new_attr::<VarLenUnicode>().create(name)?.write_scalar(&text(value))?)
}

/// HDF5 ends its texts at a zero.
fn text(value: &str) -> VarLenUnicode {
    let value = value.replace('\0', " ");
    value.parse().unwrap_or_else(|error| unreachable!("a text without zeros is one of HDF5's: {error:?}"))
}

#[cfg(test)]
mod tests {
    use figures::{Failed, load};
    use measure::{Metric, Record, read_hlog};

    use super::*;

    /// Real runs that are kept as an example.
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
        export(&measured, &path).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "nothing but the file");

        let file = hdf5::File::open(&path).unwrap();
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
    fn a_file_that_cannot_be_written_is_named_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let error = export(&example(), &place.path().join("missing/sweep.h5")).unwrap_err().to_string();
        assert!(error.contains("missing/sweep.h5` cannot be written") && error.ends_with("--hdf5"), "{error}");
        assert!(!error.contains('\n'), "{error}");
        let mut damaged = example();
        damaged.runs[0].dir = place.path().to_owned();
        fs::write(place.path().join("series.csv"), "nothing\n").unwrap();
        let file = place.path().join("sweep.h5");
        let error = export(&damaged, &file).unwrap_err().to_string();
        assert!(error.contains("series.csv` is damaged"), "{error}");
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "no half a file");
    }
}
