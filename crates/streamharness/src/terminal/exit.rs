//! Exit codes, and the sentence that goes with each failure.

use measure::foreign;
use std::{fmt, process::ExitCode};

/// What the program's exit code says. A contract: scripts rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Pass = 0,
    /// What was typed is not understood.
    Usage = 1,
    /// A profile cannot become a plan.
    Profile = 2,
    /// The route or a connection failed.
    Route = 3,
    /// Messages were lost, damaged or cannot be accounted for.
    Integrity = 4,
    /// The run was sound, and did not meet what was asserted of it.
    Assertion = 5,
    /// Senders could not keep their schedule, and --strict was given.
    GeneratorLimited = 6,
    /// The run was cut short: deadline, signal, lost rank.
    Partial = 7,
}

impl Exit {
    /// The exit code of another rank, as it was sent.
    pub fn from_code(code: u8) -> Self {
        use Exit::*;
        [Pass, Usage, Profile, Route, Integrity, Assertion, GeneratorLimited]
            .into_iter()
            .find(|exit| *exit as u8 == code)
            .unwrap_or(Self::Partial)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

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

    /// Says it on stderr.
    pub fn tell(&self) -> ExitCode {
        if !self.sentence.is_empty() {
            crate::terminal::stderr::say(&self.sentence);
        }
        self.exit.into()
    }
}
