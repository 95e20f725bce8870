//! No address given, no testbed running: the program builds one for itself.

use crate::support::{mpirun, processes, s2cs::free_ports, single, slow, within};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{fs, path::Path, process::Command, time::Duration};

const LIMIT: Duration = Duration::from_secs(150);
const BUILT: Duration = Duration::from_secs(120);
/// How soon a testbed is gone whose owner was killed.
const GONE: Duration = Duration::from_secs(20);

#[track_caller]
fn vanishes(testbed: &Path, limit: Duration) {
    let name = testbed.to_str().unwrap();
    let gone = || (!testbed.exists() && processes::of_directory(name).is_empty()).then_some(());
    assert!(within(limit, gone).is_some(), "left: {name} {:#?}", processes::of_directory(name));
}

#[test]
fn a_launch_without_an_address_builds_a_testbed_reports_it_and_removes_it() {
    let running = mpirun(4, &["--messages", "500"]).start();
    let testbed = running.testbed(BUILT);
    let outcome = running.wait(LIMIT);
    assert_eq!(outcome.passes().integrity.delivered, 500);
    assert_eq!(outcome.stderr.matches("no testbed running: building a 1-node testbed").count(), 1, "{outcome}");
    vanishes(&testbed, Duration::ZERO);
}

#[test]
fn a_testbed_does_not_outlive_rank_0_that_was_killed_while_streaming() {
    // With a table in the kernel, where this machine allows one.
    let balanced = testbed::check_route("dts-nlb", false).is_ok();
    let architecture = if balanced { "dts-nlb" } else { "dts" };
    let mut running = mpirun(2, &["--arch", architecture, "--duration", "60s"]).start();
    let testbed = running.testbed(BUILT);
    running.streams(BUILT);
    let state: Value = serde_json::from_slice(&fs::read(testbed.join("state.json")).unwrap()).unwrap();
    let table = format!("streamharness_{}", state["base_port"]);
    let is_there = || {
        let listed = Command::new("/usr/sbin/nft").args(["list", "tables"]).output();
        String::from_utf8_lossy(&listed.unwrap().stdout).contains(&table)
    };
    assert!(!balanced || is_there(), "no {table}");
    processes::send(running.rank(0), Signal::SIGKILL);
    let outcome = running.wait(Duration::from_secs(20));
    assert!(!outcome.status.success(), "{outcome}");
    vanishes(&testbed, GONE);
    assert!(!balanced || !is_there(), "left: {table}");
}

#[test]
fn ctrl_c_while_the_testbed_starts_leaves_nothing_of_it() {
    let mut running = single(&["--messages", "500"]).start();
    let testbed = running.testbed(BUILT);
    running.says("starting 1 RabbitMQ", BUILT);
    running.signal(Signal::SIGINT);
    let outcome = running.wait(GONE);
    outcome.fails(7, &["streamharness: stopped by SIGINT"]);
    vanishes(&testbed, GONE);
}

#[test]
fn without_namespaces_nothing_outlives_an_owner_or_a_supervisor_that_was_killed() {
    let architectures = if slow() { &["mss", "prs-stunnel", "prs", "dts"][..] } else { &["mss"] };
    for architecture in architectures {
        for victim in ["owner", "supervisor"] {
            let launch = mpirun(2, &["--arch", architecture, "--duration", "60s"]);
            let mut running = launch.variable("STREAMHARNESS_NO_NAMESPACES", "1").start();
            let testbed = running.testbed(BUILT);
            running.streams(BUILT);
            assert!(
                running.stderr().contains("parent-death signals, without namespaces (weaker: "),
                "{}",
                running.stderr()
            );
            let name = testbed.to_str().unwrap();
            let is_supervisor = |one: &processes::Process| one.arguments.get(2).is_some_and(|word| word == "supervise");
            let of_testbed = processes::of_directory(name);
            let supervisor = of_testbed.iter().find(|one| is_supervisor(one)).expect("a supervisor");
            let killed = if victim == "owner" { running.rank(0) } else { supervisor.pid };
            processes::send(killed, Signal::SIGKILL);
            let outcome = running.wait(LIMIT);
            assert!(!outcome.status.success(), "{architecture}: {outcome}");
            if victim == "supervisor" {
                // Its files are left to the next launch.
                let gone = || processes::of_directory(name).is_empty().then_some(());
                assert!(within(GONE, gone).is_some(), "left of {architecture}: {:#?}", processes::of_directory(name));
                testbed::down(&testbed, &mut |_| ()).unwrap();
            }
            vanishes(&testbed, GONE);
        }
    }
}

#[test]
fn a_testbed_of_a_launch_stays_within_the_ports_that_it_was_given() {
    let from = free_ports(170);
    let to = from + 169;
    let running = single(&["--arch", "dts", "--messages", "300", "--ports", &format!("{from}-{to}")]).start();
    let outcome = running.wait(LIMIT);
    let record = outcome.passes();
    let ports = |address: &str| address.rsplit_once(':').map(|(_, port)| port.parse::<u16>().unwrap());
    let used: Vec<_> = record.route.hops.iter().filter_map(|hop| ports(hop.address.as_deref()?)).collect();
    assert!(!used.is_empty() && used.iter().all(|port| (from..=to).contains(port)), "{used:?} {outcome}");
    assert!(outcome.stderr.contains(&format!("ports {from}-{to}")), "{outcome}");
}
