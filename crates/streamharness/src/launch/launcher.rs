//! Compares the number of processes that the launcher started with the number of ranks that MPI sees.
//!
//! A launcher of one MPI and a program built for another do not find each other: every process is then a launch of its
//! own, all of them stream at once, and each reports success.

use crate::terminal::exit::{Exit, Failure};
use nix::unistd::{dup, dup2_stderr};
use std::{env, fs::File, io};

/// Numbers from here on are those of Slurm's own steps: the batch script, an interactive shell, what is outside of steps.
const SLURM_STEP_SPECIAL: u64 = 0xffff_fff0;

/// A launcher that reports how many processes it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launcher {
    OpenMpi,
    /// MPICH's Hydra, Intel MPI's, and others with their protocol.
    Pmi,
    Srun,
}

impl Launcher {
    /// The innermost one that started this process, with the number of processes that it states.
    fn innermost(variable: impl Fn(&str) -> Option<String>) -> Option<(Self, &'static str, usize)> {
        let number = |name: &str| variable(name)?.trim().parse::<usize>().ok();
        let stated = |launcher, name| Some((launcher, name, number(name)?));
        // A batch script and an interactive shell of a job are no steps that srun started.
        let in_step = || variable("SLURM_STEP_ID")?.trim().parse().ok().filter(|step: &u64| *step < SLURM_STEP_SPECIAL);
        // `srun --mpi=pmi2` speaks as Hydra does, and names its own step.
        let step = in_step().and_then(|step| Some(format!("{}.{step}", variable("SLURM_JOB_ID")?)));
        let pmi = if step.is_some() && step == variable("PMI_JOBID") { Self::Srun } else { Self::Pmi };
        stated(Self::OpenMpi, "OMPI_COMM_WORLD_SIZE")
            .or_else(|| stated(pmi, "PMI_SIZE"))
            .or_else(|| in_step().and_then(|_| stated(Self::Srun, "SLURM_STEP_NUM_TASKS")))
    }

    fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "mpirun of Open MPI",
            Self::Pmi => "mpiexec of MPICH or one of its kind",
            Self::Srun => "srun",
        }
    }

    /// The command to type, for a program that is linked to `library`.
    fn remedy(self, library: &str, processes: usize) -> String {
        let open_mpi = library.starts_with("Open MPI");
        let rebuild = "build the program for the launcher's MPI (`MPICC=... cargo build --release`, docs/mpi.md)";
        match self {
            Self::Srun if open_mpi => format!(
                "type `srun --mpi=pmix -n {processes} ...` (`srun --mpi=list` shows what this Slurm speaks), or \
                 `mpirun -n {processes} ...` within the allocation"
            ),
            Self::Srun => format!(
                "type `srun --mpi=pmi2 -n {processes} ...` (`srun --mpi=list` shows what this Slurm speaks), or the \
                 `mpiexec -n {processes} ...` of this MPI within the allocation"
            ),
            _ if open_mpi => format!("type `mpirun -n {processes} ...` of Open MPI, or {rebuild}"),
            _ => format!("type `mpiexec -n {processes} ...` of this MPI, or {rebuild}"),
        }
    }
}

/// The launcher's variables in the environment.
#[derive(Debug, Clone, Copy)]
pub struct Stated {
    /// The launcher, its variable, and the number of processes that it started.
    launcher: Option<(Launcher, &'static str, usize)>,
    /// Whether it speaks PMIx.
    pmix: bool,
}

/// Reads the environment. To be called before MPI starts, which may set variables for a world of one there.
pub fn stated() -> Stated {
    Stated::by(|name| env::var(name).ok())
}

impl Stated {
    fn by(variable: impl Fn(&str) -> Option<String>) -> Self {
        Self { pmix: variable("PMIX_RANK").is_some(), launcher: Launcher::innermost(variable) }
    }

