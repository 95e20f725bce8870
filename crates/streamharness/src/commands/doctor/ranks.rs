//! Whether the launcher of the PATH and the MPI that this program is built for understand each other, tried with two ranks.

use crate::{
    host::program::{self, Ran},
    launch::world::World,
};
use comm_mpi::MpiComm;
use std::{collections::BTreeSet, env, process::Command, time::Duration};

/// How long two ranks may take to start and end.
const LIMIT: Duration = Duration::from_secs(60);
/// Both Open MPI's launchers read one of these: two ranks may share a core, as in `launch/mpirun`.
const SHARED_CORES: [(&str, &str); 2] =
    [("OMPI_MCA_rmaps_base_oversubscribe", "1"), ("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe")];
/// Lines of a launcher's complaint that are shown.
const LINES_SHOWN: usize = 2;

/// What came of ranks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// They saw each other; how they were started.
    Met(String),
    /// The launcher is not on the PATH.
    NoLauncher(&'static str),
    /// Open MPI's launcher refuses root.
    RefusesRoot,
    /// They did not meet, with the reason.
    Apart(String),
}

impl Outcome {
    /// Of the launch that this rank belongs to, which has come about.
    pub fn of(world: &World) -> Self {
        let hosts = world.hosts.iter().collect::<BTreeSet<_>>().len();
        Self::Met(format!("{} ranks on {hosts} host(s) see each other", world.hosts.len()))
    }

    /// Of a launcher's end and its output.
    fn read(launcher: &str, ran: Result<Ran, String>) -> Self {
        let ran = match ran {
            Ok(ran) => ran,
            Err(reason) => return Self::Apart(format!("`{launcher} -n 2` {reason}")),
        };
        if ran.success {
            return Self::Met(format!("`{launcher} -n 2` started two ranks that see each other"));
        }
        if ran.text.contains("allow-run-as-root") {
            return Self::RefusesRoot;
        }
        // The program's own sentence, else how the launcher begins.
        let own = ran.text.lines().find_map(|line| line.strip_prefix("streamharness: "));
        let first = || {
            let lines = ran.text.lines().map(str::trim).filter(|line| line.chars().any(char::is_alphanumeric));
            lines.take(LINES_SHOWN).collect::<Vec<_>>().join(" ")
        };
        Self::Apart(own.map_or_else(|| format!("`{launcher} -n 2` failed: {}", first()), str::to_owned))
    }
}

/// The launcher that belongs to an MPI.
pub fn launcher_of(library: &str) -> &'static str {
    if library.starts_with("Open MPI") { "mpirun" } else { "mpiexec" }
}

/// Starts two ranks of this program with the launcher of the PATH.
pub fn try_two() -> Outcome {
    let launcher = launcher_of(&MpiComm::library());
    let Some(path) = program::on_path(launcher) else { return Outcome::NoLauncher(launcher) };
    let own = match env::current_exe() {
        Ok(own) => own,
        Err(error) => return Outcome::Apart(format!("the program's own file is unknown ({error})")),
    };
    let mut command = Command::new(path);
    command.args(["-n", "2"]).arg(own).arg("meet").envs(SHARED_CORES);
    Outcome::read(launcher, program::run(&mut command, LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(success: bool, text: &str, expected: Outcome) {
        assert_eq!(Outcome::read("mpirun", Ok(Ran { success, text: text.to_owned() })), expected);
    }

    #[test]
    fn what_a_launcher_prints_becomes_a_reason() {
        let met = "`mpirun -n 2` started two ranks that see each other";
        check(true, "anything", Outcome::Met(met.to_owned()));
        check(false, "-----\nmpirun has detected ... --allow-run-as-root\n", Outcome::RefusesRoot);
        let own = "mpiexec of MPICH started 2 process(es) (PMI_SIZE), but MPI sees 1: type `mpirun`";
        check(false, &format!("noise\nstreamharness: {own}\nmore\n"), Outcome::Apart(own.to_owned()));
        let slots = "-----\n\nThere are not enough slots\navailable in the system.\nEither\n";
        let expected = "`mpirun -n 2` failed: There are not enough slots available in the system.";
        check(false, slots, Outcome::Apart(expected.to_owned()));
    }
}
