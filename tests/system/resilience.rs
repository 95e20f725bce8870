//! Faults that a run causes on purpose: each is carried out, recorded and undone, or refused before anything starts.

use crate::support::{mpirun, place, service, single, within};
use measure::record::{Fault, Record};
use nix::sys::signal::Signal;
use std::{fs, time::Duration};

const LIMIT: Duration = Duration::from_secs(240);
const REFUSED_LIMIT: Duration = Duration::from_secs(30);
const PROFILE: i32 = 2;
const USAGE: i32 = 1;
const ROUTE: u8 = 3;

/// In order: due, begun, complete and, if it is to be undone, undone.
fn in_order(fault: &Fault) {
    let times: Vec<f64> =
        [Some(fault.due_s), fault.begun_s, fault.complete_s, fault.undone_s].into_iter().flatten().collect();
    assert!(times.is_sorted(), "{fault:?}");
    assert_eq!(fault.failure, None, "{fault:?}");
    assert!(fault.complete_s.is_some(), "{fault:?}");
}

fn with_faults(faults: &[&str], words: &[&str]) -> Vec<String> {
    let faults = faults.iter().flat_map(|fault| ["--fault", fault]);
    words.iter().copied().chain(faults).map(str::to_owned).collect()
}

#[test]
fn a_run_lives_through_faults_beside_its_way_and_the_record_tells_when_each_began_and_ended() {
    let faults = [
        "at 2s: stop node 1 for 1s",
        "at 5s: suspend rank 1 for 1s",
        "at 8s: alarm memory for 1s",
        "at 12s: move leader",
        "at 14s: restart node 3",
    ];
    // All clients are at the first node, so that the third may go.
    let words = "--arch dts-plain --producers 1 --consumers 2 --duration 18s --rate 100/s --queue-type quorum --confirms window:64 \
                 --set message.events=1 --set route.nodes=1";
    let words: Vec<&str> = words.split_whitespace().collect();
    let words = with_faults(&faults, &words);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let before = service().node(3);
    let record = mpirun(3, &words).through(service()).run(LIMIT).passes();
    assert_eq!(record.faults.iter().map(|fault| fault.fault.as_str()).collect::<Vec<_>>()[..2], faults[..2]);
    assert_eq!(record.faults.len(), faults.len());
    record.faults.iter().for_each(in_order);
    let undone: Vec<bool> = record.faults.iter().map(|fault| fault.undone_s.is_some()).collect();
    assert_eq!(undone, [true, true, true, false, false], "{:?}", record.faults);
    // A stopped node and a suspended consumer deliver nothing for the time that the fault lasts.
    let [stopped, suspended] = [0, 1].map(|place| record.faults[place].cost.clone().unwrap());
    assert_eq!((stopped.stalled, stopped.recovered, suspended.recovered), (2, 2, suspended.stalled), "{record:?}");
    assert!(stopped.longest_stall_s.unwrap() > 0.5 && stopped.missed > 50, "{stopped:?}");
    assert!(suspended.stalled >= 1 && suspended.missed > 20, "{suspended:?}");
    assert!(record.backpressure.blocked_times > 0, "the broker stopped its producer: {:?}", record.backpressure);
    assert_ne!(service().node(3), before, "it was started again");
    assert_eq!(service().unwell(), [""; 0]);
}