    /// A warning to print before MPI starts, if MPI may end this process instead of returning. Open MPI before version 5 does
    /// that, with a page of text from each process, in a step of srun without PMIx, unless it was built for Slurm's own PMI;
    /// its build cannot be queried beforehand.
    pub fn forewarning(self, library: &str) -> Option<String> {
        let (Launcher::Srun, _, processes) = self.launcher.filter(|_| !self.pmix)? else { return None };
        let version = library.strip_prefix("Open MPI v")?.split('.').next()?;
        (version.parse::<u32>().ok()? < 5).then(|| {
            format!(
                "srun started {processes} process(es) without PMIx, and {library} cannot start like that unless it was built \
                 for Slurm's own PMI; if the launch ends here, {}",
                Launcher::Srun.remedy(library, processes)
            )
        })
    }
}

/// Runs `work` with stderr discarded.
pub fn without_stderr<T>(work: impl FnOnce() -> T) -> io::Result<T> {
    let stderr = dup(io::stderr())?;
    dup2_stderr(File::options().write(true).open("/dev/null")?)?;
    let done = work();
    dup2_stderr(stderr)?;
    Ok(done)
}

/// Refuses a launch whose ranks do not see each other; `seen` are those that MPI sees.
pub fn check(stated: Stated, seen: usize, library: &str) -> Result<(), Failure> {
    let Some((launcher, name, stated)) = stated.launcher.filter(|(_, _, stated)| *stated != seen) else {
        return Ok(());
    };
    let sentence = format!(
        "{} started {stated} process(es) ({name}), but MPI sees {seen}: this program is built for {library}, which does \
         not understand that launcher, and each process would stream by itself; {}",
        launcher.name(),
        launcher.remedy(library, stated)
    );
    Err(Failure::new(Exit::Usage, sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN_MPI: &str = "Open MPI v4.1.4";
    const MPICH: &str = "MPICH Version: 4.0.2";
    const BATCH: &str = "4294967291";

    fn of(seen: usize, library: &str, variables: &[(&str, &str)]) -> Result<(), String> {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        check(Stated::by(get), seen, library).map_err(|failure| failure.sentence)
    }

    fn forewarned(library: &str, variables: &[(&str, &str)]) -> Option<String> {
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Stated::by(get).forewarning(library)
    }

    #[track_caller]
    fn passes(seen: usize, variables: &[(&str, &str)]) {
        assert_eq!(of(seen, OPEN_MPI, variables), Ok(()), "{variables:?}");
    }

    #[track_caller]
    fn refuses(library: &str, variables: &[(&str, &str)], parts: &[&str]) {
        let sentence = of(1, library, variables).unwrap_err();
        assert!(parts.iter().all(|part| sentence.contains(part)) && sentence.contains(library), "{sentence}");
    }

    #[test]
    fn a_launch_of_as_many_as_were_started_passes_and_so_does_one_without_a_launcher() {
        passes(1, &[]);
        passes(4, &[("OMPI_COMM_WORLD_SIZE", "4")]);
        passes(4, &[("PMI_SIZE", "4"), ("PMI_RANK", "2")]);
        passes(4, &[("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "4")]);
        passes(1, &[("OMPI_COMM_WORLD_SIZE", "many")]);
    }

    #[test]
    fn one_process_in_a_batch_script_and_mpirun_in_an_allocation_are_no_mistakes() {
        let job = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "8"), ("SLURM_PROCID", "0")];
        passes(1, &job);
        passes(1, &[&job[..], &[("SLURM_STEP_ID", BATCH), ("SLURM_STEP_NUM_TASKS", "8")]].concat());
        // mpirun starts its daemons by srun, one a node.
        let daemons = [("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "2")];
        passes(8, &[&job[..], &daemons, &[("OMPI_COMM_WORLD_SIZE", "8")]].concat());
        passes(8, &[&job[..], &daemons, &[("PMI_SIZE", "8")]].concat());
    }

    #[test]
    fn ranks_that_do_not_see_each_other_end_with_the_right_command() {
        refuses(
            OPEN_MPI,
            &[("PMI_SIZE", "3")],
            &["mpiexec of MPICH", "3 process(es) (PMI_SIZE)", "mpirun -n 3", "MPICC="],
        );
        refuses(MPICH, &[("OMPI_COMM_WORLD_SIZE", "3")], &["mpirun of Open MPI", "mpiexec -n 3", "MPICC="]);
        let step = [("SLURM_STEP_ID", "2"), ("SLURM_STEP_NUM_TASKS", "4")];
        refuses(OPEN_MPI, &step, &["srun started 4", "--mpi=pmix -n 4"]);
        refuses(MPICH, &step, &["srun started 4", "--mpi=pmi2 -n 4"]);
    }
    #[test]
    fn srun_is_named_where_it_speaks_as_hydra_does() {
        let pmi2 = [("SLURM_JOB_ID", "10"), ("SLURM_STEP_ID", "0"), ("PMI_JOBID", "10.0"), ("PMI_SIZE", "2")];
        refuses(OPEN_MPI, &pmi2, &["srun started 2 process(es) (PMI_SIZE)", "--mpi=pmix -n 2"]);
        let hydra = [("SLURM_JOB_ID", "10"), ("SLURM_STEP_ID", "0"), ("PMI_SIZE", "2")];
        refuses(OPEN_MPI, &hydra, &["mpiexec of MPICH", "mpirun -n 2"]);
    }

    #[test]
    fn open_mpi_4_in_a_step_without_pmix_is_forewarned_and_nothing_else_is() {
        let step = [("SLURM_JOB_ID", "10"), ("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "3")];
        let sentence = forewarned(OPEN_MPI, &step).unwrap();
        assert!(sentence.contains("srun started 3") && sentence.contains("type `srun --mpi=pmix -n 3"), "{sentence}");
        assert!(forewarned(OPEN_MPI, &[&step[..], &[("PMI_JOBID", "10.0"), ("PMI_SIZE", "3")]].concat()).is_some());
        for other in [("PMIX_RANK", "0"), ("OMPI_COMM_WORLD_SIZE", "3"), ("PMI_SIZE", "3")] {
            assert_eq!(forewarned(OPEN_MPI, &[&step[..], &[other]].concat()), None, "{other:?}");
        }
        // These see themselves alone, and are refused after.
        assert_eq!(forewarned("Open MPI v5.0.7", &step), None);
        assert_eq!(forewarned(MPICH, &step), None);
        assert_eq!(forewarned(OPEN_MPI, &[("SLURM_STEP_ID", BATCH), ("SLURM_STEP_NUM_TASKS", "3")]), None);
    }
}
