//! Errors in the input of a report; each sentence names the file and ends in what to do.

use measure::RecordError;
use std::path::PathBuf;
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
    /// No run under a directory.
    #[error("there is no record.json in or under `{}`; give the directory of a run or of a sweep", .0.display())]
    NoRecords(PathBuf),
    /// A record that cannot be read: cut off, of another version, or not a record.
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
        /// Number of runs.
        runs: usize,
        /// Directory of one of them.
        first: PathBuf,
        /// Its verdict.
        reason: String,
    },
    /// Two runs of one point have different plans.
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
        /// The first field that differs.
        field: String,
    },
    /// A file beside a record is damaged.
    #[error("`{}` is damaged; repeat the run, or move its directory away", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A specification of a figure or claim cannot be parsed.
    #[error("`{file}`: {reason}")]
    Specification {
        /// The file.
        file: String,
        /// The reason, and what to write instead.
        reason: String,
    },
    /// No figure of that name.
    #[error("no figure is called `{name}`; there are: {known}")]
    UnknownFigure {
        /// The requested name.
        name: String,
        /// All known names.
        known: String,
    },
    /// No run matches a figure.
    #[error("figure `{figure}` is empty: there is no run with {wanted}")]
    NothingToDraw {
        /// The figure.
        figure: String,
        /// Its conditions on runs.
        wanted: String,
    },
}
