//! A testbed laid out as a facility: what its links let through, what is counted, and that nothing of it stays.

use crate::support::{place, program, workspace};
use measure::Record;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::{Command, Output},
    time::Duration,
};

/// TCP payload of a link of 100 Mbit/s: of each frame of 1538 bytes on a wire, the kernel's limit counts 1514, and TCP with
/// timestamps carries 1448.
const PAYLOAD_BITS_PER_SECOND: f64 = 100e6 * 1448.0 / 1514.0;

/// Takes a testbed down whatever happens to the test: it would outlive it.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        testbed(self.0, &["down"]);
    }
}

fn testbed(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("testbed").args(words).env("STREAMHARNESS_TESTBED", dir);
    command.output().unwrap()
}

#[track_caller]
fn done(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "facility networks need iproute2 and namespaces, see launch/setup: {said}");
    said
}

/// The network namespaces that some process is in.
fn namespaces() -> BTreeSet<u64> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    all.filter_map(|entry| fs::metadata(entry.path().join("ns/net")).ok()).map(|meta| meta.ino()).collect()
}

/// Those of a testbed, and its supervisor, by its state.
fn of_testbed(dir: &Path) -> (BTreeSet<u64>, i32) {
    let state: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("state.json")).unwrap()).unwrap();
    let numbers = state["network"]["namespaces"].as_array().unwrap().iter().map(|number| number.as_u64().unwrap());
    (numbers.collect(), state["parts"][0]["process"]["pid"].as_i64().unwrap() as i32)
}

#[test]
fn a_run_gets_what_its_link_carries_counts_it_and_leaves_no_namespace() {
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let up = ["up", "--network", "facility", "--nodes", "1", "--link", "1gbit", "--scale", "0.1"];
    done(&testbed(dir, &up));
    let status = done(&testbed(dir, &["status"]));
    assert!(status.contains("dsn1     10.79.0.11  100 Mbit/s") && status.contains("node 1"), "{status}");

    // Outside of it there is one sentence, and no wait for an address that cannot be reached.
    let outside = Command::new(program()).env("STREAMHARNESS_TESTBED", dir).current_dir(place.path()).output().unwrap();
    let said = String::from_utf8_lossy(&outside.stderr);
    assert!(outside.status.code() == Some(3) && said.contains("testbed exec -- mpirun"), "{said}");

    let mpirun = workspace().join("launch/mpirun").display().to_string();
    let (program, out) = (program().display().to_string(), place.path().join("out"));
    let out = out.display().to_string();
    let run = ["--arch", "dts-plain", "--workload", "lstream", "--duration", "8s", "--warmup", "1s", "--out", &out];
    let words = [["exec", "--", &mpirun, "-n", "2", &program].as_slice(), &run].concat();
    done(&testbed(dir, &words));
    let record = Record::from_json(&fs::read_to_string(Path::new(&out).join("record.json")).unwrap()).unwrap();
    let share = record.throughput.bits_per_second.unwrap() / PAYLOAD_BITS_PER_SECOND;
    // Without its limit it would be many times as much.
    assert!((0.7..=1.05).contains(&share), "{share} of the link's payload");
    let link = |name: &str| record.links.iter().find(|link| link.host == name).unwrap();
    assert_eq!(link("dsn1").rate_bits_per_second, Some(100_000_000));
    let (sent, received) = (record.totals.sent.bytes, record.totals.received.bytes);
    for (what, counted, least) in [
        ("to dsn1", link("dsn1").to_host.bytes, sent),
        ("from dsn1", link("dsn1").from_host.bytes, received),
        ("to clients", link("clients").to_host.bytes, received),
    ] {
        // Headers, confirms and acknowledgements come on top.
        assert!(counted >= least && counted as f64 <= least as f64 * 1.1, "{what}: {counted} for {least}");
    }

    // A busy machine answers late now and then, which is a note and no more.
    let service = record.service.expect("its management API is known");
    let late = |note: &String| note.contains("no reply within");
    assert!(service.samples > 0 && service.notes.iter().all(late), "{service:?}");

    let (ours, _) = of_testbed(dir);
    assert!(ours.intersection(&namespaces()).count() >= 2, "the broker's and the switch's at least");
    done(&testbed(dir, &["down"]));
    assert_eq!(ours.intersection(&namespaces()).count(), 0);
    assert!(!dir.exists());
}

#[test]
fn a_killed_supervisor_takes_the_network_along() {
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    done(&testbed(dir, &["up", "--network", "facility", "--nodes", "1", "--link", "unlimited"]));
    let (ours, supervisor) = of_testbed(dir);
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    let gone = || ours.is_disjoint(&namespaces()).then_some(());
    assert!(crate::support::within(Duration::from_secs(20), gone).is_some(), "some process is still in its network");
    done(&testbed(dir, &["down"]));
    assert!(!dir.exists());
}
