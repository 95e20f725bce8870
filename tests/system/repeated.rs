//! Several runs of one plan: of one launch, and again from a record.

use crate::support::{broker::queues_of, mpirun, service, single};
use measure::Record;
use std::{collections::BTreeSet, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_run_that_fails_is_recorded_and_the_others_go_on() {
    let load = ["--arch", "dts-plain", "--duration", "8s", "--rate", "200/s"];
    let arguments = [&load[..], &["--repeat", "2", "--idle", "100ms", "--out", "results/two"]].concat();
    let (running, queues) = mpirun(2, &arguments).streaming_with_queues(LIMIT);
    let queue = &queues[0];
    service().delete(queue);
    let outcome = running.wait(LIMIT);
    assert_eq!(outcome.status.code(), Some(7), "{outcome}");
    let verdict = outcome.stderr.lines().find(|line| line.contains("1 of 2 runs passed; run 1: rank "));
    assert!(verdict.is_some_and(|line| line.contains(queue)), "{outcome}");

    let text = |name: &str| String::from_utf8(outcome.files[&format!("results/two/{name}")].clone()).unwrap();
    let records: Vec<Record> =
        (1..=2).map(|run| Record::from_json(&text(&format!("run-{run:03}/record.json"))).unwrap()).collect();
    let codes: Vec<u8> = records.iter().map(|record| record.status.exit_code).collect();
    assert_eq!(codes, [3, 0], "{outcome}");
    let numbers: Vec<u32> = records.iter().map(|record| record.repetition.as_ref().unwrap().number).collect();
    assert_eq!(numbers, [1, 2]);
    for record in &records[1..] {
        let integrity = &record.integrity;
        assert!(integrity.sent > 0 && integrity.delivered == integrity.sent && integrity.foreign == 0, "{integrity:?}");
        assert_eq!(record.repetition.as_ref().unwrap().first_run_id, records[0].run_id);
        assert_eq!(record.plan["seed"], records[0].plan["seed"]);
    }
    let queues: BTreeSet<String> = records.iter().flat_map(queues_of).collect();
    assert_eq!(queues.len(), 2, "each run has a queue of its own");
    assert!(service().queues().iter().all(|queue| !queues.contains(queue)), "and none is left");

    let summary: serde_json::Value = serde_json::from_str(&text("summary.json")).unwrap();
    assert_eq!((&summary["exit_code"], &summary["runs"][0]["pass"]), (&7.into(), &false.into()), "{summary}");
    let throughput = &summary["estimates"]["throughput"];
    let rate = records[1].throughput.messages_per_second.unwrap();
    assert_eq!(
        (&throughput["runs"], throughput["median"].as_f64().unwrap()),
        (&1.into(), rate),
        "the failed run is left out"
    );
    let last = outcome.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("# STATUS: FAIL 1 of 2 runs passed"), "{outcome}");
}

#[test]
fn a_run_is_repeated_from_its_record_and_differs_in_what_it_measures_only() {
    let arguments = ["--arch", "dts-plain", "--messages", "300", "--seed", "7", "--confirms", "window:20", "--pattern"];
    let arguments = [&arguments[..], &["work-sharing-feedback", "--assert", "lost == 0 and throughput < 1"]].concat();
    let first = mpirun(2, &arguments).through(service()).run(LIMIT);
    first.fails(5, &["throughput < 1", "throughput is "]);
    let json = first.text("record.json");
    let before = first.leaves_a_failed_record(5, "lost is 0");

    // A launch of another size, and none at all: both say what to type.
    single(&["rerun", "before.json", "--out", "x"]).file("before.json", &json).run(LIMIT).prints("mpirun -n 2 ");
    let other = mpirun(3, &["rerun", "before.json"]).file("before.json", &json).through(service()).run(LIMIT);
    other.fails(1, &["is for 2 rank(s), and this launch has 3: mpirun -n 2 "]);

    let again = mpirun(2, &["rerun", "before.json"]).file("before.json", &json).through(service()).run(LIMIT).passes();
    assert_eq!(before.done_differently(&again), Vec::<String>::new());
    assert_ne!(queues_of(&before), queues_of(&again));
    assert_eq!(before.totals.sent, again.totals.sent, "the same bodies");
}
