//! Streaming through SciStream proxies: every route, its record, and what is left of it.

use crate::support::{mpirun, place, processes, program, service, single, within};
use measure::{Record, record::Hop};
use nix::sys::signal::Signal;
use std::{path::Path, process::Command, time::Duration};

const LIMIT: Duration = Duration::from_secs(200);
/// Supervisor or not, nothing may be there longer.
const GONE: Duration = Duration::from_secs(20);

fn hop<'a>(record: &'a Record, from: &str) -> &'a Hop {
    record.route.hops.iter().find(|hop| hop.from.as_str() == from).unwrap_or_else(|| panic!("{:?}", record.route.hops))
}

#[test]
fn dstream_passes_every_check_over_every_proxied_route_and_the_record_has_its_hops() {
    for (arch, process, protocol, cipher, entries) in [
        ("prs", "haproxy (pid", "tcp", None, 1),
        ("prs-haproxy", "haproxy (pid", "tcp", None, 1),
        ("prs-haproxy-4", "haproxy (pid", "tcp", None, 4),
        ("prs-stunnel", "stunnel (pid", "tls", Some("_PSK_WITH_AES_256_GCM"), 1),
        ("prs-stunnel-null", "stunnel-null (pid", "tls", Some("_PSK_WITH_NULL"), 1),
    ] {
        let arguments =
            ["--arch", arch, "--messages", "2000", "--verify", "all", "--producers", "4", "--consumers", "2"];
        let record = mpirun(2, &arguments).through(service()).run(LIMIT).passes();
        assert_eq!(record.integrity.delivered, 2000);
        assert_eq!(record.route.architecture, arch);
        assert_eq!(record.route.tls, None, "clients are without TLS");
        let (first, between) = (hop(&record, "producer"), hop(&record, "producer proxy"));
        assert_eq!((first.to.as_str(), first.protocol.as_str()), ("producer proxy", "amqp"));
        assert_eq!(first.address.as_ref().unwrap().split(',').count(), entries, "{arch}");
        assert!(first.process.as_ref().unwrap().starts_with(process), "{first:?}");
        assert_eq!((between.to.as_str(), between.protocol.as_str()), ("consumer proxy", protocol), "{arch}");
        match (cipher, &between.tls) {
            (None, None) => {}
            (Some(part), Some(tls)) => assert!(tls.version == "TLSv1.2" && tls.cipher.contains(part), "{tls:?}"),
            other => panic!("{arch}: {other:?}"),
        }
        assert_eq!(hop(&record, "consumer proxy").to.as_str(), "service");
        assert_eq!(hop(&record, "consumer").to.as_str(), "service", "consumers are direct");
    }
}

#[test]
fn consumers_go_through_the_proxies_too_on_request() {
    let arguments = ["--arch", "prs-haproxy", "--messages", "500", "--set", "route.consumers_via_proxy=true"];
    let record = mpirun(2, &arguments).through(service()).run(LIMIT).passes();
    assert_eq!(hop(&record, "consumer").to.as_str(), "producer proxy");
}

#[test]
fn sixty_four_producers_stream_through_one_stunnel() {
    let arguments =
        ["--arch", "prs-stunnel", "--producers", "64", "--consumers", "4", "--messages", "6400", "--verify", "all"];
    let record = mpirun(4, &arguments).through(service()).run(LIMIT).passes();
    assert_eq!(record.integrity.delivered, 6400);
    assert_eq!(record.ranks.iter().map(|rank| rank.producers.len()).sum::<usize>(), 64);
}

#[test]
fn a_heartbeat_that_a_proxy_would_not_wait_for_is_refused() {
    for seconds in ["0", "61"] {
        let setting = format!("service.heartbeat_s={seconds}");
        let outcome = single(&["--arch", "prs", "--messages", "10", "--set", &setting]).through(service()).run(LIMIT);
        outcome.fails(1, &["silent for 50 s", "service.heartbeat_s"]);
    }
}

#[test]
fn variables_that_name_the_service_do_not_lead_around_the_proxies() {
    let launch = single(&["--arch", "prs-haproxy", "--messages", "100"]).through(service());
    let record = launch.variable("STREAMHARNESS_PLAIN_URLS", service().plain_url()).run(LIMIT).passes();
    assert_eq!(hop(&record, "producer").to.as_str(), "producer proxy");
}

