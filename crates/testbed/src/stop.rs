//! Removes a testbed, or the remains of a crashed one.

use crate::{
    Error, Result,
    limits::Groups,
    lock, place, ports,
    process::{Proc, Process, boot_id},
    state::State,
};
use nix::sys::signal::Signal;
use shortage::SystemContext;
use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

/// How long the supervisor may take to end everything itself.
const POLITE_LIMIT: Duration = Duration::from_secs(15);
/// How long killed processes and their ports may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// Removes the testbed in `dir`. True if there was one, or the remains of one; otherwise false.
///
/// # Errors
///
/// [`Error::LeftBehind`] if something could not be removed.
pub fn down(dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<bool> {
    if !lock::path(dir).exists() {
        return Ok(false);
    }
    let dir = &std::path::absolute(dir).when("resolve the testbed's directory")?;
    let proc = Proc::open()?;
    let lock = match lock::take(dir) {
        // It has just ended by itself.
        Err(_) if !dir.exists() => return Ok(true),
        taken => taken?,
    };
    let Some(lock) = lock else {
        stop_alive(dir, &proc, progress)?;
        return Ok(true);
    };
    progress("removing the remains of an earlier testbed");
    remove_stale(dir, &lock)?;
    Ok(true)
}

/// Removes the remains of a testbed in `dir` without a supervisor, which `lock` proves.
pub(crate) fn remove_stale(dir: &Path, lock: &File) -> Result<()> {
    clear_stale(dir, lock)?;
    place::remove(dir)
}

/// Ends processes that a testbed without a supervisor left running, and empties its directory. `_lock` proves that
/// there is no supervisor.
pub(crate) fn clear_stale(dir: &Path, _lock: &File) -> Result<()> {
    // An unreadable state file names no processes; the sandbox has ended them.
    if let Ok(Some(state)) = State::load(dir)
        && state.boot_id == boot_id()
    {
        let proc = Proc::open()?;
        let killed = kill_all(&proc, &state);
        // Only if a process was still ours: otherwise other programs may use the ports by now.
        verify_gone(dir, &proc, &state, killed)?;
        remove_groups(&state)?;
    }
    place::empty(dir, false)
}

/// Signals the supervisor to end, and kills it if it does not; its parts end with it.
fn stop_alive(dir: &Path, proc: &Proc, progress: &mut dyn FnMut(&str)) -> Result<()> {
    let Some(state) = State::load(dir)? else { return Err(Error::Busy(dir.to_owned())) };
    let Some(supervisor) = state.supervisor().filter(|supervisor| proc.is_alive(*supervisor)) else {
        return Err(Error::Busy(dir.to_owned()));
    };
    progress(&format!("stopping {} nodes", state.nodes));
    proc.signal(supervisor, Signal::SIGTERM);
    if !is_gone_within(POLITE_LIMIT, proc, supervisor) {
        progress("the supervisor does not respond: killing it");
        kill_all(proc, &state);
    }
    verify_gone(dir, proc, &state, true)?;
    remove_groups(&state)?;
    // There still if the supervisor was killed, or found a reason to keep the logs.
    if dir.exists()
        && let Some(lock) = lock::take(dir)?
    {
        place::remove(dir)?;
        drop(lock);
    }
    progress("nothing is left");
    Ok(())
}

/// Kills every listed process that still is the one listed. True if there was any.
fn kill_all(proc: &Proc, state: &State) -> bool {
    // The supervisor is the first in the list, so it does not see its parts die.
    state.processes().filter(|(_, process)| proc.signal(*process, Signal::SIGKILL)).count() > 0
}

/// Already removed if the supervisor ended in order.
fn remove_groups(state: &State) -> Result<()> {
    state.limits.as_ref().map_or(Ok(()), Groups::remove)
}

fn is_gone_within(limit: Duration, proc: &Proc, process: Process) -> bool {
    let end = Instant::now() + limit;
    while proc.is_alive(process) {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// No listed process is alive and, if `and_ports`, no listed port is taken.
fn verify_gone(dir: &Path, proc: &Proc, state: &State, and_ports: bool) -> Result<()> {
    let end = Instant::now() + GONE_LIMIT;
    loop {
        let mut left: Vec<String> = state
            .processes()
            .filter(|(_, process)| proc.is_alive(*process))
            .map(|(name, process)| format!("{name} (pid {})", process.pid))
            .collect();
        if let Some(network) = &state.network {
            left.extend(network.occupants());
        } else if and_ports {
            left.extend(
                state.ports().filter(|port| !ports::is_free(*port, state.reachable)).map(|port| format!("port {port}")),
            );
        }
        if left.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::LeftBehind { path: dir.to_owned(), left: left.join(", ") });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CpuLimits, Routes, network::NetworkChoice};
    use std::process::{Child, Command, Stdio};

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60").stdin(Stdio::null());
        command
    }

    /// A sleeper in a group with a limit, where that is possible.
    fn limited() -> (Option<Groups>, Child) {
        let limits = CpuLimits::read(["node=1"], 1, &Routes::default(), &NetworkChoice::Loopback).unwrap();
        let mut sleeper = sleeper();
        let groups = Groups::choose(limits).inspect_err(|error| eprintln!("without groups: {error}")).ok();
        if let Some(groups) = &groups {
            groups.make().unwrap();
            groups.enter_at_start("node 1", &mut sleeper).unwrap();
        }
        (groups, sleeper.spawn().unwrap())
    }

    #[test]
    fn a_directory_without_a_testbed_is_left_alone_quietly() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(!down(dir.path(), &mut |_| ()).unwrap());
        assert!(!down(&dir.path().join("none"), &mut |_| ()).unwrap());
        assert!(dir.path().join("file").exists());
    }

    #[test]
    fn a_stale_testbed_loses_its_processes_and_groups_but_a_recycled_pid_is_spared() {
        let outer = tempfile::tempdir().unwrap();
        let dir = place::prepare(&outer.path().join("testbed")).unwrap();
        drop(lock::take(&dir).unwrap());
        let (groups, mut ours) = limited();
        let mut stranger = sleeper().spawn().unwrap();
        let proc = Proc::open().unwrap();
        let mut state = crate::state::tests::example();
        state.boot_id = boot_id();
        state.parts[0].ports.clear();
        state.parts[0].process = proc.process(ours.id() as i32);
        let recycled = proc.process(stranger.id() as i32).unwrap();
        state.parts[1].ports.clear();
        state.parts[1].process = Some(Process { start_ticks: recycled.start_ticks - 1, ..recycled });
        state.limits.clone_from(&groups);
        state.save(&dir).unwrap();

        assert!(down(&dir, &mut |_| ()).unwrap());
        assert!(!ours.wait().unwrap().success());
        assert!(stranger.try_wait().unwrap().is_none());
        assert!(!dir.exists());
        assert!(groups.is_none_or(|groups| !groups.is_there()));
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
