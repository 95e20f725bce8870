//! A cluster on this machine: runs over several hosts, with links and clocks of their own, of which nothing stays.

use crate::{
    facility::has_tun,
    support::{
        Launch, Running, place, processes, program, service, slow, slurm::Cluster, srun_with, within, workspace,
    },
};
use measure::{LatencySummary, Record};
use nix::{sys::signal::Signal, unistd::geteuid};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
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

/// The one-way latency of a run. A machine that is too busy to compare clocks well has none, and says so.
#[track_caller]
fn one_way_of(record: &Record) -> Option<&LatencySummary> {
    let one_way = record.latency.get("one_way");
    let withheld = record.warnings.iter().any(|warning| warning.contains("one-way latency is withheld"));
    assert!(one_way.is_some() != withheld, "{:?}", record.warnings);
    one_way
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
    let Some(one_way) = one_way_of(&record) else { return };
    assert_eq!((one_way.count, one_way.negative), (2000, 0), "{one_way:?}");
    let in_all_ns = (record.completion.total_s.unwrap() * 1e9) as u64;
    assert!(one_way.max_ns.unwrap() <= in_all_ns + clocks.pair_error_ns, "{one_way:?} {clocks:?}");
    assert!(record.warnings.iter().all(|warning| !warning.contains("clock")), "{:?}", record.warnings);
}

#[test]
fn one_way_latencies_over_a_known_delay_agree_with_it_within_the_bound_that_the_clocks_report() {
    const DELAY_NS: u64 = 10_000_000;
    if !allowed() || !slow() {
        return;
    }
    if !has_tun() {
        return println!("skipped: this machine has no TUN");
    }
    let door = Door::open();
    let load = ["--pattern", "work-sharing-feedback", "--rate", "100/s", "--duration", "4s"];
    let options = ["--local-delay", "10ms", "--local-clocks", "0,1000"];
    let record = over_two_hosts(&door, &options, &load).run(LIMIT).passes();
    are_on_two_hosts(&record);
    // To the consumers' host and back, by one clock: from when it was due, since a busy machine may note late that it was sent.
    let rtt = &record.latency["rtt_from_due"];
    assert!(rtt.min_ns.unwrap() >= 2 * DELAY_NS, "{rtt:?}");
    // Clocks are compared over the same delay, of which either way may have all: half of it is not known, and that is the bound.
    let error_ns = record.environment.clocks.expect("two clocks are compared").pair_error_ns;
    assert!(error_ns >= DELAY_NS * 9 / 10, "{error_ns} ns");
    // A median that the bound would blur is withheld and told in a sentence; a busy machine makes it long enough to be given.
    let sentence = record.warnings.iter().find(|warning| warning.contains("one-way latency is withheld"));
    let median_ns = match (sentence, record.latency.get("one_way")) {
        (Some(sentence), None) => {
            let numbers = sentence.split(' ').filter_map(|word| word.parse::<u64>().ok());
            numbers.filter(|ns| *ns > 1000).nth(1).unwrap_or_else(|| panic!("{sentence}"))
        }
        (None, Some(one_way)) => one_way.p50_ns.unwrap(),
        both => panic!("either the one or the other: {both:?}"),
    };
    // What else the machine does makes a way longer, at most by as much as it makes round trips longer.
    let more_ns = rtt.p90_ns.unwrap() - 2 * DELAY_NS;
    assert!(DELAY_NS.abs_diff(median_ns) <= error_ns + more_ns, "{median_ns} ns, clocks within {error_ns} ns, {rtt:?}");
}

