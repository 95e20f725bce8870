//! Messages from the supervisor to its caller, one line of JSON each.

use serde::{Deserialize, Serialize};
use std::{
    fmt::Display,
    io::{BufRead, Write},
};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Something worth a line on the screen.
    Progress(String),
    /// The testbed is up, `state.json` is complete.
    Ready,
    /// The start failed, and the testbed has been removed; the sentence has the reason.
    Failed(String),
}

/// Writes a line to the supervisor's log. A full disk does not end a testbed.
pub fn log(line: impl Display) {
    // In one call, so that lines are not mixed with those of other processes.
    let _ = std::io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// A caller that is gone is detected elsewhere, by the end of its stream.
pub fn send(mut to: impl Write, message: &Message) {
    if let Ok(mut line) = serde_json::to_vec(message) {
        line.push(b'\n');
        let _ = to.write_all(&line);
    }
}

/// The next message; `None` at the end of the stream or after its time limit.
pub fn receive(mut from: impl BufRead) -> Option<Message> {
    let mut line = String::new();
    from.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}
