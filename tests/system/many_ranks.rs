//! Sixty-four ranks, by each launcher.

use crate::support::{Outcome, mpirun, service, slurm::Cluster, srun};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(200);
const RANKS: usize = 64;
const BEFORE_STREAMING: [&str; 6] = ["payloads", "ceiling", "connect", "topology", "clocks", "start"];

#[track_caller]
fn check(outcome: &Outcome, launcher: &str) {
    let record = outcome.passes();
    assert_eq!(record.ranks.len(), RANKS);
    assert_eq!(record.ranks.iter().filter(|rank| rank.role == "producer").count(), RANKS / 2);
    assert_eq!(record.environment.launcher.as_deref(), Some(launcher));
    // Not asserted on: this machine may be busy with something else.
    let phase = |name: &str| record.phases.get(name).copied().expect("every phase is timed");
    let measured: f64 = record.phases.values().sum();
    println!(
        "{launcher} -n {RANKS}: {:.1} s in all; before streaming {:.1} s, starting and ending processes {:.1} s, \
         stream {:.1} s, reduce {:.3} s",
        outcome.elapsed.as_secs_f64(),
        BEFORE_STREAMING.map(phase).iter().sum::<f64>(),
        outcome.elapsed.as_secs_f64() - measured,
        phase("stream"),
        phase("reduce"),
    );
}

#[test]
fn sixty_four_ranks_of_mpirun_deliver_everything() {
    check(&mpirun(RANKS, &["--messages", "20000"]).through(service()).run(LIMIT), "mpirun");
}

#[test]
fn sixty_four_tasks_of_srun_deliver_everything_and_a_failure_shows_in_its_exit_code() {
    let cluster = Cluster::start();
    check(&srun(&cluster, RANKS, &["--messages", "20000"]).through(service()).run(LIMIT), "srun");

    let misspelt = srun(&cluster, 4, &["--workload", "dstrem"]).run(LIMIT);
    misspelt.fails(1, &["did you mean `dstream`?"]);
    let unreachable =
        srun(&cluster, 4, &["--url", "amqps://bench@localhost:1"]).variable("STREAMHARNESS_PASSWORD", "any").run(LIMIT);
    unreachable.fails(3, &["streamharness: ", "connection refused"]);
    cluster.stop();
}
