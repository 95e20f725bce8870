//! Several launches over one service at once: other tenants of a run, and runs beside each other.

use crate::support::{Turn, broker::queues_of, mpirun, processes, service};
use measure::Record;
use std::{collections::BTreeSet, time::Duration};

const LIMIT: Duration = Duration::from_secs(240);

/// Tenants that are left of a run.
fn left() -> Vec<String> {
    let all = processes::all().into_iter().map(|process| process.arguments.join(" "));
    all.filter(|words| words.contains(" neighbour ")).collect()
}

#[test]
fn neighbours_have_clusters_of_their_own_are_accounted_for_and_end_with_the_run() {
    let tenants = ["--set", "neighbours.tenants=2", "--set", "neighbours.rate=50/s"];
    let words = [&["--arch", "mss", "--duration", "3s", "--warmup", "1s"][..], &tenants].concat();
    let outcome = mpirun(2, &words).through(service()).run(LIMIT);
    let record = outcome.passes();
    let [one, other] = &record.neighbours[..] else { panic!("{:?}", record.neighbours) };
    let own = record.route.provisioned.as_ref().unwrap().cluster.clone();
    let clusters: BTreeSet<_> = [Some(own), one.cluster.clone(), other.cluster.clone()].into();
    assert_eq!(clusters.len(), 3, "{clusters:?}");
    let runs: BTreeSet<&str> = [record.run_id.as_str(), &one.run_id, &other.run_id].into();
    assert_eq!(runs.len(), 3, "{runs:?}");
    for neighbour in [one, other] {
        assert!(neighbour.delivered > 0 && neighbour.delivered <= neighbour.sent, "{neighbour:?}");
        assert!(neighbour.stream_s > 3.0 && neighbour.wrong == 0, "it streams before, while and until: {neighbour:?}");
    }
    assert_eq!(left(), [""; 0]);
    assert!(!service().users().iter().any(|user| user.starts_with("bench-api-")), "{:?}", service().users());
}

#[test]
fn launches_at_once_over_one_service_stay_apart_in_names_accounts_and_records() {
    // Until the end: this test has two launches.
    let turn = Turn::take();
    let started = ["1", "2"].map(|seed| {
        let words = ["--arch", "mss", "--messages", "3000", "--verify", "all", "--seed", seed];
        mpirun(2, &words).through(service()).start_beside(&turn)
    });
    let outcomes = started.map(|launch| launch.wait(LIMIT));
    let records: Vec<Record> = outcomes.iter().map(|outcome| outcome.passes()).collect();
    for record in &records {
        let counts = &record.integrity;
        let counted = [counts.sent, counts.confirmed, counts.delivered, counts.expected];
        assert_eq!(counted, [3000; 4], "{counts:?}");
        assert_eq!([counts.lost, counts.duplicated, counts.corrupt, counts.foreign], [0; 4], "{counts:?}");
    }
    let apart = |of: &dyn Fn(&Record) -> Vec<String>| {
        let [one, other] = [0, 1].map(|index| of(&records[index]).into_iter().collect::<BTreeSet<_>>());
        assert!(!one.is_empty() && one.is_disjoint(&other), "{one:?} {other:?}");
    };
    apart(&|record| vec![record.run_id.clone()]);
    apart(&queues_of);
    apart(&|record| {
        let provisioned = record.route.provisioned.as_ref().unwrap();
        vec![provisioned.cluster.clone(), provisioned.fqdn.clone()]
    });
}
