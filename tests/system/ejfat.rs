//! EJFAT: control plane and load balancer by hand and as parts of a testbed, and runs through them.

use crate::{
    facility::{Down, done, has_tun, run_by, testbed},
    support::{place, processes, program, s2cs::free_ports, service, single, within, workspace},
};
use measure::Record;
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    net::UdpSocket,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(30);
const RUN_LIMIT: Duration = Duration::from_secs(120);

/// A part that is killed with this value.
struct Part(Child);

impl Part {
    fn start(place: &Path, name: &str, arguments: &[&str]) -> Self {
        let log = place.join(name);
        let mut command = Command::new(program());
        command.arg("ejfat").args(arguments).current_dir(place).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        let part = Self(command.spawn().unwrap());
        let ready = || fs::read_to_string(&log).unwrap().contains("EJFAT ").then_some(());
        within(LIMIT, ready).unwrap_or_else(|| panic!("{name}: {}", fs::read_to_string(&log).unwrap()));
        part
    }

    /// Its exit code and what it printed.
    fn end(mut self, signal: Signal) -> (Option<i32>, String) {
        processes::send(self.0.id() as i32, signal);
        let status = within(LIMIT, || self.0.try_wait().unwrap()).expect("it ends");
        (status.code(), std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn balance(place: &Path, control_plane: &str, token_file: &str) -> Output {
    let arguments = ["ejfat", "balance", "--listen", "127.0.0.1:0", "--control-plane", control_plane];
    let mut command = Command::new(program());
    command.args(arguments).args(["--token-file", token_file]).current_dir(place).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn refused(output: &Output, code: i32, part: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.lines().count() == 1 && said.contains(part) && !said.contains("secret"), "{said}");
}

#[test]
fn a_control_plane_and_a_load_balancer_run_until_they_are_stopped_and_every_packet_is_counted() {
    let place = place();
    let place = place.path();
    fs::write(place.join("token"), "secret\n").unwrap();
    fs::write(place.join("other"), "secret-of-another\n").unwrap();
    let port = free_ports(3);
    let [calls, sync, data] = [0, 1, 2].map(|more| format!("127.0.0.1:{}", port + more));
    let both = format!("{sync},{data}");
    let serve = ["serve", "--listen", &calls, "--token-file", "token", "--balancer", &both];
    let control_plane = Part::start(place, "serve", &serve);
    let url = format!("ejfat://{calls}");
    refused(&balance(place, &url, "other"), 3, "check the token");
    refused(&balance(place, &url.replace("://", "://secret@"), "token"), 1, "--token-file");
    refused(&balance(place, &url.replace("ejfat", "ejfats"), "token"), 3, "EJFAT control plane");
    let arguments = ["balance", "--listen", &data, "--control-plane", &url, "--token-file", "token", "--threads", "2"];
    let balancer = Part::start(place, "balance", &arguments);
    let streamed = ["--arch", "ejfat", "--url", &url, "--token-file", "token", "--messages", "300", "--rate", "200/s"];
    let launch = single(&streamed).file("token", "secret\n");
    let record = launch.run(RUN_LIMIT).passes();
    assert_eq!(record.integrity.delivered, 300);
    let gone = single(&["--arch", "ejfat", "--url", &format!("{url}/lb/99"), "--token-file", "token"]);
    gone.file("token", "secret\n").run(RUN_LIMIT).fails(3, &["there is no reservation 99"]);
    assert_eq!(record.transport["packets_sent"], record.transport["packets_in_whole"], "{:?}", record.transport);
    let hops: Vec<_> = record.route.hops.iter().map(|hop| (hop.from.as_str(), hop.to.as_str())).collect();
    assert_eq!(hops, [("producer", "load balancer"), ("load balancer", "consumer")]);
    assert_eq!(record.route.hops[0].address.as_deref(), Some(data.as_str()));
    let passed = record.transport["packets_sent"];
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..5 {
        sender.send_to(b"of nobody", &data).unwrap();
    }
    let (code, printed) = balancer.end(Signal::SIGTERM);
    let counts: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, counts["received"].as_u64()), (Some(0), Some(passed + 5)), "{printed}");
    // The run has freed its load balancer, so those of nobody have no reservation.
    assert_eq!(counts["passed"].as_u64(), Some(passed), "{printed}");
    assert_eq!(control_plane.end(Signal::SIGINT).0, Some(0));
    refused(&balance(place, &url, "token"), 3, "cannot be reached");
}

#[test]
fn loss_is_a_result_that_an_assertion_judges_and_a_lossy_run_ends_soon() {
    // One event may wait at a consumer that works: most of the others are lost, and counted.
    let lossy = [
        "--arch",
        "ejfat-direct",
        "--messages",
        "300",
        "--set",
        "route.ejfat.waiting=1",
        "--service-time",
        "constant:20ms",
    ];
    let outcome = single(&lossy).run(RUN_LIMIT);
    outcome.fails(4, &["messages were lost", "EJFAT does not retransmit"]);
    let record = outcome.record();
    let (integrity, counts) = (&record.integrity, &record.transport);
    assert_eq!(integrity.delivered + integrity.lost, 300, "{integrity:?}");
    let (full, packets) = (counts["events_consumer_full"], ["kernel_drops", "packets_not_sent", "packets_refused"]);
    let most = full + counts["events_timed_out"] + counts["events_without_room"];
    let most = most + packets.iter().map(|name| counts.get(*name).unwrap_or(&0)).sum::<u64>();
    assert!((full..=most).contains(&integrity.lost) && full > 0, "{integrity:?} {counts:?}");
    let judged = [&lossy[..], &["--assert", "lost < 99.9%"]].concat();
    let outcome = single(&judged).run(RUN_LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let record = outcome.record();
    assert!(record.status.pass && record.integrity.lost > 0, "{:?}", record.integrity);
    let route = "[route]\n[route.ejfat]\n";
    let without_address = single(&["--arch", "mine.toml"]).file("mine.toml", route);
    without_address.run(RUN_LIMIT).fails(1, &["EJFAT_URI", "`--arch ejfat` streams over a testbed's"]);
    let refused = ["--arch", "ejfat-direct", "--confirms", "each"];
    single(&refused).run(RUN_LIMIT).fails(1, &["service.confirms has no meaning over EJFAT"]);
}

fn way(record: &Record) -> Vec<(String, String, Option<&str>)> {
    let hops = record.route.hops.iter();
    hops.map(|hop| (hop.from.to_string(), hop.to.to_string(), hop.address.as_deref())).collect()
}

#[test]
fn a_testbeds_load_balancer_is_found_without_an_address_and_free_for_the_next_run() {
    for (architecture, hops) in [("ejfat", 2), ("ejfat", 2), ("ejfat-direct", 1)] {
        let streamed = ["--arch", architecture, "--messages", "200", "--rate", "400/s"];
        let record = single(&streamed).through(service()).run(RUN_LIMIT).passes();
        assert_eq!((record.integrity.delivered, record.route.hops.len()), (200, hops), "{:?}", record.route);
        let by = record.route.hops[0].process.as_deref().unwrap_or_default();
        assert_eq!(by.contains("streamharness ejfat balance (pid "), hops == 2, "{by}");
        let Some(balancer) = record.load_balancer.filter(|_| hops == 2) else {
            assert_eq!(architecture, "ejfat-direct", "its control plane reports");
            continue;
        };
        // Those of the run before are not among them.
        let (sent, packets) = (record.transport["packets_sent"], &balancer.packets);
        assert_eq!((packets["received"], packets["passed"], balancer.drops().count()), (sent, sent, 0), "{packets:?}");
        let shares: Vec<(&str, f64)> = balancer.mean_shares().collect();
        assert!(balancer.epochs > 0 && shares == [("consumer-0", 1.0)] && balancer.notes.is_empty(), "{balancer:?}");
    }
    for (architecture, hops) in [("ejfat", 4), ("ejfat-direct", 2)] {
        let pattern = ["--pattern", "work-sharing-feedback", "--producers", "2", "--consumers", "2"];
        let streamed = [&["--arch", architecture, "--messages", "200", "--rate", "400/s"], &pattern[..]].concat();
        let record = single(&streamed).through(service()).run(RUN_LIMIT).passes();
        assert_eq!((record.integrity.delivered, record.route.hops.len()), (200, hops), "{:?}", record.route);
        // Each producer had the replies to its own messages, or they would be foreign and missing.
        assert_eq!(
            (record.latency["rtt_from_sent"].count, record.integrity.foreign),
            (200, 0),
            "{:?}",
            record.integrity
        );
        assert_eq!(way(&record).last().unwrap().1, "producer");
    }
}

#[test]
fn between_two_sites_packets_pass_the_firewall_and_those_that_a_link_does_not_carry_are_refused() {
    if !has_tun() {
        return println!("skipped: this machine has no TUN");
    }
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    let up = ["up", "--network", "facility", "--nodes", "1", "--link", "unlimited", "--delay", "20ms", "--sites"];
    done(&testbed(dir, &[up.as_slice(), &["--firewall", "--mtu", "4000", "--arch", "ejfat"]].concat()));
    let status = done(&testbed(dir, &["status"]));
    for line in [
        "link       all links: packets of up to 4000 bytes\n",
        "firewall   ejfat: TCP to ejfat-cp 10.79.0.26:10646\n",
        "firewall   ejfat: UDP to ejfat-cp 10.79.0.26:10647\n",
        "firewall   ejfat: UDP to ejfat-lb 10.79.0.27:10648\n",
    ] {
        assert!(status.contains(line), "{status}");
    }
    let load = ["--messages", "200", "--rate", "200/s", "--set", "route.ejfat.mtu=4000"];
    let record = run_by("ejfat", dir, &place.path().join("out"), &load);
    assert_eq!(way(&record)[0].2, Some("10.79.0.27:10648"));
    assert_eq!(record.integrity.delivered, 200);
    // 3,936 bytes of each packet of 4,000 are the event's.
    assert_eq!(record.transport["packets_sent"], 200 * 5, "{:?}", record.transport);
    let quickest_ns = record.latency["one_way"].min_ns.unwrap();
    assert!(quickest_ns >= 19_000_000, "{quickest_ns}");
    let counted = |name: &str| record.links.iter().find(|link| link.host == name).unwrap().to_host.bytes;
    let sent = record.totals.sent.bytes;
    assert!(counted("ejfat-lb") >= sent && counted("clients") >= sent, "{:?}", record.links);

    let (mpirun, program) = (workspace().join("launch/mpirun").display().to_string(), program().display().to_string());
    for (architecture, mtu, sentence) in [
        ("ejfat", "route.ejfat.mtu=4001", "which carries 4000; use --set route.ejfat.mtu=4000"),
        ("ejfat-direct", "route.ejfat.mtu=1500", "`ejfat-direct: UDP to clients 10.79.0.10:1024-65535`"),
    ] {
        let out = place.path().join("refused").display().to_string();
        let run = ["exec", "--", &mpirun, "-n", "2", &program, "--arch", architecture, "--set", mtu, "--out", &out];
        let refused = testbed(dir, &run);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(3) && said.contains(sentence), "{said}");
    }
}
