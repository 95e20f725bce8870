//! Launchers: those that start ranks which do not see each other are refused, and nothing else is.

use crate::support::{Launch, Turn, program, service, single, slow, slurm::Cluster, workspace};
use std::{ffi::OsString, path::Path, process::Command, time::Duration};

const ENDS: Duration = Duration::from_secs(120);

/// What Hydra, or srun, gives each process that it starts.
const STARTED_BY: [(&str, &[(&str, &str)]); 2] = [
    ("mpiexec of MPICH", &[("PMI_SIZE", "3")]),
    ("srun started 3", &[("SLURM_STEP_ID", "0"), ("SLURM_STEP_NUM_TASKS", "3"), ("SLURM_PROCID", "0")]),
];

#[test]
fn ranks_that_do_not_see_each_other_end_before_anything_streams() {
    let turn = Turn::take();
    for (launcher, variables) in STARTED_BY {
        let with = |arguments: &[&str]| {
            variables
                .iter()
                .fold(single(arguments).through(service()), |launch, (name, value)| launch.variable(name, value))
        };
        let before = service().queues();
        let outcome = with(&["--messages", "100"]).start_beside(&turn).wait(ENDS);
        outcome.fails(1, &["streamharness: ", launcher, "MPI sees 1", "Open MPI v", "type `"]);
        assert_eq!(service().queues(), before, "it connected to nothing");
        assert!(!outcome.files.keys().any(|path| path.starts_with("results/")), "{:?}", outcome.files.keys());
        // What starts no MPI is for everybody.
        with(&["plan", "--ranks", "3"]).start_beside(&turn).wait(ENDS).prints("# bytes to send");
    }
    // A batch script of a job with more tasks is one process that no srun started.
    let job = [("SLURM_JOB_ID", "7"), ("SLURM_NTASKS", "3"), ("SLURM_PROCID", "0")];
    let alone = job
        .iter()
        .fold(single(&["--messages", "100"]).through(service()), |launch, (name, value)| launch.variable(name, value));
    alone.start_beside(&turn).wait(ENDS).passes();
}

#[test]
fn the_launcher_of_another_mpi_is_named_once() {
    // Where MPICH is installed beside Open MPI.
    let hydra = "mpiexec.hydra";
    if !slow() {
        return;
    }
    if !Command::new(hydra).arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!(
            "the_launcher_of_another_mpi_is_named_once: skipped, there is no {hydra} here (Debian's mpich has it)"
        );
        return;
    }
    let program = program();
    let output = Command::new(hydra)
        .args(["-n", "3", program.to_str().unwrap(), "--messages", "100"])
        .env("STREAMHARNESS_TESTBED", service().dir())
        .current_dir(service().dir())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().filter(|line| line.contains("mpiexec of MPICH")).count(), 1, "{stderr}");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
}

/// By a command of Slurm's: the words before the program, and what the program is given.
fn by_slurm(cluster: &Cluster, start: &str, before: &[&str], arguments: &[&str]) -> Launch {
    let program = program();
    let before: Vec<OsString> = before.iter().map(OsString::from).chain([program.into()]).collect();
    let launch = Launch::new(Path::new(start), &before, arguments).through(service());
    cluster.variables().into_iter().fold(launch, |launch, (name, value)| launch.variable(&name, value))
}

#[test]
fn slurm_starts_what_it_may_and_only_ranks_that_do_not_see_each_other_are_refused() {
    if !slow() {
        return;
    }
    let turn = Turn::take();
    let cluster = Cluster::start();
    let run = ["--messages", "100"];

    let before = service().queues();
    for kind in ["--mpi=none", "--mpi=pmi2"] {
        let outcome = by_slurm(&cluster, "srun", &[kind, "-n", "3"], &run).start_beside(&turn).wait(ENDS);
        outcome.fails(1, &["streamharness: srun started 3 process(es)", "type `srun --mpi=pmix -n 3 ...`"]);
        // Slurm's own lines say which tasks failed.
        assert!(outcome.stderr.lines().filter(|line| !line.starts_with("srun: ")).count() == 1, "{outcome}");
        assert!(outcome.stdout.is_empty() && outcome.files.is_empty(), "{:?} {outcome}", outcome.files.keys());
    }
    assert_eq!(service().queues(), before, "they connected to nothing");

    // What starts no MPI is for everybody, in a step as well.
    let example = workspace().join("analysis/example").display().to_string();
    let commands = "\"$0\" plan --ranks 3 && \"$0\" testbed status && \"$0\" export \"$1\" --hdf5 \"$SLURM_PROCID.h5\" \
        && \"$0\" compare \"$1/dts-1\" \"$1/dts-1\" && \"$0\" --help";
    let step = ["--mpi=none", "-n", "3", "sh", "-c", commands];
    let outcome = by_slurm(&cluster, "srun", &step, &[&example]).start_beside(&turn).wait(ENDS);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    assert_eq!(outcome.files.keys().collect::<Vec<_>>(), ["0.h5", "1.h5", "2.h5"], "{outcome}");

    // One process in the batch script of a job with three tasks.
    let job = ["--wait", "-n", "3", "-o", "job.out", "job.sh"];
    let script = "#!/bin/sh\nexec \"$@\"\n";
    let outcome = by_slurm(&cluster, "sbatch", &job, &run).file("job.sh", script).start_beside(&turn).wait(ENDS);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let record = outcome.record();
    assert!(record.status.pass && record.environment.world_size == 1, "{:?}", record.status);

    // mpirun within an allocation, of its size and of another.
    let mpirun = workspace().join("launch/mpirun").display().to_string();
    for ranks in ["3", "2"] {
        let outcome =
            by_slurm(&cluster, "salloc", &["-n", "3", &mpirun, "-n", ranks], &run).start_beside(&turn).wait(ENDS);
        assert_eq!(outcome.passes().environment.world_size.to_string(), ranks);
    }
    cluster.stop();
}
