//! The one way to stderr: a reader that has gone (`2>&1 | head`) ends no run and no testbed.

use std::{fmt, io::Write};

/// Writes `line` as one of the program's own.
pub fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stderr(), "streamharness: {line}");
}
