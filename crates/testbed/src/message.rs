//! What the supervisor tells whoever started it, one line of JSON each.

use std::fmt::Display;
use std::io::{BufRead, Write};

use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Something worth a line on the screen.
    Progress(String),
    /// The testbed is up, `state.json` is complete.
    Ready,
    /// It is not, and has been removed; the sentence says why.
    Failed(String),
}

/// A line for the supervisor's log. A disk that is full ends no testbed.
pub fn log(line: impl Display) {
    // In one call, so that it stays a line among those of other processes.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A caller that is gone is noticed elsewhere, as the end of its side of the stream.
pub fn send(mut to: impl Write, message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let _ = to.write_all(&line);
    }
}

/// The next message; none at the end of the stream or when its time limit is over.
pub fn receive(mut from: impl BufRead) -> Option<Message> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