#[test]
fn what_cuts_a_run_off_is_undone_though_the_run_ends_early() {
    for (arch, faults) in [
        ("prs", &["at 2s: restart producer proxy"][..]),
        ("prs", &["at 2s: restart consumer control server"]),
        ("mss", &["at 2s: kill ingress", "at 2s: kill balancer"]),
        ("mss", &["at 2s: expire cluster"]),
        ("dts-plain", &["at 2s: close connections"]),
    ] {
        let words = ["--arch", arch, "--duration", "6s", "--rate", "100/s", "--set", "message.events=1"];
        let words = with_faults(faults, &words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let record: Record = mpirun(2, &words).through(service()).run(LIMIT).leaves_a_failed_record(ROUTE, "rank ");
        assert_eq!(record.faults.len(), faults.len(), "{:?}", record.faults);
        for fault in &record.faults {
            in_order(fault);
            assert_eq!(fault.undone_s.is_some(), fault.fault.contains("kill"), "{fault:?}");
            assert_eq!(fault.cost.as_ref().unwrap().recovered, 0, "{fault:?}");
        }
    }
    assert_eq!(service().unwell(), [""; 0], "every part serves again, at the ports that it had");
    for arch in ["prs", "mss"] {
        mpirun(2, &["--arch", arch, "--messages", "100"]).through(service()).run(LIMIT).passes();
    }
}

#[test]
fn a_fault_outlives_no_run_that_is_killed() {
    let fault = "at 1s: stop node 2 for 50s";
    let words =
        ["--arch", "dts-plain", "--duration", "60s", "--rate", "100/s", "--set", "route.nodes=1", "--fault", fault];
    let mut running = single(&words).through(service()).start();
    running.streams(LIMIT);
    // Behind its name, which has neither blanks nor parentheses.
    let is_stopped = || fs::read_to_string(format!("/proc/{}/stat", service().node(2))).unwrap().contains(") T ");
    assert!(within(LIMIT, || is_stopped().then_some(())).is_some(), "it was never stopped");
    running.signal(Signal::SIGKILL);
    assert!(within(LIMIT, || (!is_stopped()).then_some(())).is_some(), "its supervisor has not undone it");
    let _ = running.end(LIMIT);
}

#[test]
fn a_fault_that_a_run_cannot_have_is_refused_before_anything_starts() {
    let one = "--duration 20s --rate 100/s";
    for (code, words, fault, reason) in [
        (USAGE, one, "at 5s: restrat node 2", "did you mean `restart`?"),
        (PROFILE, one, "at 5s: kill ingress", "dts has no ingress"),
        (PROFILE, one, "at 25s: restart node 1", "outside of the measured window"),
        (PROFILE, "--messages 100", "at 5s: restart node 1", "--duration in place of --messages"),
        (PROFILE, one, "at 5s: restart node 2", "--nodes 3"),
        (PROFILE, one, "at 5s: cut link dsn1 for 2s", "--network facility"),
        (PROFILE, one, "at 5s: move leader", "--queue-type quorum"),
        (PROFILE, one, "at 5s: suspend rank 0 for 1s", "suspend another rank"),
        (PROFILE, "--duration 20s --url amqps://me@127.0.0.1:9", "at 5s: restart node 1", "--i-own-this-service"),
        (
            PROFILE,
            "--duration 20s --url amqps://me@127.0.0.1:9 --i-own-this-service",
            "at 5s: restart node 1",
            "[fault_commands] has no command for `restart node 1`",
        ),
    ] {
        let words: Vec<&str> = words.split_whitespace().chain(["--fault", fault]).collect();
        let outcome = single(&words).run(REFUSED_LIMIT);
        outcome.fails(code, &[reason]);
        assert!(!outcome.stderr.contains("building a"), "{}", outcome.stderr);
    }
    let overlap = ["--fault", "at 3s: stop node 1 for 3s", "--fault", "at 5s: restart node 1"];
    let words: Vec<&str> = one.split_whitespace().chain(overlap).collect();
    single(&words).run(REFUSED_LIMIT).fails(PROFILE, &["overlap on node 1"]);
    // Of an experiment it is left out, unless nothing is left then.
    let sweep = |fault: &str| single(&["sweep", "resilience-quick", "--plan", "--only", "arch=dts", "--only", fault]);
    sweep("fault=kill ingress").run(REFUSED_LIMIT).fails(PROFILE, &["dts has no ingress"]);
    let outcome = sweep("fault=kill").run(REFUSED_LIMIT);
    let left_out = "4 points are left out: fault `at 7s: kill ingress for 5s`: dts has no ingress";
    assert!(outcome.status.success() && outcome.stdout.contains(left_out), "{outcome}");
    // An experiment is refused before its first run, if the testbed lacks what one of its faults is on.
    let words = "sweep resilience --only arch=dts --only service.queue_type=quorum --only service.confirms=each --only";
    let words: Vec<&str> = words.split_whitespace().chain(["fault=move leader,cut link"]).collect();
    let outcome = single(&words).through(service()).run(REFUSED_LIMIT);
    outcome.fails(PROFILE, &["fault `at 7s: cut link dsn1 for 5s`", "--network facility"]);
    assert!(!outcome.files.keys().any(|path| path.ends_with("record.json")), "{outcome}");
    // A running testbed is asked itself.
    let words: Vec<&str> = one.split_whitespace().chain(["--fault", "at 5s: restart node 4"]).collect();
    single(&words).through(service()).run(REFUSED_LIMIT).fails(PROFILE, &["the testbed has no node 4: it has "]);
}

#[test]
fn a_cell_of_the_experiment_passes_and_its_report_tells_what_the_fault_cost() {
    let place = place();
    let out = place.path().join("swept").display().to_string();
    let words = "sweep resilience-quick --only arch=dts --only service.confirms=each --repeat 1 --set warmup=0s --set duration=10s";
    let faults = ["--only", "fault=close connections,kill ingress", "--out", &out];
    let words: Vec<&str> = words.split_whitespace().chain(faults).collect();
    let outcome = mpirun(2, &words).through(service()).run(LIMIT);
    assert!(outcome.status.success() && outcome.stderr.contains("1 of 1 points passed"), "{outcome}");
    let left_out = "1 point is left out: fault `at 7s: kill ingress for 5s`: dts has no ingress";
    assert!(outcome.stderr.contains(left_out), "{outcome}");
    let report = single(&["report", &out, "--text"]).run(LIMIT);
    let row =
        report.stdout.lines().find(|line| line.starts_with("close connections")).unwrap_or_else(|| panic!("{report}"));
    let cells: Vec<&str> = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    assert_eq!(cells[1..5], ["quorum", "each", "dts", "1 of 1"], "{report}");
    assert_eq!(cells[8..10], ["0", "0"], "nothing is lost or unknown: {report}");
    let promise = "A quorum queue loses no message that it has confirmed: kept in 1 of 1 runs.";
    assert_eq!(report.stdout.matches(promise).count(), 2, "with the table, and at the head: {report}");
    assert!(report.stdout.contains("What each fault costs"), "{report}");
}

#[test]
fn on_a_service_of_ones_own_a_fault_is_carried_out_by_the_profiles_command() {
    let launch = |command: &str| {
        let text = format!(
            "duration = '4s'\n[load]\nrate = '100/s'\n[message]\nevents = 1\n[[fault]]\nat = '1s'\ndo = 'kill node 2 for 1s'\n\
             [fault_commands]\n'kill node' = \"{command}\"\n"
        );
        let words = ["mine.toml", "--arch", "dts-plain", "--i-own-this-service", "--url"];
        let url = service().plain_url();
        let launch = single(&[&words[..], &[&url]].concat()).file("mine.toml", &text);
        launch.variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
    };
    let place = place();
    let told = place.path().join("told");
    let command = format!("echo $STREAMHARNESS_FAULT $STREAMHARNESS_FAULT_STEP >> {}", told.display());
    let record = launch(&command).run(LIMIT).passes();
    in_order(&record.faults[0]);
    assert!(record.faults[0].undone_s.is_some());
    assert_eq!(fs::read_to_string(told).unwrap(), "kill node 2 begin\nkill node 2 end\n");
    let outcome = launch("echo no such node >&2; false").run(LIMIT);
    let record = outcome.leaves_a_failed_record(7, "fault `at 1s: kill node 2 for 1s` failed");
    assert!(record.faults[0].failure.as_ref().unwrap().ends_with("no such node"), "{:?}", record.faults);
}
