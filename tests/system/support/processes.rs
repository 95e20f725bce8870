//! Processes as `/proc` shows them. Every launch is marked in its environment, which all that it starts inherits.

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use std::fs;

/// The variable that holds the mark.
pub const MARK: &str = "STREAMHARNESS_SYSTEM_TEST";

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its command line.
    pub arguments: Vec<String>,
    environment: Vec<String>,
}

impl Process {
    /// The value of a variable in its environment.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }

    /// Its arguments and its environment.
    pub fn texts(&self) -> impl Iterator<Item = &String> {
        self.arguments.iter().chain(&self.environment)
    }

    /// Whether a file or directory is named in its arguments or its environment.
    fn names(&self, path: &str) -> bool {
        self.texts().any(|text| text.contains(path))
    }

    /// The argument after `flag`.
    pub fn argument(&self, flag: &str) -> Option<&str> {
        let at = self.arguments.iter().position(|argument| argument == flag)?;
        self.arguments.get(at + 1).map(String::as_str)
    }
}

/// All processes that can be looked into. A zombie has neither arguments nor environment and does not count.
pub fn all() -> Vec<Process> {
    let strings = |path: std::path::PathBuf| -> Vec<String> {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.split(|byte| *byte == 0).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let (arguments, environment) =
                (strings(entry.path().join("cmdline")), strings(entry.path().join("environ")));
            Some(Process { pid, arguments, environment })
        })
        .collect()
}

/// The processes of one launch.
pub fn marked(mark: &str) -> Vec<Process> {
    all().into_iter().filter(|process| process.variable(MARK) == Some(mark)).collect()
}

/// The processes that work with a directory.
pub fn of_directory(path: &str) -> Vec<Process> {
    let own = std::process::id() as i32;
    all().into_iter().filter(|process| process.pid != own && process.names(path)).collect()
}

/// Sends a signal; false if the process is gone.
pub fn send(pid: i32, signal: Signal) -> bool {
    signal::kill(Pid::from_raw(pid), signal).is_ok()
}
