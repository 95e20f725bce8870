//! `doctor` on this machine: what it says of MPI, programs and a service is so, and its exit code follows from it.

use crate::support::{Outcome, mpirun, service, single, words};
use serde_json::Value;
use std::{net::TcpListener, time::Duration};

const LIMIT: Duration = Duration::from_secs(120);
/// Root's launches are refused by Open MPI otherwise, as doctor says.
const AS_ROOT: [&str; 2] = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];

/// The one check of this name.
#[track_caller]
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks: Vec<&Value> =
        report["checks"].as_array().unwrap().iter().filter(|check| check["name"] == name).collect();
    let [check] = checks[..] else { panic!("{name} in {report:#}") };
    (check["state"].as_str().unwrap(), check["found"].as_str().unwrap())
}

#[track_caller]
fn report(outcome: &Outcome) -> Value {
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap_or_else(|error| panic!("{error} {outcome}"));
    let lacks = report["checks"].as_array().unwrap().iter().any(|check| check["state"] == "lacks");
    assert_eq!(report["ok"], !lacks, "{report:#}");
    assert_eq!(outcome.status.code(), Some(if lacks { 3 } else { 0 }), "{outcome}");
    report
}

#[test]
fn a_service_and_the_ranks_of_a_launch_are_examined_as_they_are() {
    let broker = service();
    let (url, ca) = (broker.url(), broker.ca());
    let outcome = mpirun(2, &["doctor", "--json", "--url", &url, "--ca", &ca])
        .variable("STREAMHARNESS_PASSWORD_FILE", broker.password_file())
        .run(LIMIT);
    let report = report(&outcome);
    assert_eq!(check(&report, "ranks"), ("has", "2 ranks on 1 host(s) see each other"));
    let (state, found) = check(&report, "service");
    let version = broker.version();
    for part in [&format!("RabbitMQ {version}, TLSv1."), "with a certificate that is trusted"] {
        assert!(state == "has" && found.contains(part), "{part} in {report:#}");
    }
    assert_eq!(check(&report, "login").0, "has", "{report:#}");
    assert_eq!(check(&report, "broker"), ("has", format!("RabbitMQ {version}").as_str()));
    assert!(!outcome.stdout.contains(&broker.password()), "{outcome}");
}

#[test]
fn a_service_that_is_not_there_is_a_lack_with_its_command_and_two_ranks_are_tried_without_a_launcher() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("amqp://me@{closed}");
    let doctor = || AS_ROOT.iter().fold(single(&["doctor", "--url", &url]), |launch, name| launch.variable(name, "1"));
    let outcome = doctor().run(LIMIT);
    assert_eq!(outcome.status.code(), Some(3), "{outcome}");
    let line = |beginning: &[&str]| outcome.stdout.lines().position(|line| words(line).starts_with(beginning));
    assert!(line(&["has", "ranks", "`mpirun"]).is_some(), "{outcome}");
    let lack = line(&["LACKS", "service", "nothing", "listens", "at"]).unwrap_or_else(|| panic!("{outcome}"));
    assert_eq!(outcome.stdout.lines().nth(lack + 1).unwrap().trim(), format!("streamharness doctor --url {url}"));
    assert!(!outcome.stdout.contains("  login "), "nobody can log in there: {outcome}");
}
