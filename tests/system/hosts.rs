//! A cluster on this machine: runs over several hosts, with links and clocks of their own, of which nothing stays.

use crate::support::{Launch, place, processes, program, service, slow, slurm::Cluster, srun_with, within, workspace};
use measure::Record;
use nix::{sys::signal::Signal, unistd::geteuid};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(120);
const GONE_LIMIT: Duration = Duration::from_secs(20);
/// TCP payload of a link of 100 Mbit/s, see `facility`.
const PAYLOAD_BITS_PER_SECOND: f64 = 100e6 * 1448.0 / 1514.0;

/// Rank 0 opens the service on its host before it joins the others, which therefore find it, and closes it at the end.
const WITH_SERVICE: &str = "[ $PMIX_RANK = 0 ] || exec \"$0\" \"$@\"
    haproxy -D -p haproxy.pid -f host.cfg && \"$0\" \"$@\"; code=$?
    kill $(cat haproxy.pid); exit $code";

/// Whether this machine allows namespaces; where it does not, a test that asks prints that it was skipped, and why.
fn allowed() -> bool {
    let tried = Command::new(workspace().join("launch/local-hosts")).args(["1", "true"]).output().unwrap();
    let said = String::from_utf8_lossy(&tried.stderr);
    if !tried.status.success() {
        assert!(said.contains("allows no namespaces"), "{said}");
        println!("{}: skipped: {said}", std::thread::current().name().unwrap_or_default());
    }
    tried.status.success()
}

/// The shared service on a host of a cluster. A socket in the file system leads out of the hosts' network: of the two proxies
/// at its ends, one ends with this value and the other with the hosts.
struct Door {
    outer: Child,
    place: TempDir,
}

