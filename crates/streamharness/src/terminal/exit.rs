//! Exit codes, and the sentence that goes with each failure.

use measure::{foreign, record::Status};
use std::{fmt, process::ExitCode};

pub use measure::Exit;

/// Why the program ends without doing what it was asked: a code, and one sentence that says what
/// to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// The sentence. Empty where another rank tells it.
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

    /// Says it on stderr.
    pub fn tell(&self) -> ExitCode {
        if !self.sentence.is_empty() {
            crate::terminal::stderr::say(&self.sentence);
        }
        self.exit.into()
    }
}
