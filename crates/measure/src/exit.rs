//! The outcome of a run in one number: the record's exit code, and the program's.

use std::process::ExitCode;

/// The meaning of the program's exit code. A contract: scripts rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Pass = 0,
    /// The command line is not valid.
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
