//! The cores on which the parts of a testbed run.

use nix::{
    sched::{CpuSet, sched_setaffinity},
    unistd::Pid,
};
use std::process::Child;

/// Binds a supervisor, and with it all parts, to the cores that are not `taken`; to all cores if none is left. A launcher
/// binds each rank to a core or a few, which what the rank starts would inherit. Where the system permits no other cores,
/// the parts stay where they are.
pub fn leave(taken: &[u32], supervisor: &Child) {
    let Ok(pid) = i32::try_from(supervisor.id()) else { return };
    let bind = |core_is_wanted: &dyn Fn(u32) -> bool| {
        let mut set = CpuSet::new();
        for core in (0..CpuSet::count()).filter(|core| core_is_wanted(*core as u32)) {
            let _ = set.set(core);
        }
        sched_setaffinity(Pid::from_raw(pid), &set)
    };
    // The kernel keeps those that exist and that the control group permits, and refuses a set without any.
    if bind(&|core| !taken.contains(&core)).is_err() {
        let _ = bind(&|_| true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sched::sched_getaffinity;
    use std::process::{Command, Stdio};

    fn cores_of(taken: &[u32]) -> Vec<u32> {
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        leave(taken, &child);
        let set = sched_getaffinity(Pid::from_raw(child.id() as i32)).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap()).map(|core| core as u32).collect()
    }

    #[test]
    fn parts_get_the_cores_that_no_rank_has_and_all_if_there_are_none() {
        let all = cores_of(&[]);
        assert_eq!(cores_of(&all), all);
        if let [first, rest @ ..] = all.as_slice()
            && !rest.is_empty()
        {
            assert_eq!(cores_of(&[*first]), rest);
        }
    }
}
