//! A part with a limit of CPU: it is really throttled, the record shows it, and nothing of the limit stays.

use crate::support::{place, program, single};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);

fn testbed(dir: &Path, words: &[&str]) -> Output {
    Command::new(program()).arg("testbed").args(words).env("STREAMHARNESS_TESTBED", dir).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Takes a testbed down whatever happens to the test: it would outlive it.
struct Down<'a>(&'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        testbed(self.0, &["down"]);
    }
}

/// How often the kernel has held back what is in a group.
fn times_held_back(group: &Path) -> u64 {
    let text = fs::read_to_string(group.join("cpu.stat")).unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("nr_throttled "));
    count.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn a_limited_control_server_throttles_its_proxy_the_record_shows_it_and_no_group_stays() {
    let place = place();
    let dir = &place.path().join("testbed");
    let unknown = testbed(dir, &["up", "--nodes", "1", "--arch", "prs", "--cpu-limit", "s2ds=1"]);
    assert!(unknown.status.code() == Some(1) && said(&unknown).contains("s2cs haproxy consumer"), "{}", said(&unknown));

    let _down = Down(dir);
    let up = testbed(dir, &["up", "--nodes", "1", "--arch", "prs", "--cpu-limit", "s2cs haproxy consumer=0.02"]);
    if said(&up).contains("CPU limits need a control group") {
        return eprintln!("skipped: {}", said(&up));
    }
    assert!(up.status.success(), "{}", said(&up));
    let state: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("state.json")).unwrap()).unwrap();
    let top = PathBuf::from(state["limits"]["top"].as_str().unwrap());
    let group = top.join("s2cs-haproxy-consumer");

    let parts = state["parts"].as_array().unwrap();
    let proxy = parts.iter().find(|part| part["name"] == "s2ds prs-haproxy consumer").unwrap();
    let pid = proxy["process"]["pid"].to_string();
    let limited = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    assert!(limited.lines().any(|one| one == pid), "{limited}: {proxy}");

    // Its cost is by the byte, some 0.5 ms of CPU for each MB, and a period of 100 ms grants 2 ms: with messages of 1 MB it uses up its
    // share unless the machine is so busy that it is offered less than 40 MB/s.
    let launch =
        single(&["--arch", "prs", "--workload", "lstream", "--messages", "200"]).variable("STREAMHARNESS_TESTBED", dir);
    let record = launch.run(LIMIT).passes();
    let held_back = times_held_back(&group);
    assert!(held_back > 0);
    let [limit] = &record.cpu_limits[..] else { panic!("{:?}", record.cpu_limits) };
    assert_eq!((limit.part.as_str(), limit.cores), ("s2cs haproxy consumer", 0.02));
    let used_up = limit.used_up.unwrap();
    assert!(0 < used_up && used_up <= held_back && limit.periods.unwrap() >= used_up, "{limit:?}");
    let limits: Vec<_> = record.route.hops.iter().map(|hop| hop.limits.as_deref()).collect();
    assert_eq!(limits, [None, Some("0.02 CPU with its S2CS"), None, None]);
    let status = said(&testbed(dir, &["status"]));
    let row = status.lines().find(|line| line.starts_with("s2cs haproxy consumer")).unwrap();
    assert!(row.contains("0.02 CPU, held back "), "{status}");

    let down = testbed(dir, &["down"]);
    assert!(down.status.success() && !top.exists() && !dir.exists(), "{}", said(&down));
}
