//! The one way to stdout: a reader that has gone (`| head`) is no error.

use std::io::Write;

/// Writes `text` as it is.
pub fn print(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}
