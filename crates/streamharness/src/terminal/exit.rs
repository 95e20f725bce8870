//! Exit codes, and the sentence that goes with each failure.

use measure::{foreign, record::Status};
use std::{fmt, process::ExitCode};

pub use measure::Exit;

/// Why the program failed: an exit code, and one sentence that ends in what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// The sentence. Empty if another rank reports it.
    pub sentence: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, sentence: foreign::sentence(&sentence.to_string()) }
    }

    /// The verdict of a record that it ends.
    pub fn status(&self) -> Status {
        Status::new(self.exit, self.sentence.clone())
    }

    /// Reports it on stderr.
    pub fn report(&self) -> ExitCode {
        if !self.sentence.is_empty() {
            crate::terminal::stderr::say(&self.sentence);
        }
        self.exit.into()
    }
}
