//! Where a part of a profile was written.

use std::fmt;

/// Where a layer was written; errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Flags and `--set`.
    CommandLine,
    /// A file, by its path or shipped name.
    File(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => f.write_str("command line"),
            Self::File(name) => f.write_str(name),
        }
    }
}