#[test]
fn a_clock_that_drifts_by_50_ppm_two_hours_away_is_recovered_within_the_reported_bound() {
    const DRIFT_PPB: u64 = 50_000;
    if !allowed() {
        return;
    }
    let door = Door::open();
    let load = ["--pattern", "work-sharing-feedback", "--duration", "10s", "--rate", "200/s"];
    let launch = over_two_hosts(&door, &["--local-clocks", "0,7200"], &load);
    let outcome = launch.variable("STREAMHARNESS_TEST_CLOCK_PPM", "host1=50").run(LIMIT);
    let record = outcome.passes();
    let clocks = record.environment.clocks.expect("two clocks are compared");
    // A drift that is found before streaming and the offset that is found after it make up the whole drift. The time between
    // both comparisons is that of the stream, or a little more.
    let left_ppb = DRIFT_PPB.abs_diff(clocks.drift_ppb) as f64;
    let [at_least_ns, at_most_ns] =
        [record.completion.total_s.unwrap(), outcome.elapsed.as_secs_f64()].map(|passed_s| left_ppb * passed_s);
    let (residual_ns, error_ns) = (clocks.residual_ns as f64, 2.0 * clocks.pair_error_ns as f64);
    assert!((at_least_ns - error_ns..=at_most_ns + error_ns).contains(&residual_ns), "{clocks:?} {outcome}");
    let Some(one_way) = one_way_of(&record) else { return };
    // Uncorrected, the drift alone would make one direction 500 us shorter at the end.
    let rtt = &record.latency["rtt_from_sent"];
    assert_eq!(one_way.negative, 0, "{one_way:?} {clocks:?}");
    assert!(one_way.mean_ns.unwrap() <= rtt.mean_ns.unwrap() + error_ns, "{one_way:?} {rtt:?} {clocks:?}");
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

/// `launch/mpirun --local-hosts` without an address, with two ranks on each host.
fn without_an_address(hosts: usize, arguments: &[&str]) -> Launch {
    let before = ["--local-hosts".to_owned(), hosts.to_string(), "-n".to_owned(), (2 * hosts).to_string()];
    let before: Vec<_> = before.into_iter().map(Into::into).chain([program().into()]).collect();
    Launch::new(&workspace().join("launch/mpirun"), &before, arguments)
}

/// The hosts of the parts whose names begin with one of these words.
fn hosts_of(record: &Record, beginnings: &[&str]) -> Vec<String> {
    let parts = record.route.parts.iter();
    let named = parts.filter(|part| beginnings.iter().any(|beginning| part.name.starts_with(beginning)));
    named.map(|part| part.host.clone()).collect()
}

/// A run that passed, and each of whose parts is where the record says.
#[track_caller]
fn is_spread(record: &Record, architecture: &str) {
    assert_eq!(record.integrity.delivered, 500);
    for part in &record.route.parts {
        let number = part.host.strip_prefix("host").expect("the name of a host");
        assert!(part.address.starts_with(&format!("10.80.0.1{number}:")), "{architecture}: {part:?}");
        assert!(part.beside_workers, "ranks of every host have workers: {part:?}");
    }
    let of_hops = record.route.hops.iter().filter_map(|hop| hop.address.as_deref());
    let all: Vec<_> = of_hops.flat_map(|all| all.split(',')).collect();
    assert!(!all.is_empty() && all.iter().all(|address| address.starts_with("10.80.0.1")), "{architecture}: {all:?}");
    let ends = if architecture == "mss" {
        ["balancer", "ingress"]
    } else {
        ["s2cs haproxy producer", "s2cs haproxy consumer"]
    };
    let ends: BTreeSet<_> =
        if architecture == "dts" { BTreeSet::new() } else { hosts_of(record, &ends).into_iter().collect() };
    assert!(
        architecture == "dts" || architecture == "prs-stunnel" || ends.len() == 2,
        "{architecture}: both ends on {ends:?}"
    );
    let protection = record.route.between_parts.as_deref().unwrap_or_default();
    assert!(protection.contains("distribution") && protection.contains("not encrypted"), "{protection}");
}

#[test]
fn a_launch_over_hosts_builds_a_service_that_is_spread_over_them() {
    if !allowed() {
        return;
    }
    let record =
        without_an_address(2, &["--layout", "by-host", "--arch", "prs", "--messages", "500"]).run(LIMIT).passes();
    are_on_two_hosts(&record);
    is_spread(&record, "prs");
    assert_eq!(hosts_of(&record, &["node"]), ["host1"], "rank 0's host is used last");
    if slow() {
        for architecture in ["dts", "prs-stunnel", "mss"] {
            let load = ["--arch", architecture, "--service-hosts", "3", "--messages", "500"];
            let record = without_an_address(4, &load).run(LIMIT).passes();
            is_spread(&record, architecture);
            assert_eq!(hosts_of(&record, &["node"]), ["host3", "host2", "host1"]);
        }
    }
}

/// The directories of the parts of a launch, one on each host.
#[track_caller]
fn testbeds(running: &Running) -> BTreeSet<String> {
    let processes = running.processes();
    let all = processes.iter().filter_map(|process| process.argument("--dir").map(str::to_owned));
    let all: BTreeSet<_> = all.filter(|dir| dir.contains("/ephemeral-") && dir.matches('/').count() == 3).collect();
    assert_eq!(all.len(), 2, "each of both hosts has parts: {all:?}");
    all
}

fn left_of(testbeds: &BTreeSet<String>) -> Vec<processes::Process> {
    testbeds.iter().flat_map(|name| processes::of_directory(name)).collect()
}

/// What can be killed of a launch.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Rank(usize),
    Launcher,
}

