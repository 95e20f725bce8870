//! The one way to stderr: a reader that has gone (`2>&1 | head`) ends no run and no testbed.

use measure::foreign;
use std::{fmt, io::Write};

/// Writes `line` as one of the program's own. What it quotes over several lines is set in, so that it is taken for nothing else.
pub fn say(line: impl fmt::Display) {
    let line = format!("streamharness: {}\n", foreign::sentence(&line.to_string()).replace('\n', "\n    "));
    let _ = std::io::stderr().write_all(line.as_bytes());
}
