//! Other programs on this host: where they are, and what they print, within a limit.

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use std::{
    env,
    io::{Read, Seek},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How often a program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long it may take to end once it is told to.
const END_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of its output that are read.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;

/// A program that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Whether it reported success.
    pub success: bool,
    /// The beginning of what it wrote, to stdout and to stderr.
    pub text: String,
}

/// The file that a shell would start by this name.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Runs a program to its end, at most for `limit`.
///
/// # Errors
///
/// Half a sentence, if it cannot be started or does not end.
pub fn run(command: &mut Command, limit: Duration) -> Result<Ran, String> {
    let failed = |error| format!("cannot be started ({})", shortage::explain(&error));
    let mut file = tempfile::tempfile().map_err(failed)?;
    let output = || file.try_clone().map(Stdio::from).map_err(failed);
    command.stdin(Stdio::null()).stdout(output()?).stderr(output()?).process_group(0);
    let mut child = command.spawn().map_err(failed)?;
    let Some(success) = ended(&mut child, limit) else {
        end(&mut child);
        return Err(format!("has not ended after {} s", limit.as_secs()));
    };
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)).map_err(failed)?;
    Ok(Ran { success, text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Whether it reported success; `None` if it has not ended in time.
fn ended(child: &mut Child, limit: Duration) -> Option<bool> {
    let end = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status.success()),
            Ok(None) if Instant::now() < end => thread::sleep(LOOK_EVERY),
            _ => return None,
        }
    }
}

/// Ends it and what it started: politely, so that a launcher can end its ranks.
fn end(child: &mut Child) {
    let group = Pid::from_raw(child.id().cast_signed());
    let _ = killpg(group, Signal::SIGTERM);
    if ended(child, END_LIMIT).is_none() {
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> Result<Ran, String> {
        run(Command::new("sh").args(["-c", script]), limit)
    }

    #[test]
    fn both_outputs_are_read_and_the_end_is_reported() {
        let ran = shell("echo out; echo err >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!(ran, Ran { success: false, text: "out\nerr\n".to_owned() });
        assert!(shell("true", Duration::from_secs(60)).unwrap().success);
    }

    #[test]
    fn a_program_that_does_not_end_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let pids = folder.path().join("pids");
        let script = format!("sleep 600 & echo $! >{}; wait", pids.display());
        let error = shell(&script, Duration::from_secs(3)).unwrap_err();
        assert!(error.contains("has not ended"), "{error}");
        let child: i32 = std::fs::read_to_string(pids).unwrap().trim().parse().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        // A zombie until init has reaped it.
        let runs = || std::fs::read_to_string(format!("/proc/{child}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while runs() && Instant::now() < end {
            thread::sleep(LOOK_EVERY);
        }
        assert!(!runs());
        assert!(run(&mut Command::new("/no/such/program"), Duration::from_secs(1)).unwrap_err().contains("started"));
    }
}