#[test]
fn every_host_without_the_programs_is_reported_before_anything_starts() {
    if !allowed() {
        return;
    }
    let outcome = without_an_address(2, &["--arch", "prs"]).variable("STREAMHARNESS_HAPROXY", "/nowhere").run(LIMIT);
    let lacks =
        ["host host0: this host has no haproxy in /nowhere", "host host1: this host has no haproxy in /nowhere"];
    outcome.fails(3, &[lacks[0], lacks[1], "STREAMHARNESS_HAPROXY"]);
}

#[test]
fn a_service_over_hosts_ends_with_whatever_is_killed() {
    if !allowed() {
        return;
    }
    let fast = [Victim::Rank(3)];
    let slow_too = [Victim::Rank(3), Victim::Rank(0), Victim::Launcher];
    for victim in if slow() { &slow_too[..] } else { &fast } {
        let arguments = ["--layout", "by-host", "--arch", "prs", "--duration", "60s", "--rate", "200/s"];
        let mut running = without_an_address(2, &arguments).start();
        running.streams(LIMIT);
        let testbeds = testbeds(&running);
        match victim {
            Victim::Rank(rank) => {
                processes::send(running.rank(*rank), Signal::SIGKILL);
            }
            Victim::Launcher => running.signal(Signal::SIGKILL),
        }
        let killed = Instant::now();
        let outcome = running.wait(LIMIT);
        assert!(!outcome.status.success(), "{outcome}");
        let gone = || left_of(&testbeds).is_empty().then_some(());
        assert!(within(GONE_LIMIT, gone).is_some(), "left of {victim:?}: {:#?}", left_of(&testbeds));
        println!("{victim:?}: nothing is left after {:.1} s", killed.elapsed().as_secs_f64());
        // Files of a supervisor that was killed are removed by the next launch.
        if !matches!(victim, Victim::Launcher) {
            let files = || testbeds.iter().all(|name| !Path::new(name).exists()).then_some(());
            assert!(within(GONE_LIMIT, files).is_some(), "files are left of {victim:?}: {testbeds:?}");
        }
    }
}

/// A second interface on each host, in a network that looks like one and connects nothing.
const ISOLATED: &str = "number=$(hostname); number=${number#host}; ip link add isolated type bridge &&
    ip address add 192.0.2.1$number/24 dev isolated && ip link set isolated up; exec \"$@\"";

#[test]
fn an_interface_that_leads_nowhere_is_named_with_both_ends_before_anything_starts() {
    if !allowed() || !geteuid().is_root() {
        return println!("skipped: only root adds an interface to a host");
    }
    let words = ["--local-hosts", "2", "-n", "2", "sh", "-c", ISOLATED, "sh"].map(Into::into);
    let before: Vec<_> = words.into_iter().chain([program().into()]).collect();
    let launch = |arguments: &[&str]| {
        let launch = Launch::new(&workspace().join("launch/mpirun"), &before, arguments);
        // Open MPI would try the network that leads nowhere, too, and hang.
        launch.variable("OMPI_MCA_btl_tcp_if_include", "eth0").run(LIMIT)
    };
    let outcome = launch(&["--arch", "dts", "--interface", "isolated"]);
    outcome.fails(3, &["host host0 does not reach host host1 at 192.0.2.11", "--interface"]);
    assert!(!outcome.stderr.contains("starting"), "{outcome}");
    launch(&["--arch", "dts", "--messages", "100"]).passes();
}

