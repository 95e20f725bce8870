//! Streaming to a managed service by its public name, through balancer and ingress.

use crate::support::{mpirun, place, program, service, single};
use std::{process::Command, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn dstream_passes_every_check_by_the_public_name_and_tls_ends_at_the_service() {
    let arguments = ["--arch", "mss", "--messages", "2000", "--verify", "all"];
    let record = mpirun(4, &arguments).through(service()).run(LIMIT).passes();
    let legs: Vec<(&str, &str, &str)> =
        record.route.hops.iter().map(|hop| (hop.from.as_str(), hop.to.as_str(), hop.protocol.as_str())).collect();
    let expected = [
        ("producer", "balancer", "amqps"),
        ("balancer", "ingress", "tcp"),
        ("ingress", "service", "tcp"),
        ("consumer", "balancer", "amqps"),
    ];
    assert_eq!(legs, expected);
    let tls = record.route.tls.expect("mss has TLS");
    assert!(record.route.hops.iter().all(|hop| hop.tls.is_some() == (hop.protocol == "amqps")), "{tls:?}");
    let process = |at: usize| record.route.hops[at].process.clone().unwrap();
    assert!(process(0).starts_with("haproxy (pid ") && process(1).ends_with("balance source)"), "{}", process(1));
}

#[test]
fn a_name_that_the_ingress_does_not_know_is_refused() {
    let reached = service().route("mss").connect_to.remove(0);
    let balancer = reached.splitn(3, ':').last().unwrap();
    let connect_to = format!("other.mss.test:443:{balancer}");
    let ca = service().ca();
    let url = "amqps://bench@other.mss.test:443";
    let arguments = ["--arch", "mss", "--messages", "10", "--url", url, "--connect-to", &connect_to, "--ca", &ca];
    let outcome = single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT);
    outcome.fails(3, &["streamharness: ", "other.mss.test"]);
}

#[test]
fn a_launch_without_a_testbed_builds_balancer_and_ingress_for_itself() {
    let record = mpirun(2, &["--arch", "mss", "--messages", "300"]).run(LIMIT).passes();
    assert_eq!(record.route.hops[0].to, "balancer");
}

#[test]
fn a_way_to_choose_a_node_that_the_ingress_does_not_have_is_refused() {
    let place = place();
    let mut command = Command::new(program());
    command.args(["testbed", "up", "--arch", "mss", "--balance", "random"]);
    let output = command.env("STREAMHARNESS_TESTBED", place.path().join("testbed")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("source, roundrobin or leastconn"), "{said}");
}
