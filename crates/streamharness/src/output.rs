//! The result directory: each file is written under a temporary name, then renamed.

use crate::exit::{Exit, Failure};
use measure::{
    Histograms, Record, hlog,
    tables::{SeriesRow, cdf_csv, ranks_csv, series_csv},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Where results go.
#[derive(Debug)]
pub struct Output {
    dir: PathBuf,
}

impl Output {
    /// Results go to `dir`, which is made when needed.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory and writes a file into it, for a try.
    pub fn check(&self) -> Result<(), Failure> {
        let probe = self.dir.join(".probe");
        let tried =
            fs::create_dir_all(&self.dir).and_then(|()| fs::write(&probe, "")).and_then(|()| fs::remove_file(&probe));
        tried.map_err(|error| self.failure(Exit::Usage, &error))
    }

    /// All files of a run.
    pub fn write(
        &self,
        record: &Record,
        histograms: &Histograms,
        rows: Vec<SeriesRow>,
        started: SystemTime,
        stream: Duration,
    ) -> Result<(), Failure> {
        let recorded = histograms.recorded();
        let files: [(&str, Vec<u8>); 5] = [
            ("series.csv", series_csv(&rows).into()),
            ("ranks.csv", ranks_csv(record).into()),
            ("cdf.csv", cdf_csv(&recorded).into()),
            ("histograms.hlog", hlog(&recorded, started, stream)),
            // Last, so that a record means that everything is there.
            ("record.json", record.to_json().into()),
        ];
        files.into_iter().try_for_each(|(name, bytes)| self.replace(name, &bytes))
    }

    /// What is known of a run that was cut short.
    pub fn write_partial(&self, record: &Record, rows: Vec<SeriesRow>) -> Result<(), Failure> {
        self.replace("record.json", record.to_json().as_bytes())?;
        self.replace("series.csv", series_csv(&rows).as_bytes())?;
        self.replace("ranks.csv", ranks_csv(record).as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        let temporary = self.dir.join(format!(".{name}.partial"));
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, self.dir.join(name)));
        written.map_err(|error| self.failure(Exit::Partial, &error))
    }

    fn failure(&self, exit: Exit, error: &io::Error) -> Failure {
        let dir = self.dir.display();
        Failure::new(exit, format!("results cannot be written to `{dir}`: {error}; give another directory with --out"))
    }
}
