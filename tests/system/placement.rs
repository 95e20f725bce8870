//! Workers on ranks, whatever the numbers of either.

use crate::support::{Launch, mpirun, service, single};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[track_caller]
fn check(launch: Launch, expected: &[(&str, &[u32], &[u32])]) {
    let record = launch.through(service()).run(LIMIT).passes();
    let ranks: Vec<(&str, &[u32], &[u32])> = record
        .ranks
        .iter()
        .map(|rank| (rank.role.as_str(), rank.producers.as_slice(), rank.consumers.as_slice()))
        .collect();
    assert_eq!(ranks, expected);
    for rank in &record.ranks {
        assert_eq!(rank.sent > 0, !rank.producers.is_empty(), "{rank:?}");
        assert_eq!(rank.received > 0, !rank.consumers.is_empty(), "{rank:?}");
    }
}

#[test]
fn one_process_without_a_launcher_plays_both_roles() {
    check(single(&["--messages", "1000"]), &[("producer+consumer", &[0], &[0])]);
}

#[test]
fn ranks_without_a_worker_are_idle() {
    check(
        mpirun(3, &["--messages", "1000", "--producers", "1", "--consumers", "1"]),
        &[("producer", &[0], &[]), ("consumer", &[], &[0]), ("idle", &[], &[])],
    );
}

#[test]
fn several_workers_share_a_rank_where_ranks_are_few() {
    check(
        mpirun(2, &["--messages", "1001", "--producers", "3", "--consumers", "2"]),
        &[("producer", &[0, 1], &[]), ("producer+consumer", &[2], &[0, 1])],
    );
}

#[test]
fn a_rank_that_waits_sleeps() {
    let arguments = ["--duration", "3s", "--producers", "1", "--consumers", "1"];
    let record = mpirun(3, &arguments).through(service()).run(LIMIT).passes();
    let idle = &record.ranks[2];
    assert_eq!(idle.role, "idle");
    assert!(idle.wall_s >= 3.0, "{idle:?}");
    assert!(idle.cpu_s / idle.wall_s < 0.02, "over 2 % of a core: {idle:?}");
}
