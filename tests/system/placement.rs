//! Workers on ranks, whatever the numbers of either.

use crate::support::{Launch, mpirun, program, service, single, workspace};
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

/// Two ranks of the first part, three of the second one.
fn in_parts(first: &[&str], second: &[&str]) -> Launch {
    let program = program().display().to_string();
    let words = [&["-n", "2", &program], first, &[":", "-n", "3", &program]].concat();
    let before: Vec<_> = words.into_iter().map(Into::into).collect();
    Launch::new(&workspace().join("launch/mpirun"), &before, second)
}

#[test]
fn ranks_of_each_part_of_a_launch_play_its_role_with_the_settings_of_rank_0() {
    let first = ["--role", "consumer", "--messages", "1002", "--consumers", "4"];
    check(
        in_parts(&first, &["--role", "producer"]),
        &[
            ("consumer", &[], &[0, 1]),
            ("consumer", &[], &[2, 3]),
            ("producer", &[0], &[]),
            ("producer", &[1], &[]),
            ("producer", &[2], &[]),
        ],
    );
    in_parts(&first, &["--role", "producer", "--messages", "7"]).run(LIMIT).fails(
        1,
        &["streamharness: rank 2 states --messages, otherwise than rank 0: all settings but --role come from rank 0"],
    );
    in_parts(&first, &[]).run(LIMIT).fails(1, &["rank 2 has no --role, and others have one"]);
    single(&["--role", "producer"]).run(LIMIT).fails(2, &["no rank has the role consumer", "--consumers 0"]);
    for command in [&["run"][..], &["sweep", "loss-quick"]] {
        let both = [command, &["--role", "producer", "--set", "roles=['producer']"]].concat();
        single(&both).run(LIMIT).fails(2, &["--role and `roles` of the profile both place", "leave one of them out"]);
    }
    single(&["plan", "--role", "producer"]).run(LIMIT).fails(1, &["--set 'roles=[\"producer\", ...]'"]);
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
