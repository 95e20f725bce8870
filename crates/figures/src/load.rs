//! Finds the records of runs under directories and reads them.

use crate::{FiguresError, input};
use measure::Record;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

const RECORD: &str = "record.json";
/// What is below belongs to other tenants of a run, whose record has what they achieved.
const NEIGHBOURS: &str = "neighbours";
/// The exit code of a sound run that failed an `--assert`: its numbers are valid.
const ASSERTION: u8 = 5;
/// What the names of architectures end in where predictions are beside measurements.
pub(crate) const PREDICTED: &str = " (predicted)";
/// Deepest nesting of directories; deeper means a loop of links.
const DEPTH_MAX: usize = 16;

/// One run with its directory.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its directory.
    pub dir: PathBuf,
    /// Its record.
    pub record: Record,
}

impl Run {
    /// Whether its measurements can be used.
    pub fn is_sound(&self) -> bool {
        self.record.status.pass || self.record.status.exit_code == ASSERTION
    }
}

/// The treatment of failed runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// Leave them out and list them.
    LeaveOut,
    /// Use their measurements.
    Use,
}

/// A run that is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Its directory.
    pub dir: PathBuf,
    /// Why.
    pub reason: String,
}

/// The result of loading.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// Runs, ordered by their directory.
    pub runs: Vec<Run>,
    /// Runs that failed, in the same order; empty with [`Failed::Use`].
    pub left_out: Vec<LeftOut>,
    /// Those of them that had faults on purpose: how they failed is what the faults cost.
    pub failed_by_fault: Vec<Run>,
}

/// Reads every record in and under these directories. A path to a record.json will do, too.
///
/// # Errors
///
/// [`FiguresError`] if a directory or record cannot be read, if there is no record, or if all runs failed.
pub fn load(roots: &[PathBuf], failed: Failed) -> Result<Loaded, FiguresError> {
    let mut paths = Vec::new();
    for root in roots {
        let before = paths.len();
        find(root, DEPTH_MAX, &mut paths)?;
        if paths.len() == before {
            return Err(FiguresError::NoRecords(root.clone()));
        }
    }
    paths.sort();
    paths.dedup();
    let mut loaded = Loaded::default();
    for path in paths {
        let run = read(&path)?;
        if failed == Failed::Use || run.is_sound() {
            loaded.runs.push(run);
        } else {
            let reason = run.record.status.reason.clone();
            loaded.left_out.push(LeftOut { dir: run.dir.clone(), reason });
            if !run.record.faults.is_empty() {
                loaded.failed_by_fault.push(run);
            }
        }
    }
    set_predictions_apart(&mut loaded.runs);
    match loaded.left_out.first() {
        Some(first) if loaded.runs.is_empty() => Err(FiguresError::AllFailed {
            runs: loaded.left_out.len(),
            first: first.dir.clone(),
            reason: first.reason.clone(),
        }),
        _ => Ok(loaded),
    }
}

/// Beside measurements, predictions are series of their own, so that no estimate mixes both.
pub(crate) fn set_predictions_apart(runs: &mut [Run]) {
    if runs.iter().all(|run| run.record.prediction.is_some()) {
        return;
    }
    for run in runs.iter_mut().filter(|run| run.record.prediction.is_some()) {
        run.record.route.architecture += PREDICTED;
    }
}