#[test]
fn a_launch_without_a_testbed_builds_the_proxies_for_itself_and_removes_them() {
    let running = mpirun(2, &["--arch", "prs-stunnel", "--messages", "300"]).start();
    let testbed = running.testbed(LIMIT);
    let record = running.wait(LIMIT).passes();
    assert_eq!(hop(&record, "producer proxy").protocol, "tls");
    assert!(!testbed.exists() && processes::of_directory(testbed.to_str().unwrap()).is_empty());
}

#[test]
fn a_proxy_that_dies_in_mid_run_ends_the_run_with_a_record_and_nothing_is_left() {
    let mut running = mpirun(2, &["--arch", "prs-haproxy", "--duration", "60s"]).start();
    let testbed = running.testbed(LIMIT);
    running.streams(LIMIT);
    let parts = processes::of_directory(testbed.to_str().unwrap());
    let proxy = parts.iter().find(|process| process.arguments[0].ends_with("haproxy")).expect("a proxy");
    processes::send(proxy.pid, Signal::SIGKILL);
    let outcome = running.wait(Duration::from_secs(40));
    assert_eq!(outcome.status.code(), Some(3), "{outcome}");
    assert!(!outcome.record().status.pass, "{outcome}");
    vanishes(&testbed, GONE);
}

/// `streamharness testbed ...` in `dir`, whatever the outcome.
fn testbed(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(program());
    command.arg("testbed").args(arguments).env("STREAMHARNESS_TESTBED", dir).envs(variables.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), said)
}

#[track_caller]
fn vanishes(dir: &Path, limit: Duration) {
    let left = || processes::of_directory(dir.to_str().unwrap());
    assert!(within(limit, || left().is_empty().then_some(())).is_some(), "left: {:#?}", left());
}

#[test]
fn nothing_is_left_of_a_testbed_with_proxies_whose_supervisor_was_killed_or_that_was_taken_down() {
    let place = place();
    let dir = &place.path().join("testbed");
    let without = &[("STREAMHARNESS_NO_NAMESPACES", "1")][..];
    for (isolation, kills) in [(&[][..], true), (without, true), (without, false)] {
        let (up, said) = testbed(dir, &["up", "--nodes", "1", "--arch", "all"], isolation);
        assert!(up, "{said}");
        let (_, status) = testbed(dir, &["status"], &[]);
        let rows =
            |prefix: &str| status.lines().filter(|line| line.starts_with(prefix) && line.ends_with("alive")).count();
        assert_eq!((rows("s2cs "), rows("s2ds ")), (6, 8), "{status}");
        assert!(status.contains("# route prs-stunnel: producer -amqp> 127.0.0.1:"), "{status}");
        let everything = processes::of_directory(dir.to_str().unwrap());
        // Each with a proxy for either side of two routes, and HAProxy as balancer and ingress too.
        for (kind, expected) in [("haproxy", 6), ("stunnel", 4)] {
            let count = everything.iter().filter(|process| process.arguments[0].ends_with(kind)).count();
            assert_eq!(count, expected, "{kind} among {everything:#?}");
        }
        assert_eq!(status.contains("without namespaces (weaker: "), !isolation.is_empty(), "{status}");
        if kills {
            let pid = |line: &str| line.split_whitespace().nth(1)?.parse().ok();
            let supervisor = status.lines().find(|line| line.starts_with("supervisor")).and_then(pid).unwrap();
            processes::send(supervisor, Signal::SIGKILL);
            vanishes(dir, GONE);
        } else {
            let (down, said) = testbed(dir, &["down"], &[]);
            assert!(down, "{said}");
            vanishes(dir, Duration::ZERO);
            assert!(!dir.exists());
        }
    }
}

#[test]
fn a_testbed_without_the_program_of_a_route_names_its_package_and_starts_nothing() {
    for (arch, variable, package) in [
        ("prs", "STREAMHARNESS_HAPROXY", "apt-get install haproxy"),
        ("prs-stunnel", "STREAMHARNESS_STUNNEL", "apt-get install stunnel4"),
    ] {
        let place = place();
        let dir = &place.path().join("testbed");
        let (up, said) = testbed(dir, &["up", "--nodes", "1", "--arch", arch], &[(variable, "/nowhere")]);
        assert!(!up && said.contains(package), "{said}");
        vanishes(dir, Duration::ZERO);
        testbed(dir, &["down"], &[]);
    }
    let place = place();
    let (up, said) = testbed(&place.path().join("testbed"), &["up", "--arch", "prs-hapoxy"], &[]);
    assert!(!up && said.contains("did you mean `prs-haproxy`?"), "{said}");
}
