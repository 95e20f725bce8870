//! Runs with the files beside their records: distributions and series, read on demand and cached.

use crate::{Distribution, FiguresError, Run, input};
use measure::{Buckets, Metric, read_hlog};
use std::{
    cell::RefCell,
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    rc::Rc,
};

const HISTOGRAMS: &str = "histograms.hlog";
const SERIES: &str = "series.csv";
const SECOND: &str = "second";

type Kept = HashMap<PathBuf, Rc<Vec<(Metric, Distribution)>>>;

/// All runs of a report.
#[derive(Debug, Default)]
pub struct Measured {
    /// Ordered by directory.
    pub runs: Vec<Run>,
    distributions: RefCell<Kept>,
}

impl Measured {
    /// From runs that were read.
    pub fn of(runs: Vec<Run>) -> Self {
        Self { runs, distributions: RefCell::default() }
    }

    /// The distribution of a latency in a run; absent if it was not measured. A run that was cut short has none.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Damaged`] if the file is damaged.
    pub fn distribution(&self, run: &Run, metric: Metric) -> Result<Option<Distribution>, FiguresError> {
        let all = self.distributions_of(run)?;
        Ok(all.iter().find(|(kind, _)| *kind == metric).map(|(_, distribution)| distribution.clone()))
    }

    fn distributions_of(&self, run: &Run) -> Result<Rc<Vec<(Metric, Distribution)>>, FiguresError> {
        if let Some(kept) = self.distributions.borrow().get(&run.dir) {
            return Ok(Rc::clone(kept));
        }
        let sections = self.histograms(run)?;
        let distributions = sections.iter().map(|(metric, buckets)| (*metric, Distribution::of(buckets)));
        let kept = Rc::new(distributions.collect());
        self.distributions.borrow_mut().insert(run.dir.clone(), Rc::clone(&kept));
        Ok(kept)
    }

    /// The buckets of all latencies of a run, as in its file; empty if there is none.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Damaged`] if the file is damaged.
    pub fn histograms(&self, run: &Run) -> Result<Vec<(Metric, Buckets)>, FiguresError> {
        let path = run.dir.join(HISTOGRAMS);
        match input::result_bytes(&path) {
            Ok(log) => read_hlog(&log).ok_or(FiguresError::Damaged { path }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(FiguresError::Read { path, source }),
        }
    }

    /// All columns of numbers of a run's series, one value for each second, NaN if unmeasured; empty if there are none.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Damaged`] if the file is damaged.
    pub fn columns(&self, run: &Run) -> Result<Vec<(String, Vec<f64>)>, FiguresError> {
        let path = run.dir.join(SERIES);
        let text = match input::result(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(FiguresError::Read { path, source }),
        };
        let mut lines = text.lines();
        let header = lines.next().unwrap_or_default();
        let mut columns: Vec<(String, Vec<f64>)> =
            header.split(',').map(|name| (name.to_owned(), Vec::new())).collect();
        let mut texts: BTreeSet<String> = BTreeSet::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            if cells.len() != columns.len() {
                return Err(FiguresError::Damaged { path });
            }
            for ((name, values), cell) in columns.iter_mut().zip(cells) {
                match cell.parse() {
                    Ok(value) => values.push(value),
                    // An unmeasured value of a second is empty.
                    Err(_) if cell.is_empty() => values.push(f64::NAN),
                    Err(_) => drop(texts.insert(name.clone())),
                }
            }
        }
        columns.retain(|(name, _)| !texts.contains(name));
        if columns.iter().any(|(name, _)| name == SECOND) { Ok(columns) } else { Err(FiguresError::Damaged { path }) }
    }

    /// A column of a run's series against seconds; empty if there is none.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Damaged`] if the file is damaged.
    pub fn series(&self, run: &Run, column: &str) -> Result<Vec<(f64, f64)>, FiguresError> {
        let columns = self.columns(run)?;
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let of = |wanted: &str| columns.iter().find(|(name, _)| name == wanted).map(|(_, values)| values);
        let (Some(seconds), Some(values)) = (of(SECOND), of(column)) else {
            return Err(FiguresError::Damaged { path: run.dir.join(SERIES) });
        };
        Ok(seconds.iter().copied().zip(values.iter().copied()).collect())
    }

    /// Puts distributions where the file of run number `run` would be.
    pub fn remember(&mut self, run: usize, distributions: Vec<(Metric, Distribution)>) {
        self.distributions.borrow_mut().insert(self.runs[run].dir.clone(), Rc::new(distributions));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    #[test]
    fn files_beside_a_record_are_read_missing_ones_are_empty_and_damaged_ones_named() {
        let dir = tempfile::tempdir().unwrap();
        let run = Run { dir: dir.path().to_owned(), record: sample::record("dts", 1, 10.0) };
        assert_eq!(Measured::default().distribution(&run, Metric::Service).unwrap(), None);
        assert_eq!(Measured::default().series(&run, "sent").unwrap(), []);

        let mut histogram = measure::Histogram::new();
        histogram.record(5_000_000_000);
        let log = measure::hlog(&[(Metric::Service, &histogram)], SystemTime::UNIX_EPOCH, Duration::from_secs(1));
        fs::write(dir.path().join(HISTOGRAMS), &log).unwrap();
        fs::write(dir.path().join(SERIES), "second,sent\n0,5\n1,7\n").unwrap();
        let measured = Measured::default();
        let distribution = measured.distribution(&run, Metric::Service).unwrap().unwrap();
        assert!((distribution.quantile(0.5).unwrap() - 5.0).abs() < 0.01);
        assert_eq!(measured.series(&run, "sent").unwrap(), [(0.0, 5.0), (1.0, 7.0)]);
        fs::write(dir.path().join(SERIES), "second,sent,ready,alarm\n0,5,,memory\n1,7,3,\n").unwrap();
        let columns = measured.columns(&run).unwrap();
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["second", "sent", "ready"], "a column of words is passed over");
        assert!(columns[2].1[0].is_nan() && columns[2].1[1] == 3.0);

        fs::write(dir.path().join(HISTOGRAMS), &log[..log.len() / 2]).unwrap();
        fs::write(dir.path().join(SERIES), "second,sent\n0,5\n1").unwrap();
        for error in [
            Measured::default().distribution(&run, Metric::Service).unwrap_err(),
            Measured::default().series(&run, "sent").unwrap_err(),
        ] {
            let error = error.to_string();
            assert!(error.contains(dir.path().to_str().unwrap()) && error.contains("damaged"), "{error}");
        }
    }
}