fn find(path: &Path, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), FiguresError> {
    let unread = |source: io::Error| FiguresError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(unread)?.is_file() {
        if path.file_name().is_some_and(|name| name == RECORD) {
            found.push(path.to_owned());
        }
        return Ok(());
    }
    for entry in fs::read_dir(path).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let directory = entry.file_type().map_err(unread)?.is_dir();
        // A link may be a directory: linked runs are read too.
        let linked = !directory && entry.path().is_dir();
        if entry.file_name() == NEIGHBOURS && path.join(RECORD).exists() {
            continue;
        }
        if entry.file_name() == RECORD {
            found.push(entry.path());
        } else if (directory || linked) && depth > 0 {
            find(&entry.path(), depth - 1, found)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Run, FiguresError> {
    let json = input::result(path).map_err(|source| FiguresError::Read { path: path.to_owned(), source })?;
    let record = Record::from_json(&json).map_err(|source| FiguresError::Record { path: path.to_owned(), source })?;
    Ok(Run { dir: path.parent().unwrap_or(Path::new(".")).to_owned(), record })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn keep(root: &Path, name: &str, json: &str) {
        fs::create_dir_all(root.join(name)).unwrap();
        fs::write(root.join(name).join(RECORD), json).unwrap();
    }

    #[test]
    fn records_are_found_at_any_depth_and_failed_ones_are_named() {
        let root = tempfile::tempdir().unwrap();
        let good = sample::record("dts", 1, 100.0);
        let mut lost = sample::record("dts", 1, 50.0);
        lost.status = measure::record::Status { pass: false, reason: "3 messages were lost".into(), exit_code: 4 };
        let mut cut_off = lost.clone();
        cut_off.faults = vec![measure::record::Fault::default()];
        let mut slow = good.clone();
        slow.status = measure::record::Status { pass: false, reason: "rtt_p99 < 5ms".into(), exit_code: ASSERTION };
        keep(root.path(), "a/deep/one", &good.to_json());
        keep(root.path(), "b", &lost.to_json());
        keep(root.path(), "c", &slow.to_json());
        keep(root.path(), "d", &cut_off.to_json());
        let loaded = load(&[root.path().to_owned()], Failed::LeaveOut).unwrap();
        assert_eq!(loaded.runs.len(), 2, "a run that missed an assertion measured well");
        let left_out = |dir: &str| LeftOut { dir: root.path().join(dir), reason: "3 messages were lost".to_owned() };
        assert_eq!(loaded.left_out, [left_out("b"), left_out("d")]);
        let by_fault: Vec<_> = loaded.failed_by_fault.iter().map(|run| run.dir.clone()).collect();
        assert_eq!(by_fault, [root.path().join("d")]);
        let all = load(&[root.path().to_owned()], Failed::Use).unwrap();
        assert_eq!((all.runs.len(), all.failed_by_fault.len()), (4, 0));
        let error = load(&[root.path().join("b")], Failed::LeaveOut).unwrap_err().to_string();
        assert!(error.contains("3 messages were lost") && error.ends_with("repeat them"), "{error}");
    }

    #[test]
    fn what_neighbours_of_a_run_left_is_no_run_of_a_report() {
        let root = tempfile::tempdir().unwrap();
        let json = sample::record("dts", 1, 100.0).to_json();
        for name in ["a", "a/neighbours/1", "neighbours/b"] {
            keep(root.path(), name, &json);
        }
        let loaded = load(&[root.path().to_owned()], Failed::LeaveOut).unwrap();
        let found: Vec<_> = loaded.runs.iter().map(|run| run.dir.strip_prefix(root.path()).unwrap()).collect();
        assert_eq!(found, [Path::new("a"), Path::new("neighbours/b")], "an experiment may have that name");
    }

    #[test]
    fn predictions_beside_measurements_are_series_of_their_own() {
        let root = tempfile::tempdir().unwrap();
        let mut predicted = sample::record("dts", 1, 100.0);
        predicted.prediction = Some(measure::record::Prediction::default());
        keep(root.path(), "predicted", &predicted.to_json());
        let names = || {
            let loaded = load(&[root.path().to_owned()], Failed::LeaveOut).unwrap();
            loaded.runs.into_iter().map(|run| run.record.route.architecture).collect::<Vec<_>>()
        };
        assert_eq!(names(), ["dts"], "claims are judged by predictions if there is nothing else");
        keep(root.path(), "real", &sample::record("dts", 1, 50.0).to_json());
        assert_eq!(names(), ["dts (predicted)", "dts"]);
    }

    #[track_caller]
    fn refused(json: &str, expected: &str) {
        let root = tempfile::tempdir().unwrap();
        keep(root.path(), "run", json);
        let error = load(&[root.path().to_owned()], Failed::LeaveOut).unwrap_err().to_string();
        assert!(error.contains("run/record.json") && error.contains(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_record_that_cannot_be_read_is_named_with_the_reason() {
        let whole = sample::record("dts", 1, 100.0).to_json();
        refused(&whole[..whole.len() / 2], "not a run record (EOF");
        refused("", "not a run record (EOF");
        refused(r#"{"schema": "streamharness/record/0"}"#, r#"schema "streamharness/record/0""#);
        let root = tempfile::tempdir().unwrap();
        let error = load(&[root.path().to_owned()], Failed::LeaveOut).unwrap_err().to_string();
        assert!(error.starts_with("there is no record.json in or under `"), "{error}");
        let error = load(&[root.path().join("missing")], Failed::LeaveOut).unwrap_err().to_string();
        assert!(error.contains("missing` cannot be read"), "{error}");
    }
}
