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
pub struct Down<'a>(pub &'a Path);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        testbed(self.0, &["down"]);
    }
}

pub fn testbed(dir: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("testbed").args(words).env("STREAMHARNESS_TESTBED", dir);
    command.output().unwrap()
}

#[track_caller]
pub fn done(output: &Output) -> String {
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
    let up = ["up", "--network", "facility", "--nodes", "1", "--link", "unlimited,dsn1=1gbit", "--scale", "0.1"];
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
    assert_eq!([link("dsn1"), link("lb")].map(|link| link.rate_bits_per_second), [Some(100_000_000), None]);
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

    links_are_cut_lossy_and_slow_on_purpose(dir, &place.path().join("faults"));

    let (ours, _) = of_testbed(dir);
    assert!(ours.intersection(&namespaces()).count() >= 2, "the broker's and the switch's at least");
    done(&testbed(dir, &["down"]));
    assert_eq!(ours.intersection(&namespaces()).count(), 0);
    assert!(!dir.exists());
}

/// TCP lives through each, so that nothing is lost; what a link does not carry arrives later.
fn links_are_cut_lossy_and_slow_on_purpose(dir: &Path, out: &Path) {
    let faults = [
        "at 2s: cut link dsn1 for 1s",
        "at 6s: drop 5% on link dsn1 for 1s",
        "at 9s: slow link dsn1 to 1Mbit/s for 1s",
    ];
    let load = "--duration 12s --rate 200/s --set message.events=1".split_whitespace();
    let words: Vec<&str> = load.chain(faults.iter().flat_map(|fault| ["--fault", fault])).collect();
    let record = run_by("dts-plain", dir, out, &words);
    assert_eq!((record.status.pass, record.integrity.lost, record.faults.len()), (true, 0, 3), "{:?}", record.status);
    for fault in &record.faults {
        let times = [Some(fault.due_s), fault.begun_s, fault.complete_s, fault.undone_s].map(Option::unwrap);
        assert!(times.is_sorted() && fault.failure.is_none(), "{fault:?}");
    }
    let cut = record.faults[0].cost.as_ref().unwrap();
    assert!(cut.stalled == 1 && cut.recovered == 1 && cut.longest_stall_s.unwrap() > 0.9, "{cut:?}");
    assert!(cut.missed > 100, "half of what was due meanwhile, at least: {cut:?}");
}

#[test]
fn a_killed_supervisor_takes_the_network_along() {
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    // With a process and two devices of its own for the distance.
    let delay = if has_tun() { "1ms" } else { "0ms" };
    let up = ["up", "--network", "facility", "--nodes", "2", "--link", "unlimited", "--delay", delay];
    let said = done(&testbed(dir, &[up.as_slice(), &["--arch", "dts-nlb:if-possible"]].concat()));
    if !said.contains("left out: ") {
        one_address_stands_for_both_nodes(dir, place.path());
    }
    let (ours, supervisor) = of_testbed(dir);
    kill(Pid::from_raw(supervisor), Signal::SIGKILL).unwrap();
    let gone = || ours.is_disjoint(&namespaces()).then_some(());
    assert!(crate::support::within(Duration::from_secs(20), gone).is_some(), "some process is still in its network");
    done(&testbed(dir, &["down"]));
    assert!(!dir.exists());
}

/// Clients know one address, in front of both nodes, and all bytes of either direction pass it.
fn one_address_stands_for_both_nodes(dir: &Path, out: &Path) {
    let load = ["--messages", "200"];
    let record = run_by("dts-nlb", dir, &out.join("nlb"), &load);
    let hops: Vec<(&str, &str, &str, Option<&str>)> = record
        .route
        .hops
        .iter()
        .map(|hop| (hop.from.as_str(), hop.to.as_str(), hop.protocol.as_str(), hop.address.as_deref()))
        .collect();
    let entry = Some("10.79.0.22:10252");
    let nodes = Some("10.79.0.11:10211,10.79.0.12:10212");
    let expected =
        [("producer", "nlb", "amqps", entry), ("nlb", "service", "nat", nodes), ("consumer", "nlb", "amqps", entry)];
    assert_eq!(hops, expected);
    let counted = |name: &str| record.links.iter().find(|link| link.host == name).unwrap().to_host.bytes;
    let (sent, received) = (record.totals.sent.bytes, record.totals.received.bytes);
    assert!(counted("nlb") >= sent + received, "replies come back through it, too: {:?}", record.links);
}

/// Whether a forwarder can be tried on this machine.
pub fn has_tun() -> bool {
    fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun").is_ok()
}

/// A run of two ranks over a testbed, without proxies: its record.
pub fn run_over(dir: &Path, out: &Path, words: &[&str]) -> Record {
    run_by("dts-plain", dir, out, words)
}