impl Door {
    fn open() -> Self {
        let place = place();
        let (config, socket) = (place.path().join("outer.cfg"), Self::socket(place.path()));
        let to = service().plain_url();
        let port = to.rsplit_once(':').expect("a URL with a port").1;
        fs::write(&config, proxy(&format!("unix@{socket} mode 666"), &format!("127.0.0.1:{port}"))).unwrap();
        // It ends with this process, too, however that ends.
        let mut haproxy = Command::new("setpriv");
        haproxy
            .args(["--pdeathsig", "KILL", "haproxy", "-db", "-f"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let door = Self { outer: haproxy.spawn().unwrap(), place };
        within(GONE_LIMIT, || Path::new(&Self::socket(door.place.path())).exists().then_some(())).expect("it listens");
        door
    }

    fn socket(place: &Path) -> String {
        place.join("service").display().to_string()
    }

    /// The same launch, with the file that opens the service on the host of rank 0, and the password.
    fn of(&self, launch: Launch) -> Launch {
        let inner = proxy(":5672", &format!("unix@{}", Self::socket(self.place.path())));
        launch.file("host.cfg", &inner).variable("STREAMHARNESS_PASSWORD", service().password())
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = self.outer.kill();
        let _ = self.outer.wait();
    }
}

fn proxy(bind: &str, server: &str) -> String {
    let limits = "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n";
    format!("{limits}listen service\n bind {bind}\n server service {server}\n")
}

/// `launch/mpirun --local-hosts 2`, through the service on `host0`, producers on that host and consumers on the other.
fn over_two_hosts(door: &Door, options: &[&str], load: &[&str]) -> Launch {
    let program = program().display().to_string();
    let before =
        [["--local-hosts", "2"].as_slice(), options, &["-n", "4", "sh", "-c", WITH_SERVICE, &program]].concat();
    let before: Vec<_> = before.into_iter().map(Into::into).collect();
    let route = ["--arch", "dts-plain", "--url", "amqp://bench@host0:5672", "--layout", "by-host"];
    door.of(Launch::new(&workspace().join("launch/mpirun"), &before, &[&route, load].concat()))
}

#[track_caller]
fn are_on_two_hosts(record: &Record) {
    assert_eq!(record.environment.hosts, ["host0", "host1"]);
    let ranks: Vec<_> = record.ranks.iter().map(|rank| (rank.host.as_str(), rank.role.as_str())).collect();
    let expected = [("host0", "producer"), ("host0", "producer"), ("host1", "consumer"), ("host1", "consumer")];
    assert_eq!(ranks, expected);
}

fn devices() -> BTreeSet<String> {
    let all = fs::read_dir("/sys/class/net").unwrap();
    all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// The network namespaces of these processes, without that of the machine. While they are open, no other gets their number.
fn networks(processes: &[processes::Process]) -> BTreeMap<u64, File> {
    let network = |pid: &str| {
        let file = File::open(format!("/proc/{pid}/ns/net")).ok()?;
        Some((file.metadata().ok()?.ino(), file))
    };
    let mut all: BTreeMap<_, _> = processes.iter().filter_map(|one| network(&one.pid.to_string())).collect();
    all.remove(&network("self").expect("this process has one").0);
    all
}

#[test]
fn two_hosts_stream_as_fast_as_their_link() {
    if !allowed() {
        return;
    }
    let door = Door::open();
    let record = over_two_hosts(&door, &["--local-link", "100mbit"], &["--messages", "2000"]).run(LIMIT).passes();
    are_on_two_hosts(&record);
    let used = &record.environment.machines[1].interfaces;
    assert!(used.len() == 1 && used[0].address == "10.80.0.11", "the consumers' way is over their link: {used:?}");
    // A busy machine may be slower than its link; without the limit it is many times as fast.
    let share = record.throughput.bits_per_second.unwrap() / PAYLOAD_BITS_PER_SECOND;
    assert!(share <= 1.05, "{share} of the link's payload");
}

#[test]
fn clocks_that_differ_by_a_thousand_seconds_are_brought_together() {
    if !allowed() {
        return;
    }
    let door = Door::open();
    let record = over_two_hosts(&door, &["--local-clocks", "0,1000"], &["--messages", "2000"]).run(LIMIT).passes();
    are_on_two_hosts(&record);
    let clocks = record.environment.clocks.expect("two clocks are compared");
    assert_eq!(clocks.hosts, 2);
    // Each message was sent before it arrived, and arrived while the run went on.
    let one_way = &record.latency["one_way"];
    assert_eq!((one_way.count, one_way.negative), (2000, 0), "{one_way:?}");
    let in_all_ns = (record.completion.total_s.unwrap() * 1e9) as u64;
    assert!(one_way.max_ns.unwrap() <= in_all_ns + clocks.pair_error_ns, "{one_way:?} {clocks:?}");
    assert!(record.warnings.iter().all(|warning| !warning.contains("clock")), "{:?}", record.warnings);
}

#[test]
fn nothing_of_the_hosts_outlives_a_killed_mpirun() {
    if !allowed() {
        return;
    }
    let before = devices();
    let door = Door::open();
    let running = over_two_hosts(&door, &[], &["--duration", "60s", "--rate", "200/s"]).streaming(LIMIT);
    let processes = running.processes();
    let of_launch = networks(&processes);
    assert_eq!(of_launch.len(), 3, "two hosts and their switch: {processes:#?}");
    assert_eq!(devices(), before, "the machine's own network has none of theirs");
    running.signal(Signal::SIGKILL);
    let ended = running.end(GONE_LIMIT);
    assert!(ended.left.is_empty(), "left: {:#?} {}", ended.left, ended.outcome);
    let taken = networks(&processes::all());
    assert!(taken.keys().all(|network| !of_launch.contains_key(network)), "somebody is still on one of the hosts");
    assert_eq!(devices(), before);
}

#[test]
fn a_plain_user_has_hosts_too_and_is_himself_on_them() {
    const NOBODY: u32 = 65534;
    if !allowed() {
        return;
    }
    let place = place();
    let user = if geteuid().is_root() { NOBODY } else { geteuid().as_raw() };
    let as_user = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/").env("HOME", place.path());
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.output().unwrap()
    };
    let mpirun = workspace().join("launch/mpirun").display().to_string();
    if !as_user("test", &["-x", &mpirun]).status.success() {
        return println!("skipped: the user nobody cannot reach {mpirun}");
    }
    let words = ["--local-hosts", "2", "-n", "4", "sh", "-c", "echo $(hostname) $(id -u)"];
    let output = as_user(&mpirun, &words);
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("allows no namespaces") {
        return println!("skipped for a plain user: {said}");
    }
    let lines = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    let [first, second] = [0, 1].map(|host| format!("host{host} {user}"));
    assert_eq!(lines, [&first, &first, &second, &second], "{said}");
}

/// `launch/mpirun --local-hosts 2` without an address, producers on one host and consumers on the other.
fn without_an_address(arguments: &[&str]) -> Launch {
    let before = ["--local-hosts", "2", "-n", "4"].map(Into::into);
    let before: Vec<_> = before.into_iter().chain([program().into()]).collect();
    Launch::new(&workspace().join("launch/mpirun"), &before, &[&["--layout", "by-host"], arguments].concat())
}

#[test]
fn a_launch_over_hosts_builds_a_service_that_all_of_them_reach() {
    if !allowed() {
        return;
    }
    let architectures = if slow() { &["prs", "dts", "prs-stunnel", "mss"][..] } else { &["prs"] };
    for architecture in architectures {
        let outcome = without_an_address(&["--arch", architecture, "--messages", "500"]).run(LIMIT);
        let record = outcome.passes();
        are_on_two_hosts(&record);
        assert_eq!(record.integrity.delivered, 500, "{outcome}");
        let addresses: Vec<_> = record.route.hops.iter().filter_map(|hop| hop.address.as_deref()).collect();
        assert!(!addresses.is_empty(), "{outcome}");
        for address in addresses.iter().flat_map(|all| all.split(',')) {
            assert!(address.starts_with("10.80.0.10:"), "{architecture}: {address} is not on the host of rank 0");
        }
    }
}

#[test]
fn a_service_over_hosts_ends_with_any_rank_that_is_killed() {
    if !allowed() {
        return;
    }
    for rank in if slow() { &[3, 0][..] } else { &[3] } {
        let mut running = without_an_address(&["--arch", "dts", "--duration", "60s", "--rate", "200/s"]).start();
        let testbed = running.testbed(LIMIT);
        running.streams(LIMIT);
        processes::send(running.rank(*rank), Signal::SIGKILL);
        let outcome = running.wait(LIMIT);
        assert!(!outcome.status.success(), "{outcome}");
        let name = testbed.to_str().unwrap();
        let gone = || (!testbed.exists() && processes::of_directory(name).is_empty()).then_some(());
        assert!(within(GONE_LIMIT, gone).is_some(), "left of rank {rank}'s: {:#?}", processes::of_directory(name));
    }
}

#[test]
fn a_service_that_other_hosts_cannot_reach_is_refused_before_anything_streams() {
    if !allowed() {
        return;
    }
    let elsewhere = without_an_address(&["--arch", "dts", "--interface", "ib7"]).run(LIMIT);
    elsewhere.fails(3, &["no interface `ib7`", "10.80.0.10", "--interface"]);
    let on_loopback = without_an_address(&["--arch", "dts"]).through(service()).run(LIMIT);
    on_loopback.fails(3, &["listens on loopback only", "testbed down", "--url"]);
}

#[test]
fn srun_streams_over_two_hosts_of_a_local_cluster_with_a_service_of_its_own() {
    if !allowed() {
        return;
    }
    let cluster = Cluster::of(&["--nodes", "2"]);
    let before = ["-N", "2", "-n", "4"].map(Into::into);
    let before: Vec<_> = before.into_iter().chain([program().into()]).collect();
    let load = ["--arch", "dts", "--layout", "by-host", "--messages", "2000"];
    let record = srun_with(&cluster, &before, &load).run(LIMIT).passes();
    are_on_two_hosts(&record);
    assert_eq!(record.environment.launcher.as_deref(), Some("srun"));
    assert_eq!(record.environment.slurm_nodes.as_deref(), Some("host[0-1]"));
    cluster.stop();
}
