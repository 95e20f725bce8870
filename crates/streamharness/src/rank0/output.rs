//! The result directory: the files that a run writes there, and those of an earlier run that it removes.

use crate::{
    files::whole,
    terminal::exit::{Exit, Failure},
};
use figures::input;
use measure::{
    Histograms, Record, hlog,
    tables::{SeriesRow, cdf_csv, ranks_csv, series_csv},
};
use profile::Plan;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

const RECORD: &str = "record.json";
const FILES: [&str; 5] = [RECORD, "series.csv", "ranks.csv", "cdf.csv", "histograms.hlog"];
/// Name of the file with the first corrupt body, without its extension.
const CORRUPT_SAMPLE: &str = "first-corrupt";
/// The prefix of run directories, before their numbers.
const RUN: &str = "run-";
/// The summary of all runs.
const SUMMARY: &str = "summary.json";
/// Runs of the same kind that may begin in the same second.
const NAMESAKES_MAX: u32 = 100;

/// Where results go.
#[derive(Debug, Clone)]
pub struct Output {
    /// The directory that the user named; below it no link is followed.
    top: PathBuf,
    dir: PathBuf,
    /// Whether the directory must be new: its name is ours, not the user's.
    new: bool,
}

impl Output {
    /// Results go to `dir`, in place of those of an earlier run there.
    pub fn into_dir(dir: PathBuf) -> Self {
        Self { top: dir.clone(), dir, new: false }
    }

    /// Results go to a new directory `results/<time>-<architecture>-<workload>-<pattern>`.
    pub fn named_after(plan: &Plan) -> Self {
        let time = jiff::Zoned::now().strftime("%Y%m%dT%H%M%S");
        let stem = |name: &str| Path::new(name).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (arch, workload) = (stem(&plan.architecture), stem(&plan.workload));
        let dir = PathBuf::from(format!("results/{time}-{arch}-{workload}-{}", plan.pattern));
        Self { new: true, ..Self::into_dir(dir) }
    }

    /// Results go to a directory of this name in this one.
    pub fn of_point(&self, name: &str) -> Self {
        Self { top: self.top.clone(), dir: self.dir.join(name), new: false }
    }

    /// Results of one of several runs go to a directory of its own in this one.
    pub fn of_run(&self, number: u32) -> Self {
        self.of_point(&format!("{RUN}{number:03}"))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory, finds out whether there is room in it, and removes results of an earlier run.
    pub fn prepare(&mut self) -> Result<(), Failure> {
        let made = if self.new { self.make_new() } else { whole::make_dir(&self.top, &self.dir) };
        let cleared = made.and_then(|()| whole::probe(&self.dir)).and_then(|()| self.clear());
        cleared.map_err(|error| self.failure(Exit::Usage, &error))
    }

    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let run = name.strip_prefix(RUN).is_some_and(|number| number.parse::<u32>().is_ok());
            if run && entry.file_type()?.is_dir() {
                let run = Self::into_dir(entry.path());
                run.clear()?;
                // Files of others stay.
                let _ = fs::remove_dir(run.dir);
            } else if name == SUMMARY
                || FILES.contains(&&*name)
                || name.strip_prefix(CORRUPT_SAMPLE).is_some_and(|ending| ending.starts_with('.'))
                || is_partial(&name)
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Another run may have taken the name in the same second.
    fn make_new(&mut self) -> io::Result<()> {
        fs::create_dir_all(self.dir.parent().expect("the name has a folder"))?;
        let name = self.dir.clone();
        for namesake in 2..=NAMESAKES_MAX {
            match fs::create_dir(&self.dir) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    self.dir = PathBuf::from(format!("{}-{namesake}", name.display()));
                    self.top.clone_from(&self.dir);
                }
                made => return made,
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// All files of a run, the record first: on a full disk it is the most useful one.
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
            (RECORD, record.to_json().into()),
            ("series.csv", series_csv(&rows).into()),
            ("ranks.csv", ranks_csv(record).into()),
            ("cdf.csv", cdf_csv(&recorded).into()),
            ("histograms.hlog", hlog(&recorded, started, stream)),
        ];
        files.into_iter().try_for_each(|(name, bytes)| self.replace(name, &bytes))
    }

