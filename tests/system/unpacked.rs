//! A service from unpacked trees, as on a node that has none of its packages.

use crate::support::{mpirun, place, processes, program, single, workspace};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(200);
/// What a testbed is made of.
const PROGRAMS: [&str; 4] = ["beam.smp", "epmd", "haproxy", "stunnel"];

/// The trees below `dir`, each with the variable that names it.
fn variables(dir: &Path) -> [(&'static str, PathBuf); 4] {
    [
        ("STREAMHARNESS_RABBITMQ", dir.join("rabbitmq")),
        ("STREAMHARNESS_ERLANG", dir.join("erlang")),
        ("STREAMHARNESS_HAPROXY", dir.join("haproxy")),
        ("STREAMHARNESS_STUNNEL", dir.join("stunnel")),
    ]
}

/// The testbed in `dir`, with trees that nothing on the PATH adds to.
#[track_caller]
fn testbed(dir: &Path, trees: &Path, arguments: &[&str]) {
    let mut command = Command::new(program());
    command.arg("testbed").args(arguments).env("STREAMHARNESS_TESTBED", dir).envs(variables(trees));
    let output = command.env("PATH", "/nowhere").output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_route_streams_through_programs_that_are_only_unpacked() {
    let place = place();
    let (dir, trees) = (place.path().join("testbed"), place.path().join("trees"));
    let script = workspace().join("launch/containers/service-trees");
    let packed = Command::new(script).arg(&trees).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    testbed(&dir, &trees, &["up", "--nodes", "1", "--arch", "all"]);
    let of_testbed = processes::of_directory(dir.to_str().unwrap());
    let run: BTreeSet<_> =
        of_testbed.iter().filter_map(|one| fs::read_link(format!("/proc/{}/exe", one.pid)).ok()).collect();
    for name in PROGRAMS {
        let files: Vec<_> = run.iter().filter(|file| file.file_name().is_some_and(|own| own == name)).collect();
        assert!(files.len() == 1 && files[0].starts_with(&trees), "{name}: {files:?} among {run:#?}");
    }
    for architecture in ["dts", "prs", "prs-stunnel", "mss"] {
        let launch = mpirun(2, &["--arch", architecture, "--messages", "300"]);
        let record = launch.variable("STREAMHARNESS_TESTBED", &dir).run(LIMIT).passes();
        assert_eq!(record.integrity.delivered, 300, "{architecture}");
    }
    testbed(&dir, &trees, &["down"]);
    assert!(!dir.exists());
}

#[test]
fn all_programs_that_a_host_lacks_are_reported_at_once_with_their_packages_and_variables() {
    let mut launch = single(&["--arch", "prs-stunnel", "--messages", "10"]);
    for (variable, _) in variables(Path::new("/")) {
        launch = launch.variable(variable, "/nowhere");
    }
    launch.run(LIMIT).fails(
        3,
        &[
            "this host has no RabbitMQ server in /nowhere, no Erlang in /nowhere, no stunnel in /nowhere",
            "apt-get install rabbitmq-server erlang-base stunnel4, or run launch/setup",
            "set STREAMHARNESS_RABBITMQ, STREAMHARNESS_ERLANG, STREAMHARNESS_STUNNEL",
        ],
    );
}
