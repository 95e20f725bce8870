//! What can be wrong with what a report is made of; each sentence names the file and ends in what to do.

use std::path::PathBuf;

use measure::RecordError;
use thiserror::Error;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum FiguresError {
    /// A file or directory cannot be read.
    #[error("`{}` cannot be read: {source}; give a directory that a run or a sweep wrote", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No run at all under a directory.
    #[error("there is no record.json in or under `{}`; give the directory of a run or of a sweep", .0.display())]
    NoRecords(PathBuf),
    /// A record that cannot be read: cut off, of another version, or something else.
    #[error("`{}`: {source}; or move its directory away", path.display())]
    Record {
        /// The record.
        path: PathBuf,
        /// Why.
        source: RecordError,
    },
    /// Every run failed.
    #[error(
        "all {runs} runs failed, `{}` because: {reason}; repeat them",
        first.display()
    )]
    AllFailed {
        /// How many there are.
        runs: usize,
        /// Where one of them is.
        first: PathBuf,
        /// Its verdict.
        reason: String,
    },
    /// Two runs of one point were not carried out alike.
    #[error(
        "`{}` and `{}` are both {point}, and their plans differ in `{field}`; give them one at a time, \
         or keep them in different directories",
        one.display(), other.display()
    )]
    MixedPlans {
        /// The point.
        point: String,
        /// One run.
        one: PathBuf,
        /// One that differs from it.
        other: PathBuf,
        /// The first field in which it does.
        field: String,
    },
    /// A file beside a record is not what a run writes there.
    #[error("`{}` is damaged; repeat the run, or move its directory away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A file that says what to draw or to check is not understood.
    #[error("`{file}`: {reason}")]
    Specification {
        /// The file.
        file: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// No figure of that name.
    #[error("no figure is called `{name}`; there are: {known}")]
    UnknownFigure {
        /// What was asked for.
        name: String,
        /// All there are.
        known: String,
    },
    /// No run that a figure could show.
    #[error("figure `{figure}` has nothing to show: no run here with {wanted}")]
    NothingToDraw {
        /// The figure.
        figure: String,
        /// What it asks of runs.
        wanted: String,
    },
}
