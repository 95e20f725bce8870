//! Other MPIs than the one that the program is built for here, and a newer RabbitMQ: slow tests.

use crate::support::{Launch, Outcome, place, program, service, slow, slurm::Cluster, srun_with, workspace};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const RUN_LIMIT: Duration = Duration::from_secs(120);
const SWEEP_LIMIT: Duration = Duration::from_secs(600);
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
// Of the workspace, so that dependencies are those that the other tests were built with.
const COMM_TESTS: [&str; 6] = ["test", "--quiet", "--workspace", "--test", "empty_buffers", "--manifest-path"];

fn words<S: AsRef<str>>(words: &[S]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().into()).collect()
}

fn cargo(arguments: &[&str]) -> Launch {
    let manifest = workspace().join("Cargo.toml").display().to_string();
    Launch::new(Path::new(env!("CARGO")), &words(arguments), &[&manifest])
}

#[track_caller]
fn succeeds(outcome: &Outcome) {
    assert!(outcome.status.success(), "{outcome}");
}

/// A directory for builds with another MPI, which begins with all that was built for this one and does not depend on MPI.
fn target_of(mpi: &str) -> PathBuf {
    let all = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    let (theirs, begun) = (all.join(mpi), all.join(format!("{mpi}.begun")));
    if theirs.exists() {
        return theirs;
    }
    // What cargo writes anew is copied; what compilers replace may be linked.
    let script = "set -e; rm -rf \"$1\"; mkdir -p \"$1/debug/deps\"; cp -a .fingerprint build \"$1/debug\"; \
        find deps -name '*.d' -exec cp -pt \"$1/debug/deps\" {} +; \
        find deps \\( -name '*.rlib' -o -name '*.rmeta' -o -name '*.so' \\) -exec cp -lt \"$1/debug/deps\" {} +";
    let copied =
        Command::new("sh").args(["-c", script, "sh"]).arg(&begun).current_dir(all.join("debug")).status().unwrap();
    assert!(copied.success(), "{} cannot be begun", begun.display());
    let bound =
        ["clean", "--quiet", "-p", "mpi-sys", "-p", "mpi", "-p", "comm-mpi", "-p", "streamharness", "--manifest-path"];
    succeeds(&cargo(&bound).variable("CARGO_TARGET_DIR", &begun).run(RUN_LIMIT));
    fs::rename(begun, &theirs).unwrap();
    theirs
}

#[test]
fn with_mpich_the_communicator_works_and_four_ranks_stream_by_hydra_and_by_srun() {
    if !slow() {
        return;
    }
    let (target, place) = (target_of("mpich"), place());
    // The tests of the communicator start `mpirun`.
    let launcher = "mkdir \"$1/bin\"; printf '#!/bin/sh\\nexec mpiexec.mpich \"$@\"\\n' >\"$1/bin/mpirun\"; chmod +x \"$1/bin/mpirun\"";
    succeeds(
        &Launch::new(Path::new("sh"), &words(&["-c", launcher, "sh"]), &[&place.path().display().to_string()])
            .run(RUN_LIMIT),
    );
    let path = format!("{}:{}", place.path().join("bin").display(), std::env::var("PATH").unwrap());
    let with_mpich =
        |arguments: &[&str]| cargo(arguments).variable("MPICC", "mpicc.mpich").variable("CARGO_TARGET_DIR", &target);
    succeeds(&with_mpich(&COMM_TESTS).variable("PATH", path).run(BUILD_LIMIT));
    succeeds(
        &with_mpich(&["build", "--quiet", "--workspace", "--bin", "streamharness", "--manifest-path"]).run(BUILD_LIMIT),
    );

    let program = target.join("debug/streamharness").display().to_string();
    let parts = ["-n", "2", &program, "--role", "producer", "--messages", "1000", ":", "-n", "2", &program];
    let by_hydra = Launch::new(Path::new("mpiexec.mpich"), &words(&parts), &["--role", "consumer"]);
    let record = by_hydra.through(service()).run(RUN_LIMIT).passes();
    let roles: Vec<&str> = record.ranks.iter().map(|rank| rank.role.as_str()).collect();
    assert_eq!(roles, ["producer", "producer", "consumer", "consumer"]);
    assert!(record.environment.mpi_library.as_ref().unwrap().starts_with("MPICH"), "{:?}", record.environment);

    let cluster = Cluster::start();
    let by_srun = srun_with(&cluster, &words(&["--mpi=pmi2", "-n", "4", &program]), &["--messages", "1000"]);
    let record = by_srun.through(service()).run(RUN_LIMIT).passes();
    assert_eq!((record.ranks.len(), record.environment.launcher.as_deref()), (4, Some("srun")));
    cluster.stop();
}

#[test]
fn open_mpi_5_and_rabbitmq_4_of_debian_13_carry_every_type_of_queue_over_every_kind_of_route() {
    if !slow() {
        return;
    }
    const EXPERIMENT: &str = "
        about = 'What RabbitMQ 4 has to carry'
        repetitions = 1
        [base]
        messages = 200
        [axes]
        arch = ['dts', 'prs-haproxy', 'mss']
        'service.queue_type' = ['classic', 'quorum', 'stream']
        pattern = ['work-sharing-feedback', 'broadcast-gather']
    ";
    let place = place();
    let root = place.path().join("debian13").display().to_string();
    let script = workspace().join("launch/debian-root");
    succeeds(&Launch::new(&script, &words(&["make", &root]), &[]).run(BUILD_LIMIT));
    // Where cargo looks for what starts a test.
    let starter = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", std::env::consts::ARCH.to_uppercase());
    let within = format!("{} run {root}", script.display());
    succeeds(&cargo(&COMM_TESTS).variable(&starter, within).run(BUILD_LIMIT));

    let (mpirun, program) = (workspace().join("launch/mpirun").display().to_string(), program().display().to_string());
    let within = ["run", &root, &mpirun, "-n", "4", &program];
    let sweep = Launch::new(&script, &words(&within), &["sweep", "knobs.toml"]).file("knobs.toml", EXPERIMENT);
    let outcome = sweep.run(SWEEP_LIMIT);
    succeeds(&outcome);
    let records: Vec<measure::Record> = outcome
        .files
        .iter()
        .filter(|(path, _)| path.ends_with("record.json"))
        .map(|(_, json)| measure::Record::from_json(std::str::from_utf8(json).unwrap()).unwrap())
        .collect();
    assert_eq!(records.len(), 18, "{:?}", outcome.files.keys());
    for record in records {
        assert!(record.status.pass && record.integrity.lost == 0, "{:?}", record.status);
        assert!(record.route.broker.as_ref().unwrap().version.starts_with("4."), "{:?}", record.route.broker);
        assert!(
            record.environment.mpi_library.as_ref().unwrap().starts_with("Open MPI v5."),
            "{:?}",
            record.environment
        );
    }
    succeeds(&Launch::new(&script, &words(&["remove", &root]), &[]).run(RUN_LIMIT));
}
