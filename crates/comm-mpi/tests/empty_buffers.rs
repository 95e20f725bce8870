//! Ranks under a real launcher with nothing to send: an empty buffer is none of MPI's special addresses.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use comm_mpi::{ALL_RANKS_MAX, MpiComm};
use engine::ports::{Comm, POST_BYTES_MAX};
use std::{
    env,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

const LIMIT: Duration = Duration::from_secs(60);
const RANK: &str = "STREAMHARNESS_EMPTY_BUFFERS";

#[test]
fn what_is_empty_arrives_as_nothing_on_three_ranks() {
    if env::var_os(RANK).is_some() {
        return as_a_rank();
    }
    let launcher = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../launch/mpirun");
    let output = Command::new(launcher)
        .args(["-n", "3"])
        .arg(env::current_exe().unwrap())
        .args(["--test-threads=1", "--nocapture"])
        .env(RANK, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn as_a_rank() {
    let comm = MpiComm::init(ALL_RANKS_MAX, true).unwrap();
    let rank = comm.rank();
    assert_eq!(comm.size(), 3);
    assert_eq!(comm.broadcast(Vec::new(), LIMIT).unwrap(), b"");
    comm.reduce_sum(&mut [], LIMIT).unwrap();
    // All of them, all but one, and only one, the root among them and not.
    for speakers in [vec![], vec![0], vec![1], vec![2], vec![0, 1], vec![1, 2], vec![0, 1, 2]] {
        let of = |rank: usize| if speakers.contains(&rank) { vec![rank as u8; rank + 2] } else { Vec::new() };
        let expected: Vec<Vec<u8>> = if rank == 0 { (0..3).map(of).collect() } else { Vec::new() };
        assert_eq!(comm.gather(&of(rank), LIMIT).unwrap(), expected, "{speakers:?} speak");
    }
    // What it cannot carry is a value on every rank, and the launch goes on.
    assert!(comm.post(0, &vec![0; POST_BYTES_MAX as usize + 1]).is_err());
    comm.post((rank + 1) % 3, b"").unwrap();
    let until = Instant::now() + LIMIT;
    let got = loop {
        if let Some(got) = comm.poll().unwrap() {
            break got;
        }
        assert!(Instant::now() < until, "nothing came");
        std::thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(got, ((rank + 2) % 3, Vec::new()));
    comm.barrier(LIMIT).unwrap();
}
