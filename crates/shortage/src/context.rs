//! What was tried when the system returned an error, for the error types of the crates above.

use crate::explained;
use std::{
    io,
    path::{Path, PathBuf},
};

/// An operation on a file failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// The action, as a verb.
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// The error of the system, with the remedy if a limit causes it.
    pub source: io::Error,
}

/// A system call failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}")]
pub struct SystemError {
    /// The action, as a verb.
    pub action: &'static str,
    /// The error of the system, with the remedy if a limit causes it.
    pub source: io::Error,
}

/// Adds the action and the file to an I/O error.
pub trait FileContext<T> {
    /// # Errors
    ///
    /// The error, with the action and the file.
    fn on(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

/// Adds the action to the error of a system call.
pub trait SystemContext<T> {
    /// # Errors
    ///
    /// The error, with the action.
    fn when(self, action: &'static str) -> Result<T, SystemError>;
}

impl<T> FileContext<T> for io::Result<T> {
    fn on(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { action, path: path.to_owned(), source: explained(source) })
    }
}

impl<T, E: Into<io::Error>> SystemContext<T> for Result<T, E> {
    fn when(self, action: &'static str) -> Result<T, SystemError> {
        self.map_err(|source| SystemError { action, source: explained(source.into()) })
    }
}
