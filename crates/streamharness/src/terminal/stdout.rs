//! All output to stdout: a closed reader (`| head`) is not an error, a full disk is.

use crate::terminal::exit::{Exit, Failure};
use clap::builder::StyledStr;
use measure::foreign;
use std::io::{ErrorKind, IsTerminal, Write, stdout};

/// Writes `text`, with control characters from foreign text escaped.
pub fn print(text: &str) -> Result<(), Failure> {
    write(foreign::lines(text).as_bytes())
}

/// Writes the program's own help, with colours on a terminal.
pub fn print_styled(text: &StyledStr) -> Result<(), Failure> {
    let text = if stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
    write(text.as_bytes())
}

fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let sentence = format!("standard output cannot be written: {error}; redirect it to a disk with room");
            Err(Failure::new(Exit::Partial, sentence))
        }
        _ => Ok(()),
    }
}
