//! Identifies a process so that a recycled pid is never mistaken for it.

use crate::Result;
use nix::{
    fcntl::{OFlag, openat},
    sys::{
        signal::{Signal, kill},
        stat::Mode,
    },
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use shortage::SystemContext;
use std::{fs::File, io::Read, os::fd::OwnedFd};

/// A pid together with its start time, which no later process with the same pid shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The pid as the host sees it.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks since boot.
    pub start_ticks: u64,
}

/// A handle on one `/proc`, kept open because a fresh one for the sandbox may be mounted over it.
#[derive(Debug)]
pub struct Proc(OwnedFd);

impl Proc {
    pub fn open() -> Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Self(nix::fcntl::open("/proc", flags, Mode::empty()).when("open /proc")?))
    }

    /// A descriptor of a file in it.
    pub fn open_file(&self, path: &str) -> Result<OwnedFd> {
        Ok(openat(&self.0, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).when("open a file in /proc")?)
    }

    fn read(&self, path: &str) -> Option<String> {
        let file = openat(&self.0, path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()).ok()?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// The process that has `pid` now; `None` for a zombie, which is dead and waits to be reaped.
    pub fn process(&self, pid: i32) -> Option<Process> {
        let (state, start_ticks) = parse_stat(&self.read(&format!("{pid}/stat"))?)?;
        (!matches!(state, 'Z' | 'X')).then_some(Process { pid, start_ticks })
    }

    pub fn is_alive(&self, process: Process) -> bool {
        self.process(process.pid) == Some(process)
    }

    /// Sends `signal` if the process is still the same. False if it has ended.
    pub fn signal(&self, process: Process, signal: Signal) -> bool {
        self.is_alive(process) && kill(Pid::from_raw(process.pid), signal).is_ok()
    }

    /// The children of a single-threaded process, zombies included.
    pub fn children(&self, pid: i32) -> Vec<i32> {
        let text = self.read(&format!("{pid}/task/{pid}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
    }
}

/// Changes with every boot, so that pids of an earlier boot are not compared with current ones.
pub fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    text.trim().to_owned()
}

/// State and start time. The name is second, in parentheses, and may itself contain spaces and parentheses.
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_a_name_full_of_parentheses() {
        let line = "7 (a) (b c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 1000 10";
        assert_eq!(parse_stat(line), Some(('S', 123456)));
    }

    #[test]
    fn another_start_time_is_another_process() {
        let proc = Proc::open().unwrap();
        let me = proc.process(std::process::id() as i32).unwrap();
        assert!(proc.is_alive(me));
        assert!(!proc.is_alive(Process { start_ticks: me.start_ticks + 1, ..me }));
    }
}
