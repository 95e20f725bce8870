//! `streamharness ejfat serve` and `balance` by hand, as for a testbed without a run.

use crate::support::{place, processes, program, s2cs::free_ports, single, within};
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
    single(&["--arch", "ejfat"]).run(RUN_LIMIT).fails(1, &["EJFAT_URI", "docs/ejfat.md"]);
    let refused = ["--arch", "ejfat-direct", "--confirms", "each"];
    single(&refused).run(RUN_LIMIT).fails(1, &["service.confirms has no meaning over EJFAT"]);
}