/// The same by any architecture.
pub fn run_by(architecture: &str, dir: &Path, out: &Path, words: &[&str]) -> Record {
    let mpirun = workspace().join("launch/mpirun").display().to_string();
    let (program, folder) = (program().display().to_string(), out.display().to_string());
    let launch = ["exec", "--", &mpirun, "-n", "2", &program, "--arch", architecture, "--out", &folder];
    done(&testbed(dir, &[launch.as_slice(), words].concat()));
    Record::from_json(&fs::read_to_string(out.join("record.json")).unwrap()).unwrap()
}

#[test]
fn a_distance_with_losses_delays_each_way_loses_no_message_and_counts_what_it_did() {
    if !has_tun() {
        return println!("skipped: this machine has no TUN");
    }
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let up = ["up", "--network", "facility", "--nodes", "1", "--link", "unlimited"];
    let way = ["--delay", "20ms", "--jitter", "1ms", "--loss", "1%", "--reorder", "1%"];
    done(&testbed(dir, &[up.as_slice(), &way, &["--congestion", "reno"]].concat()));
    let status = done(&testbed(dir, &["status"]));
    let named = "20 ms by forwarder, jitter 1 ms, loss 1 %, reorder 1 %";
    assert!(status.contains(&format!("unlimited, delay {named}")) && status.contains("distance "), "{status}");
    assert!(status.contains("all hosts: TCP with reno") && status.contains("TCP sockets hold up to"), "{status}");
    let (_, rest) = status.split_once("# route dts-plain").unwrap();
    assert!(rest.starts_with(&format!(": producer -amqp over {named}>")), "{status}");

    let load = ["--workload", "lstream", "--pattern", "work-sharing-feedback", "--rate", "20/s", "--duration", "6s"];
    let record = run_over(dir, &place.path().join("out"), &load);
    assert_eq!(record.route.hops[0].distance.as_deref(), Some(named));
    let connections = [record.route.producer_connection.unwrap(), record.route.consumer_connection.unwrap()];
    assert!(connections.iter().all(|connection| connection.congestion_control.as_deref() == Some("reno")));
    // To the broker, to the consumer, and the same for the reply: four ways. What else the machine does only adds to them.
    let quickest_ns = record.latency["rtt_from_due"].min_ns.unwrap();
    assert!(quickest_ns >= 4 * 19_000_000, "{quickest_ns}");
    let link = record.links.iter().find(|link| link.host == "clients").unwrap();
    let distance = link.distance.as_ref().unwrap();
    assert_eq!((distance.by.as_str(), distance.jitter_s, distance.loss), ("forwarder", 0.001, 0.01));
    assert!(distance.socket_bytes.is_some_and(|bytes| bytes >= 4 << 20), "{distance:?}");
    for (counted, seen) in [(distance.to_host, link.to_host), (distance.from_host, link.from_host)] {
        let counted = counted.unwrap();
        assert!(counted.packets > 1000 && counted.lost > 0 && counted.reordered > 0, "{counted:?}");
        assert!(counted.lost < counted.packets / 20 && counted.late_max_s.is_some(), "{counted:?}");
        // Each packet is one of the MTU, and what the kernel counts beside it is as many.
        assert!(counted.bytes / counted.packets <= 1600, "{counted:?}");
        assert!(seen.packets.abs_diff(counted.packets + counted.lost) <= seen.packets / 5, "{seen:?} {counted:?}");
    }
}

#[test]
fn a_distance_that_cannot_be_is_one_sentence_and_leaves_nothing() {
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let up = ["up", "--network", "facility", "--nodes", "1", "--delay"];
    for (words, code, remedy) in [
        (&["30ms", "--loss", "100%"][..], 1, "below 100%"),
        (&["1ms", "--jitter", "2ms"], 1, "use a larger --delay"),
        (&["1ms", "--distance", "slac-olcf"], 1, "--distance"),
        (&["1ms", "--link", "dsn9=1gbit"], 1, "no host `dsn9`; the links are those of clients, dsn1, dsn2, lb"),
        (&["9s", "--jitter", "1ms", "--link", "100gbit"], 3, "use a smaller --delay, --link or --scale"),
    ] {
        let output = testbed(dir, &[up.as_slice(), words].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(remedy), "{words:?}: {said}");
        done(&testbed(dir, &["down"]));
        assert!(!dir.exists(), "{words:?}");
    }
    if !has_tun() {
        return println!("cut short: this machine has no TUN");
    }
    // A machine without TUN: something else is in its place.
    let mut hidden = Command::new("unshare");
    hidden.arg(if nix::unistd::geteuid().is_root() { "-m" } else { "-rm" });
    hidden.args(["sh", "-c", "mount --bind /dev/null /dev/net/tun && exec \"$0\" testbed \"$@\""]).arg(program());
    let output = hidden.args(up).args(["1ms", "--loss", "1%"]).env("STREAMHARNESS_TESTBED", dir).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(3) && said.contains("load the module tun"), "{said}");
}

