//! The forwarder runs before other processes.

use nix::libc;

/// Has a process, or with 0 the calling thread, run before all others, as far as this process may decide that: the way between
/// two facilities does not become longer when a computer at its end is busy.
#[expect(unsafe_code, reason = "nix has no call for it")]
pub fn prefer(pid: i32) {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: the call reads the structure, which lives longer.
    // Where it is not permitted the process runs as others do, and the counters show how late that makes it.
    let _ = unsafe { libc::sched_setscheduler(pid, libc::SCHED_FIFO, &raw const parameters) };
}