#[test]
fn more_brokers_than_hosts_are_refused() {
    if !allowed() {
        return;
    }
    let outcome = without_an_address(2, &["--arch", "dts", "--service-hosts", "3"]).run(LIMIT);
    outcome.fails(1, &["--service-hosts 3 needs as many hosts", "are on 2"]);
}

#[test]
fn a_service_that_other_hosts_cannot_reach_is_refused_before_anything_streams() {
    if !allowed() {
        return;
    }
    let elsewhere = without_an_address(2, &["--arch", "dts", "--interface", "ib7"]).run(LIMIT);
    elsewhere.fails(3, &["host host0", "no interface `ib7`", "10.80.0.10", "--interface"]);
    let on_loopback = without_an_address(2, &["--arch", "dts"]).through(service()).run(LIMIT);
    on_loopback.fails(3, &["listens on loopback only", "testbed down", "--url"]);
}

/// Three hosts: a testbed over them is held by one launch, and another streams through each of its route files.
const SPAN: &str = r#"$MPIRUN -n 3 --map-by node $PROGRAM testbed span --arch prs,mss --out held & span=$!
    for try in $(seq 600); do [ -e held/env ] && break; kill -0 $span || exit 1; sleep 0.2; done
    . held/env; for route in dts-plain prs-haproxy mss; do
        $MPIRUN -n 6 $PROGRAM --arch held/$route.toml --messages 300 --out $route || exit 2
    done
    rm held/env; wait $span || exit 3; [ ! -e held ] || exit 4"#;

#[test]
fn a_testbed_over_hosts_is_held_for_other_launches_until_it_is_stopped() {
    if !allowed() || !slow() {
        return;
    }
    let before = ["3", "sh", "-c", SPAN].map(Into::into);
    let mpirun = workspace().join("launch/mpirun").display().to_string();
    let launch = Launch::new(&workspace().join("launch/local-hosts"), &before, &[]);
    let outcome = launch.variable("MPIRUN", &mpirun).variable("PROGRAM", program().display().to_string()).run(LIMIT);
    assert!(outcome.status.success(), "{outcome}");
}

/// Two ranks on each host of a cluster, without an address.
fn by_srun(cluster: &Cluster, options: &[&str], arguments: &[&str]) -> Launch {
    let before: Vec<_> = [&["-N", "2", "-n", "4"], options].concat().into_iter().map(Into::into).collect();
    let before: Vec<_> = before.into_iter().chain([program().into()]).collect();
    srun_with(cluster, &before, &[&["--layout", "by-host"], arguments].concat())
}

#[test]
fn srun_builds_a_service_over_the_hosts_of_an_allocation_and_scancel_ends_it() {
    if !allowed() {
        return;
    }
    let cluster = Cluster::of(&["--nodes", "2"]);
    let architectures = if slow() { &["mss", "prs", "prs-stunnel", "dts"][..] } else { &["mss"] };
    for architecture in architectures {
        let record = by_srun(&cluster, &[], &["--arch", architecture, "--messages", "500"]).run(LIMIT).passes();
        are_on_two_hosts(&record);
        is_spread(&record, architecture);
        assert_eq!(record.environment.launcher.as_deref(), Some("srun"));
        assert_eq!(record.environment.slurm_nodes.as_deref(), Some("host[0-1]"));
    }
    if slow() {
        let load = ["--arch", "prs", "--duration", "60s", "--rate", "200/s"];
        let mut running = by_srun(&cluster, &["--job-name", "cancelled"], &load).start();
        running.streams(LIMIT);
        let testbeds = testbeds(&running);
        let mut scancel = Command::new("scancel");
        assert!(scancel.args(["--name", "cancelled"]).envs(cluster.variables()).status().unwrap().success());
        assert!(!running.wait(LIMIT).status.success());
        assert!(
            within(GONE_LIMIT, || left_of(&testbeds).is_empty().then_some(())).is_some(),
            "{:#?}",
            left_of(&testbeds)
        );
    }
    cluster.stop();
}
