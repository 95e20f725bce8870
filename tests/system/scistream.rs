//! `s2cs` and `s2uc` by hand, as at a facility that is no testbed.

use crate::support::{Outcome, place, s2cs::ControlServer, service, single};
use nix::sys::signal::Signal;
use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Output, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);

fn address(url: &str) -> &str {
    url.rsplit('@').next().unwrap().trim_end_matches('/')
}

/// A service address as a proxy takes it: the broker listens on 127.0.0.1 only.
fn service_address() -> String {
    address(&service().plain_url()).replace("localhost", "127.0.0.1")
}

/// Producers by `entry`, consumers directly.
fn stream(entry: &str) -> Outcome {
    let producer = format!("amqp://bench@{entry}");
    let consumer = service().plain_url();
    let arguments =
        ["--arch", "prs-stunnel", "--messages", "200", "--producer-url", &producer, "--consumer-url", &consumer];
    single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT)
}

#[track_caller]
fn refused(output: &Output, code: i32, parts: &[&str]) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.lines().count() == 1 && parts.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn a_tunnel_by_hand_streams_with_the_right_uid_and_is_refused_with_a_wrong_one() {
    let (inner, outer) = (ControlServer::start("stunnel", 4), ControlServer::start("stunnel", 4));
    let files = place();
    let (right, wrong) = (files.path().join("right"), files.path().join("wrong"));
    let exits = inner.gives("inbound", &right, &["--service", &service_address(), "--num-conn", "2"]);
    assert_eq!(exits.len(), 2);
    assert_eq!(fs::metadata(&right).unwrap().permissions().mode() & 0o777, 0o600);
    let uid = fs::read_to_string(&right).unwrap();
    let last = if uid.trim().ends_with('0') { "1" } else { "0" };
    fs::write(&wrong, format!("{}{last}", &uid.trim()[..uid.trim().len() - 1])).unwrap();

    let listeners: Vec<&str> = exits.iter().map(String::as_str).collect();
    let entries = outer.gives("outbound", &right, &listeners);
    assert_eq!(entries.len(), 2);
    let record = stream(&entries[1]).passes();
    assert_eq!(record.integrity.delivered, 200);
    let to: Vec<&str> = record.route.hops.iter().map(|hop| hop.to.as_str()).collect();
    assert_eq!(to, ["producer proxy", "service"], "what is behind the proxy is not known here");
    let shut = outer.gives("outbound", &wrong, &listeners[..1]);
    let outcome = stream(&shut[0]);
    outcome.fails(3, &["streamharness: ", &shut[0]]);
    let hidden = uid.trim().replace('-', "");
    let told = outer.proxies().iter().any(|process| process.arguments.join(" ").contains(&hidden));
    assert!(!told && !outcome.stderr.contains(&hidden), "the uid is a key");

    for (server, uid) in [(&inner, &right), (&outer, &right), (&outer, &wrong)] {
        server.gives("release", uid, &[]);
    }
    assert!(inner.proxies().is_empty() && outer.proxies().is_empty(), "released");
    refused(&inner.ask("release", &right, &[]), 3, &["refused to release the request", "never made"]);
}

#[test]
fn a_control_server_takes_its_proxies_along_however_it_ends() {
    let files = place();
    for (kind, signal) in [("haproxy", Signal::SIGTERM), ("stunnel-null", Signal::SIGINT), ("haproxy", Signal::SIGKILL)]
    {
        let server = ControlServer::start(kind, 2);
        let uid = files.path().join(format!("{kind}-{signal}"));
        server.gives("inbound", &uid, &["--service", "127.0.0.1:5672"]);
        assert_eq!(server.proxies().len(), 1);
        server.end(signal);
    }
}

#[test]
fn what_a_control_server_cannot_give_is_told_in_one_sentence() {
    let server = ControlServer::start("haproxy", 2);
    let files = place();
    let uid = |name: &str| files.path().join(name);
    let inbound = |name: &str, connections: &str| {
        server.ask("inbound", &uid(name), &["--service", "127.0.0.1:5672", "--num-conn", connections])
    };
    assert!(inbound("first", "2").status.success());
    refused(&inbound("second", "1"), 3, &["refused to reserve listeners", "fewer than 1 of its 2 ports are free"]);
    refused(&inbound("third", "3"), 3, &["this server has 1 to 2"]);
    assert!(!uid("second").exists(), "nothing was opened under it");
    refused(&inbound("first", "1"), 1, &["cannot write a new --uid-file"]);

    let certificate = server.dir().join("server.pem").display().to_string();
    let nobody =
        ["--s2cs", "127.0.0.1:1", "--server-cert", &certificate, "--uid-file", "x", "--service", "127.0.0.1:1"];
    let outcome = single(&[&["s2uc", "inbound"], &nobody[..]].concat()).run(LIMIT);
    outcome.fails(3, &["no S2CS answers at 127.0.0.1:1", "streamharness s2cs --listen"]);
    assert!(!outcome.files.contains_key("x"), "no uid without a request");
}

#[test]
fn a_control_server_that_cannot_start_says_why() {
    let check = |variables: &[(&str, &str)], kind: &str, listen: &str, code: i32, parts: &[&str]| {
        let mut launch = single(&["s2cs", "--listen", listen, "--ports", "5100-5110", "--type", kind, "--dir", "d"]);
        for (name, value) in variables {
            launch = launch.variable(name, value);
        }
        let outcome = launch.run(LIMIT);
        outcome.fails(code, parts);
        assert!(!outcome.files.keys().any(|file| Path::new(file).starts_with("d")), "{outcome}");
    };
    check(&[("STREAMHARNESS_HAPROXY", "/nowhere")], "haproxy", "127.0.0.1:1", 3, &["apt-get install haproxy"]);
    check(&[("STREAMHARNESS_STUNNEL", "/nowhere")], "stunnel", "127.0.0.1:1", 3, &["apt-get install stunnel4"]);
    check(&[], "nginx", "127.0.0.1:1", 1, &["`nginx` is no type", "stunnel, stunnel-null or haproxy"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&[], "haproxy", &address, 3, &["cannot listen on", "--listen"]);
}
