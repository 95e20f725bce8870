//! The first process of a sandbox's PID namespace: the kernel kills all others when it ends.

use crate::Result;
use nix::{
    mount::{MsFlags, mount},
    sys::signal::{SigHandler, Signal, signal},
};
use shortage::SystemContext;
use std::io::{Read, Write};

/// The body of `testbed reaper`: mounts the namespace's own /proc, reports that, and lives until its standard input ends, which
/// happens when the supervisor ends, for whatever reason.
pub fn reap_until_orphaned() -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    // Without it, a broker would look itself up under its own pid and find some process of the host.
    mount(Some("proc"), "/proc", Some("proc"), flags, None::<&str>).when("mount /proc in the sandbox")?;
    ignore_children()?;
    let mut stdout = std::io::stdout();
    stdout.write_all(b"ready\n").and_then(|()| stdout.flush()).when("report to the supervisor")?;
    let _ = std::io::stdin().read(&mut [0]);
    Ok(())
}

/// Orphans are then reaped by the kernel, without us.
#[expect(unsafe_code, reason = "nix marks `signal` unsafe because of handlers; ignoring a signal installs none")]
fn ignore_children() -> Result<()> {
    // SAFETY: no handler function is involved.
    unsafe { signal(Signal::SIGCHLD, SigHandler::SigIgn) }.when("ignore SIGCHLD")?;
    Ok(())
}
