//! Predictions: the files of a run, the same each time, marked as predictions in a report; and what cannot be predicted.

use crate::support::single;
use serde_json::Value;
use std::time::Duration;

/// More than a prediction needs, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const USAGE: i32 = 1;
const PROFILE: i32 = 2;

const POINT: [&str; 9] = ["predict", "--messages", "2048", "--producers", "2", "--consumers", "2", "--out", "one"];

#[test]
fn a_prediction_is_the_files_of_a_run_and_the_same_each_time_and_a_report_says_what_it_is() {
    let predict = || {
        let outcome = single(&[&POINT[..], &["--set", "route.nodes=1", "--scale", "0.2"]].concat()).run(LIMIT);
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        assert!(outcome.stdout.starts_with("# PREDICTION over facility-emulated: dsn1 "), "{outcome}");
        assert!(outcome.stdout.contains("queue 2 lives on dsn2"), "{outcome}");
        assert!(
            outcome.stdout.trim_end().lines().last().unwrap().starts_with("# STATUS: PASS 2048 of 2048"),
            "{outcome}"
        );
        outcome.files
    };
    let (first, second) = (predict(), predict());
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    let record = String::from_utf8(first["one/record.json"].clone()).unwrap();
    for (name, bytes) in &first {
        if name == "one/record.json" {
            let known = |bytes: &[u8]| {
                let mut record: Value = serde_json::from_slice(bytes).unwrap();
                ["run_id", "started", "environment"].iter().for_each(|field| record[*field] = Value::Null);
                record
            };
            assert_eq!(known(bytes), known(&second[name]));
            assert_eq!(known(bytes)["prediction"]["testbed"], "facility-emulated");
        } else {
            assert_eq!(bytes, &second[name], "{name}");
        }
    }
    let outcome = single(&["report", "record.json", "--text"]).file("record.json", &record).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    for part in ["1 of 1 runs are predictions of a model", "DTS (predicted)"] {
        assert!(outcome.stdout.contains(part), "{part} {outcome}");
    }
    let fit = single(&["predict", "--calibrate", "record.json", "-o", "here.toml"]);
    let outcome = fit.file("record.json", &record).run(LIMIT);
    outcome.fails(PROFILE, &["the run `", "is a prediction: calibrate by measurements"]);
    assert!(!outcome.files.contains_key("here.toml"), "{outcome}");
}

#[test]
fn the_cells_of_an_experiment_are_predicted_under_a_hypothesis() {
    let experiment =
        ["predict", "--experiment", "dstream-work-sharing-quick", "--only", "consumers=1,2", "--only", "arch=dts,mss"];
    let outcome =
        single(&[&experiment[..], &["--out", "all", "--hypothesis", "leader=client-local"]].concat()).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let records = outcome.files.keys().filter(|name| name.ends_with("record.json")).count();
    assert_eq!(records, 4, "two routes, one and two consumers, once each\n{outcome}");
    let record: Value = serde_json::from_slice(&outcome.files["all/mss_consumers-2/run-001/record.json"]).unwrap();
    assert_eq!(record["prediction"]["hypotheses"], serde_json::json!(["leader=client-local"]));
    assert_eq!(record["point"]["experiment"], "dstream-work-sharing-quick");
    assert_eq!(record["integrity"]["delivered"], 1024);
}

#[test]
fn the_claims_are_all_judged_under_each_hypothesis_and_a_set_of_them_becomes_flags() {
    // Few messages: this is about the search and its table, not about what holds.
    let few =
        ["predict", "--claims", "--messages", "64", "--axis", "prs-tunnel", "--axis", "unit", "--axis", "estimator"];
    let outcome = single(&few).run(3 * LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let judged: Vec<&str> =
        outcome.stdout.lines().filter(|line| line.starts_with('C') && !line.starts_with("Cl")).collect();
    assert_eq!(judged.len(), 44, "{outcome}");
    for line in judged {
        let marks = line.split_whitespace().nth(1).unwrap();
        // No assumptions, the other estimator, two more tunnels, either unit, and the best set. With so few messages some
        // consumers have no rate of their own, so that sums of rates may be unknown.
        let known = marks.chars().enumerate().all(|(place, mark)| "+-".contains(mark) || (place == 1 && mark == '.'));
        assert!(marks.len() == 7 && known, "{line}");
    }
    for value in ["prs-tunnel=stunnel", "unit=events", "estimator=sum-of-rates"] {
        assert!(outcome.stdout.lines().any(|line| line.split_whitespace().nth(1) == Some(value)), "{value} {outcome}");
    }
    assert!(outcome.stdout.contains("Most claims hold under: "), "{outcome}");

    let flags = |of: &str| {
        let assumed = ["predict", "--hypothesis", "first-look", "--scale", "0.2", "--flags", of];
        let outcome = single(&assumed).run(LIMIT);
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        outcome.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(flags("run"), ["--set", "service_time=constant:1ms", "--set", "think_time=constant:2ms"]);
    assert_eq!(flags("up"), ["--cpu-limit", "s2cs=0.06"]);
}

#[test]
fn what_cannot_be_predicted_is_one_sentence_and_leaves_nothing() {
    for (more, code, expected) in [
        (&["--testbed", "olcf-acr"][..], PROFILE, "did you mean `olcf-ace`?"),
        (&["--testbed", "mine.toml"], PROFILE, "hosts.clients.link"),
        (&["--hypothesis", "leader=nowhere"], PROFILE, "write leader=VALUE with one of"),
        (&["--scale=-1"], PROFILE, "use a number above 0"),
        (&["--queue-type", "quorum"], PROFILE, "--queue-type classic"),
        (&["--arch", "ejfat"], PROFILE, "predict a route over RabbitMQ"),
        (&["--hypothesis", "run-length=long", "--flags", "run"], PROFILE, "give each its --messages"),
        (&["--arch", "mine-arch.toml"], PROFILE, "routes of testbeds only"),
        (&["--repeat", "3"], USAGE, "leave --repeat"),
        (&["--claims", "--axis", "weather"], PROFILE, "use one of addressed-nodes, client-cost"),
        (
            &["--hypothesis", "ingress-routers=3", "--flags", "up"],
            PROFILE,
            "no testbed can be built with ingress-routers=3",
        ),
        (&["--calibrate", "nowhere", "-o", "one/here.toml"], USAGE, "nowhere"),
    ] {
        let launch = single(&[&POINT[..], more].concat())
            .file("mine.toml", "like = 'olcf-ace'\n[hosts.clients]\nlink = '20/s'\n")
            .file("mine-arch.toml", "[route]\nurls = ['amqp://a:5672']\n");
        let outcome = launch.run(LIMIT);
        outcome.fails(code, &["streamharness: ", expected]);
        assert!(!outcome.files.keys().any(|name| name.starts_with("one/")), "{outcome}");
    }
}
