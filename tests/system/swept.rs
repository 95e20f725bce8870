//! Sweeps: all points in one launch, whatever becomes of each, and nothing lost by an end in the middle.

use crate::support::{Outcome, mpirun, processes, relay::Relay, service};
use measure::Record;
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);
const SMALL: &str = "[base]\nmessages = 60\n[base.message]\nformat = 'variables'\nevent_bytes = '1KiB'\nevents = 1\n";

/// The records of all points, by their directories.
fn records(outcome: &Outcome) -> BTreeMap<String, Record> {
    let files = outcome.files.iter().filter(|(path, _)| path.ends_with("/record.json"));
    files
        .map(|(path, bytes)| {
            let dir =
                path.trim_end_matches("/record.json").rsplit("results/mine/").next().expect("a directory").to_owned();
            (dir, Record::from_json(std::str::from_utf8(bytes).unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn a_point_that_fails_is_recorded_and_the_others_go_on() {
    let experiment = format!(
        "repetitions = 2\npaired = true\n{SMALL}[axes]\narch = ['dts-plain', 'closed.toml']\nconsumers = [1, 2]"
    );
    let closed = "[route]\ntls = false\nurls = ['amqp://bench@127.0.0.1:9']";
    let outcome = mpirun(3, &["sweep", "mine.toml"])
        .file("mine.toml", &experiment)
        .file("closed.toml", closed)
        .through(service())
        .variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
        .run(LIMIT);
    assert!(outcome.stderr.contains("4 of 8 points passed"), "{outcome}");
    assert!(!outcome.status.success() && !outcome.stderr.contains("SIGTERM"), "{outcome}");
    let records = records(&outcome);
    assert_eq!(records.len(), 8, "{:?}", records.keys());
    for (dir, record) in records {
        let point = record.point.expect("it belongs to one");
        assert_eq!((point.experiment.as_str(), dir.starts_with(&point.name)), ("mine", true), "{dir}");
        let plain = dir.starts_with("dts-plain");
        assert_eq!((record.status.pass, record.status.exit_code), if plain { (true, 0) } else { (false, 3) }, "{dir}");
        let consumers = record.plan["placement"]["consumers"].as_u64().unwrap();
        assert!(dir.contains(&format!("consumers-{consumers}/run-00{}", record.repetition.unwrap().number)), "{dir}");
    }
}

#[test]
fn a_sweep_that_is_killed_goes_on_where_it_was() {
    let experiment = format!("repetitions = 4\n{SMALL}[axes]\nconsumers = [1, 2]");
    let place = crate::support::place();
    let out = place.path().join("results/mine").display().to_string();
    let sweep = |more: &[&str]| {
        let arguments = ["sweep", "mine.toml", "--out", &out, "--set", "arch=dts-plain"];
        mpirun(3, &[&arguments, more].concat()).file("mine.toml", &experiment).through(service())
    };
    let mut running = sweep(&[]).start();
    running.says("[4/8]", LIMIT);
    for process in running.processes() {
        processes::send(process.pid, Signal::SIGKILL);
    }
    running.wait(LIMIT);
    let found = || {
        let runs = figures::load(&[place.path().to_owned()], figures::Failed::Use).unwrap().runs;
        runs.into_iter().map(|run| (run.dir, run.record)).collect::<BTreeMap<_, _>>()
    };
    let before = found();
    assert!((3..8).contains(&before.len()), "three points had ended, and not all: {:?}", before.keys());
    sweep(&[]).run(LIMIT).fails(1, &["holds results already", "--resume"]);
    sweep(&["--resume", "--set", "messages=61"])
        .run(LIMIT)
        .fails(1, &["with other settings: `length", " is 60 there and 61 here", "--out"]);
    let outcome = sweep(&["--resume"]).run(LIMIT);
    assert!(outcome.status.success() && outcome.stderr.contains("8 of 8 points passed"), "{outcome}");
    let after = found();
    assert_eq!(after.len(), 8);
    for (dir, record) in before.iter().filter(|(_, record)| record.status.pass) {
        assert_eq!(after[dir].run_id, record.run_id, "{} was run again", dir.display());
    }
}

#[test]
fn a_broker_that_is_restarted_between_two_points_costs_none_of_them() {
    let away = Arc::new(AtomicBool::new(false));
    let relay = Relay::to_a_broker_that_goes(service().plain_port(), away.clone());
    let route = format!("[route]\ntls = false\nurls = ['amqp://bench@127.0.0.1:{}']", relay.port());
    let experiment = format!("repetitions = 4\n{SMALL}[axes]\narch = ['relayed.toml']");
    let mut running = mpirun(2, &["sweep", "mine.toml"])
        .file("mine.toml", &experiment)
        .file("relayed.toml", &route)
        .through(service())
        .variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
        .start();
    running.says("3 left", LIMIT);
    away.store(true, Ordering::Relaxed);
    running.says("the route worked before, so this point is tried again in 2 s", LIMIT);
    away.store(false, Ordering::Relaxed);
    let outcome = running.wait(LIMIT);
    assert!(outcome.status.success() && outcome.stderr.contains("4 of 4 points passed"), "{outcome}");
    assert!(records(&outcome).values().all(|record| record.status.pass), "{outcome}");
}

#[test]
fn a_search_reports_the_highest_value_that_holds_or_why_it_is_unknown() {
    let search = |keeps: &str| {
        let experiment = format!(
            "[base]\nproducers = 1\nconsumers = 1\npattern = 'work-sharing-feedback'\nduration = '1s'\nwarmup = '100ms'\n\
             [search]\nkey = 'load.rate'\nfrom = '50/s'\nto = '100/s'\nkeeps = '{keeps}'\nresolution = 0.5\n\
             [axes]\narch = ['dts-plain']"
        );
        mpirun(2, &["sweep", "mine.toml"]).file("mine.toml", &experiment).through(service()).run(LIMIT)
    };
    let outcome = search("rtt_p50 < 20s");
    assert!(outcome.status.success() && outcome.stdout.contains("100/s"), "{outcome}");
    assert_eq!(
        records(&outcome).into_keys().collect::<Vec<_>>(),
        ["dts-plain_rate-100/run-001", "dts-plain_rate-50/run-001"]
    );

    let outcome = search("rtt_p99 < 20s");
    let why = "with 50/s, rtt_p99 was not measured: it takes 1000 samples, and there were";
    assert!(!outcome.status.success() && outcome.stdout.contains(&format!("unknown: {why}")), "{outcome}");
    assert!(outcome.stderr.contains("1 of 1 points passed") && outcome.stderr.contains("base.duration"), "{outcome}");
    let sweep = outcome.files.iter().find(|(path, _)| path.ends_with("sweep.json")).expect("it leaves one").1;
    let sweep: serde_json::Value = serde_json::from_slice(sweep).unwrap();
    assert!(sweep["searched"][0]["unknown"].as_str().unwrap().starts_with(why), "{sweep}");
}