#[test]
fn a_balancer_that_cannot_be_is_one_sentence_and_leaves_nothing() {
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let is_root = nix::unistd::geteuid().is_root();
    let hide =
        ["-c", "for nft in /usr/sbin/nft /sbin/nft; do mount --bind /dev/null $nft; done; exec \"$0\" testbed \"$@\""];
    let mut without_program = Command::new("unshare");
    without_program.arg(if is_root { "-m" } else { "-rm" }).arg("sh").args(hide).arg(program());
    let mut without_right = Command::new("setpriv");
    without_right.args(is_root.then_some("--bounding-set=-net_admin")).arg(program()).arg("testbed");
    for (mut command, remedy) in
        [(without_program, "apt-get install nftables"), (without_right, "start it as root, or with --network facility")]
    {
        let command = command.args(["up", "--nodes", "1", "--arch", "dts-nlb"]).env("STREAMHARNESS_TESTBED", dir);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(3) && said.contains(remedy), "{said}");
        assert!(!said.contains("starting epmd"), "before anything is started: {said}");
        done(&testbed(dir, &["down"]));
        assert!(!dir.exists(), "{remedy}");
    }
}

#[test]
fn between_two_sites_what_crosses_pays_the_distance_and_what_no_rule_opens_does_not_cross() {
    if !has_tun() {
        return println!("skipped: this machine has no TUN");
    }
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let up = [
        "up",
        "--network",
        "facility",
        "--nodes",
        "1",
        "--link",
        "unlimited",
        "--arch",
        "prs,dts-plain",
        "--congestion",
        "reno",
    ];
    done(&testbed(dir, &[up.as_slice(), &["--delay", "20ms", "--sites", "--firewall"]].concat()));
    let status = done(&testbed(dir, &["status"]));
    assert!(status.contains("site ") && status.contains("delay 20 ms"), "{status}");
    for rule in [
        "dts-plain: TCP to dsn1 10.79.0.11:10201\n",
        "prs-haproxy: TCP to dsn1 10.79.0.11:10760-10769\n",
        "nothing else ",
    ] {
        assert!(status.contains(&format!("# firewall   {rule}")), "{status}");
    }

    let load = "--pattern work-sharing-feedback --rate 20/s --duration 4s --set service.reply=0B";
    let load: Vec<&str> = load.split_whitespace().collect();
    for (architecture, far) in [("dts-plain", "producer"), ("prs", "producer proxy")] {
        let record = run_by(architecture, dir, &place.path().join(architecture), &load);
        for hop in &record.route.hops {
            let crosses = hop.from.to_string() == far;
            assert_eq!(hop.distance.is_some(), crosses, "{architecture}: {hop:?}");
        }
        // To the service and back to the producer; what else the machine does only adds to it.
        let quickest_ns = record.latency["rtt_from_due"].min_ns.unwrap();
        assert!(quickest_ns >= 2 * 19_000_000, "{architecture}: {quickest_ns}");
        // The consumer is near the service: bodies cross to it and none of them back.
        let site = record.links.iter().find(|link| link.host == "site").unwrap();
        let (sent, received) = (record.totals.sent.bytes, record.totals.received.bytes);
        assert!(site.from_host.bytes >= sent && site.to_host.bytes < received, "{architecture}: {site:?}");
        // It is the producer who is far.
        let confirm_ns = record.latency["confirm"].min_ns.unwrap();
        assert!(confirm_ns >= 30_000_000, "{architecture}: {confirm_ns}");
    }
    let record = run_by("prs", dir, &place.path().join("effort"), &["--messages", "10"]);
    let effort = record.route.effort.unwrap();
    assert_eq!((effort.ports, effort.rules, effort.processes_of_producers), (10, 1, 2), "{effort:?}");
    assert_eq!((record.route.firewall.len(), effort.secrets.len(), effort.certificates.len()), (2, 4, 2), "{effort:?}");
    assert!(effort.set_up_s > 0.0 && effort.steps.len() > effort.parties.len(), "{effort:?}");
    let mut profiles = Command::new(program());
    profiles.args(["profiles", "--effort"]);
    let table = done(&profiles.env("STREAMHARNESS_TESTBED", dir).output().unwrap());
    assert!(table.contains("\nprs-haproxy  ") && !table.contains("\ndts  "), "{table}");
    let (mpirun, program) = (workspace().join("launch/mpirun").display().to_string(), program().display().to_string());
    let out = place.path().join("closed").display().to_string();
    let words = ["exec", "--", &mpirun, "-n", "2", &program, "--arch", "dts", "--messages", "10", "--out", &out];
    let closed = testbed(dir, &words);
    let said = String::from_utf8_lossy(&closed.stderr);
    let rule = "lacks the rule that this route needs, `dts: TCP to dsn1 10.79.0.11:10211` (connection timed out)";
    assert!(closed.status.code() == Some(3) && said.contains(rule) && said.contains("--arch dts"), "{said}");

    let out = place.path().join("alone").display().to_string();
    let alone = testbed(dir, &["exec", "--", &program, "--arch", "dts-plain", "--messages", "10", "--out", &out]);
    let said = String::from_utf8_lossy(&alone.stderr);
    assert!(alone.status.code() == Some(1) && said.contains("start as many ranks as workers"), "{said}");
}
