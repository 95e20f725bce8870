//! `s2cs` and `s2uc` by hand, as at a facility that is no testbed.

use crate::support::{Launch, Outcome, mpirun, place, processes, s2cs::ControlServer, service, single, within};
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
    outcome.fails(3, &["streamharness: ", &shut[0], "if it is a proxy, its log says why"]);
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
fn a_request_that_a_control_server_cannot_serve_is_rejected_in_one_sentence() {
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
    outcome.fails(3, &["no S2CS responds at 127.0.0.1:1", "streamharness s2cs --listen"]);
    assert!(!outcome.files.contains_key("x"), "no uid without a request");
}

#[test]
fn a_control_server_that_cannot_start_reports_the_reason() {
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
    check(&[], "nginx", "127.0.0.1:1", 1, &["`nginx` is not a type", "stunnel, stunnel-null or haproxy"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    check(&[], "haproxy", &address, 3, &["cannot listen on", "--listen"]);
}

/// A route file that has rank 0 ask these two for a tunnel; `more` is for the producers' side.
fn route_file(producers: (&str, &Path), consumers: (&str, &Path), more: &str) -> String {
    let side = |(address, certificate): (&str, &Path)| {
        format!("s2cs = '{address}'\ncertificate = '{}'\n", certificate.display())
    };
    format!(
        "[route]\nconsumer_urls = ['{}']\n[route.scistream]\nconnections = 2\nservice = ['{}']\nuid_file = 'u'\n\
         [route.scistream.consumer_side]\n{}[route.scistream.producer_side]\n{}{more}",
        service().plain_url(),
        service_address(),
        side(consumers),
        side(producers),
    )
}

fn asking(launch: Launch, file: &str) -> Launch {
    launch.file("mine.toml", file).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
}

#[test]
fn a_route_file_requests_its_tunnel_and_releases_it_however_the_run_ends() {
    let (inner, outer) = (ControlServer::start("stunnel", 4), ControlServer::start("stunnel", 4));
    let (a, b) = (outer.address(), inner.address());
    let file =
        route_file((&a, &outer.certificate()), (&b, &inner.certificate()), "proxy = 'stunnel'\nlimits = '0.3 CPU'");
    let released = || (inner.proxies().is_empty() && outer.proxies().is_empty()).then_some(());

    let outcome = asking(mpirun(2, &["--arch", "mine.toml", "--messages", "500"]), &file).run(LIMIT);
    let record = outcome.passes();
    let hops: Vec<&str> = record.route.hops.iter().map(|hop| hop.to.as_str()).collect();
    assert_eq!(hops, ["producer proxy", "consumer proxy", "service", "service"]);
    let (first, between) = (&record.route.hops[0], &record.route.hops[1]);
    assert_eq!(between.protocol, "tls");
    assert_eq!(first.limits.as_deref(), Some("0.3 CPU"));
    assert_eq!(first.process.as_deref(), Some(format!("stunnel of the S2CS at {a}").as_str()));
    assert_eq!(first.address.as_ref().unwrap().split(',').count(), 2);
    released().expect("released before the launch ends");
    assert!(!outcome.files.contains_key("u"), "the key of nothing");

    let run = ["--arch", "mine.toml", "--duration", "60s"];
    for (launch, signal) in [(single(&run), Signal::SIGTERM), (mpirun(3, &run), Signal::SIGKILL)] {
        let running = asking(launch, &file).streaming(LIMIT);
        assert!(!inner.proxies().is_empty() && !outer.proxies().is_empty());
        let rank_0 = if signal == Signal::SIGKILL { running.rank(0) } else { running.pid() };
        processes::send(rank_0, signal);
        drop(running.wait(LIMIT));
        assert!(within(Duration::from_secs(20), released).is_some(), "left after {signal}");
    }
}

#[test]
fn a_tunnel_that_cannot_be_released_is_reported_with_the_command_and_the_record_is_kept() {
    let (inner, outer) = (ControlServer::start("haproxy", 2), ControlServer::start("haproxy", 2));
    let (a, b) = (outer.address(), inner.address());
    let file = route_file((&a, &outer.certificate()), (&b, &inner.certificate()), "");
    let running = asking(single(&["--arch", "mine.toml", "--duration", "60s"]), &file).streaming(LIMIT);
    inner.end(Signal::SIGKILL);
    let outcome = running.wait(LIMIT);
    let typed = format!("run `streamharness s2uc release --s2cs {b}");
    outcome.fails(3, &["streamharness: a half of the tunnel was not released", &typed]);
    outcome.leaves_a_failed_record(3, "was lost");
    assert!(outcome.files.contains_key("u") && !outcome.stderr.contains(&format!("release --s2cs {a}")), "{outcome}");
    assert!(outer.proxies().is_empty(), "the other half is released");
}

#[test]
fn a_route_file_whose_tunnel_cannot_be_made_reports_the_reason_and_leaves_none() {
    let (inner, outer) = (ControlServer::start("haproxy", 2), ControlServer::start("haproxy", 1));
    let (a, b) = (outer.address(), inner.address());
    let check = |producers: (&str, &Path), consumers: (&str, &Path), more: &str, parts: &[&str]| {
        let launch = asking(single(&["--arch", "mine.toml"]), &route_file(producers, consumers, more));
        let outcome = launch.run(LIMIT);
        outcome.fails(3, parts);
        assert!(!outcome.files.contains_key("u"), "the key of nothing");
        assert!(inner.proxies().is_empty() && outer.proxies().is_empty(), "what was begun is released");
    };
    let (right, left) = (outer.certificate(), inner.certificate());
    check((&a, &right), ("127.0.0.1:1", &left), "", &["no S2CS responds at 127.0.0.1:1"]);
    check((&a, &left), (&b, &left), "", &["is not the one of the certificate given"]);
    check((&a, &right), (&b, &left), "", &["refused to reserve listeners", "this server has 1 to 1"]);
    check((&a, Path::new("/none.pem")), (&b, &left), "", &["route.scistream.producer_side.certificate"]);
}