    /// The record alone.
    pub fn write_record(&self, record: &Record) -> Result<(), Failure> {
        self.replace(RECORD, record.to_json().as_bytes())
    }

    /// The first corrupt body; returns the name of its file.
    pub fn write_corrupt(&self, body: &[u8], ending: &str) -> Result<String, Failure> {
        let name = format!("{CORRUPT_SAMPLE}.{ending}");
        self.replace(&name, body)?;
        Ok(name)
    }

    /// The record in the directory, if there is one. An unreadable record is an error.
    pub fn record(&self) -> Result<Option<Record>, Failure> {
        let path = self.dir.join(RECORD);
        let unread = |error: &dyn std::fmt::Display| {
            let sentence = format!("{}: {error}; move it away, or give another directory with --out", path.display());
            Failure::new(Exit::Usage, sentence)
        };
        match input::result(&path) {
            Ok(text) => Record::from_json(&text).map(Some).map_err(|error| unread(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unread(&error)),
        }
    }

    /// The files of a run that was cut short.
    pub fn write_partial(&self, record: &Record, rows: Vec<SeriesRow>) -> Result<(), Failure> {
        self.write_record(record)?;
        self.replace("series.csv", series_csv(&rows).as_bytes())?;
        self.replace("ranks.csv", ranks_csv(record).as_bytes())
    }

    /// The summary of all runs of a launch.
    pub fn write_summary(&self, json: &str) -> Result<(), Failure> {
        self.replace(SUMMARY, json.as_bytes())
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        whole::write(&self.dir.join(name), bytes).map_err(|error| self.failure(Exit::Partial, &error))
    }

    fn failure(&self, exit: Exit, error: &io::Error) -> Failure {
        let dir = self.dir.display();
        Failure::new(exit, format!("results cannot be written to `{dir}`: {error}; give another directory with --out"))
    }
}

/// Whether it is a half-written file of a killed run.
fn is_partial(name: &str) -> bool {
    let ours =
        |name: &str| [&FILES[..], &[SUMMARY, CORRUPT_SAMPLE, "probe"]].concat().iter().any(|one| name.starts_with(one));
    name.ends_with(whole::PARTIAL) && name.strip_prefix('.').is_some_and(ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_that_begin_in_the_same_second_get_directories_of_their_own() {
        let root = std::env::temp_dir().join(format!("streamharness-output-{}", std::process::id()));
        let mut outputs: Vec<Output> =
            (0..3).map(|_| Output { new: true, ..Output::into_dir(root.join("results/same")) }).collect();
        outputs.iter_mut().for_each(|output| output.prepare().unwrap());
        let names: Vec<_> = outputs.iter().map(|output| output.dir().file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["same", "same-2", "same-3"]);
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn results_of_an_earlier_run_are_gone_before_the_next_one_begins() {
        let root = std::env::temp_dir().join(format!("streamharness-earlier-{}", std::process::id()));
        let mut output = Output::into_dir(root.clone());
        output.prepare().unwrap();
        fs::write(root.join("cdf.csv"), "old").unwrap();
        output.write_corrupt(b"old", "h5").unwrap();
        fs::write(root.join("notes.txt"), "mine").unwrap();
        fs::write(root.join(".record.json.Xy12.partial"), "killed").unwrap();
        output.of_run(2).prepare().unwrap();
        fs::write(root.join("run-002/record.json"), "old").unwrap();
        output.write_summary("old").unwrap();
        output.prepare().unwrap();
        assert!(!root.join("run-002").exists() && !root.join("summary.json").exists());
        assert!(!root.join(".record.json.Xy12.partial").exists(), "a half-written file of a killed run");
        assert!(!root.join("cdf.csv").exists() && !root.join("first-corrupt.h5").exists());
        assert!(root.join("notes.txt").exists());
        fs::remove_dir_all(root).unwrap();
    }
}
