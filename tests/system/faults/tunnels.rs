//! SciStream control servers and their proxies.

use crate::support::{
    Launch, Outcome, place, processes,
    s2cs::{ControlServer, free_ports},
    service, single, slow, within,
};
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(90);
const LOG_LIMIT: Duration = Duration::from_secs(20);

/// Where the broker is, as a proxy takes it.
fn service_address() -> String {
    let url = service().plain_url();
    url.rsplit('@').next().unwrap().trim_end_matches('/').replace("localhost", "127.0.0.1")
}

/// Producers by `entry`, consumers directly.
fn stream(entry: &str) -> Outcome {
    let (producer, consumer) = (format!("amqp://bench@{entry}"), service().plain_url());
    let arguments =
        ["--arch", "prs-stunnel", "--messages", "200", "--producer-url", &producer, "--consumer-url", &consumer];
    known(single(&arguments)).run(LIMIT)
}

fn known(launch: Launch) -> Launch {
    launch.variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A stunnel with the settings of SciStream's own: every null cipher, the anonymous ones too, and nothing else.
struct OfSciStream(Child);

impl OfSciStream {
    /// The half where the service is.
    fn inbound(dir: &Path, uid: &str, port: u16, target: &str) -> Self {
        let key = dir.join("theirs.key");
        let mut options = fs::OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&key).unwrap();
        std::io::Write::write_all(&mut &file, format!("client1:{}\n", uid.replace('-', "")).as_bytes()).unwrap();
        let config = dir.join("theirs.conf");
        let text = format!(
            "fips = no\nPSKsecrets = {}\nsecurityLevel = 0\ndebug = 3\nforeground = yes\nsslVersionMax = TLSv1.2\npid =\n\
             [{port}]\nclient = no\naccept = 127.0.0.1:{port}\nconnect = {target}\nciphers = eNULL\n",
            key.display()
        );
        fs::write(&config, text).unwrap();
        let program = ["/usr/bin/stunnel", "/usr/bin/stunnel4"].into_iter().find(|path| Path::new(path).exists());
        let mut command = Command::new(program.expect("launch/setup installs stunnel"));
        let log = File::create(dir.join("theirs.log")).unwrap();
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Self(command.spawn().unwrap());
        let taken = || TcpListener::bind(("127.0.0.1", port)).is_err().then_some(());
        within(LOG_LIMIT, taken).expect("it listens");
        started
    }
}

impl Drop for OfSciStream {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn proxies_without_a_common_cipher_are_reported_as_such_and_null_ciphers_go_together() {
    if !slow() {
        return;
    }
    let files = place();
    let uid_file = files.path().join("uid");
    let uid = "0123abcd-4567-89ab-cdef-0123456789ab";
    fs::write(&uid_file, uid).unwrap();
    let port = free_ports(1);
    let _theirs = OfSciStream::inbound(files.path(), uid, port, &service_address());
    let listener = format!("127.0.0.1:{port}");

    let null = ControlServer::start("StunnelSubprocess", 1);
    assert!(null.log().contains("S2CS for stunnel-null listens on"), "{}", null.log());
    let entry = null.gives("outbound", &uid_file, &[&listener]).remove(0);
    assert_eq!(stream(&entry).passes().integrity.delivered, 200);
    let released = null.ask("release", &uid_file, &[]);
    assert!(released.status.success() && said(&released).is_empty(), "{}", said(&released));

    let encrypted = ControlServer::start("stunnel", 1);
    let entry = encrypted.gives("outbound", &uid_file, &[&listener]).remove(0);
    stream(&entry).fails(3, &[&entry]);
    let sentence = ["no cipher in common", "StunnelSubprocess", "--type stunnel-null"];
    let logged = || sentence.iter().all(|part| encrypted.log().contains(part)).then_some(());
    assert!(within(LOG_LIMIT, logged).is_some(), "{}", encrypted.log());
    let released = encrypted.ask("release", &uid_file, &[]);
    assert!(released.status.success() && sentence.iter().all(|part| said(&released).contains(part)), "{released:?}");
}

#[test]
fn a_launch_whose_two_proxies_do_not_fit_reports_the_reason_and_releases_them() {
    if !slow() {
        return;
    }
    let (inner, outer) = (ControlServer::start("stunnel-null", 1), ControlServer::start("stunnel", 1));
    let outcome = asking(&inner, &outer, &service_address());
    let both = format!(
        "the S2CS at {} starts stunnel and the one at {} starts stunnel-null, which do not understand each other",
        outer.address(),
        inner.address()
    );
    outcome.fails(3, &[&both, "start both with the same --type"]);
    assert!(!outcome.files.contains_key("u") && inner.proxies().is_empty() && outer.proxies().is_empty(), "{outcome}");

    let (inner, outer) = (ControlServer::start("stunnel", 1), ControlServer::start("stunnel", 1));
    let outcome = asking(&inner, &outer, "127.0.0.1:1");
    outcome.fails(3, &["closed without a reply", "cannot connect (127.0.0.1:1: Connection refused"]);
}

/// A launch that asks these two for a tunnel to `service`.
fn asking(inner: &ControlServer, outer: &ControlServer, target: &str) -> Outcome {
    let side = |server: &ControlServer| {
        format!("s2cs = '{}'\ncertificate = '{}'\n", server.address(), server.certificate().display())
    };
    let file = format!(
        "[route]\nconsumer_urls = ['{}']\n[route.scistream]\nservice = ['{target}']\nuid_file = 'u'\n\
         [route.scistream.consumer_side]\n{}[route.scistream.producer_side]\n{}",
        service().plain_url(),
        side(inner),
        side(outer),
    );
    known(single(&["--arch", "mine.toml", "--messages", "200"])).file("mine.toml", &file).run(LIMIT)
}

#[test]
fn control_servers_on_ipv6_addresses_serve_with_each_program() {
    if !slow() {
        return;
    }
    if TcpListener::bind("[::1]:0").is_err() {
        println!("left out: this machine has no IPv6");
        return;
    }
    let files = place();
    for kind in ["stunnel", "haproxy"] {
        let (inner, outer) =
            (ControlServer::start_at("[::1]", kind, 1, &[]), ControlServer::start_at("[::1]", kind, 1, &[]));
        let uid = files.path().join(kind);
        let exit = inner.gives("inbound", &uid, &["--service", &service_address()]).remove(0);
        assert!(exit.starts_with("[::1]:"), "{exit}");
        let entry = outer.gives("outbound", &uid, &[&exit]).remove(0);
        assert_eq!(stream(&entry).passes().integrity.delivered, 200, "{kind}");
    }
}

#[test]
fn a_control_server_reports_no_unreachable_address() {
    let start = |listen: &str, more: &[&str]| {
        let arguments = ["s2cs", "--listen", listen, "--ports", "5100-5101", "--type", "haproxy", "--dir", "d"];
        single(&[&arguments, more].concat()).run(LIMIT)
    };
    for listen in ["0.0.0.0:1", "[::]:1"] {
        start(listen, &[]).fails(1, &[listen, "every address of this host", "--advertise HOST"]);
    }
    for host in ["0.0.0.0", "[::]", "node4:5100", ""] {
        start("127.0.0.1:1", &["--advertise", host]).fails(1, &["--advertise", "is not a reachable host"]);
    }
    let files = place();
    let server = ControlServer::start_at("0.0.0.0", "haproxy", 1, &["--advertise", "::1"]);
    let uid = files.path().join("uid");
    let listener = server.gives("inbound", &uid, &["--service", "127.0.0.1:5672"]).remove(0);
    assert!(listener.starts_with("[::1]:"), "{listener}");
    let refused = server.ask("outbound", &uid, &["0.0.0.0:5100"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("`0.0.0.0:5100` is not a reachable listener"), "{}", said(&refused));
}

#[test]
fn the_operator_of_a_control_server_sees_who_holds_which_tunnel_and_no_uid() {
    let files = place();
    let [uid, other, tokens, wrong, second] =
        ["uid", "other", "tokens", "wrong", "second"].map(|name| files.path().join(name));
    fs::write(&tokens, "first\nsecond\n").unwrap();
    fs::write(&wrong, "third\n").unwrap();
    fs::write(&second, "second\n").unwrap();
    let token_file = |path: &Path| ["--token-file".to_owned(), path.display().to_string()];
    let server =
        ControlServer::start_at("127.0.0.1", "haproxy", 1, &token_file(&tokens).each_ref().map(String::as_str));
    let ask = |what: &str, uid: &Path, token: &Path, more: &[&str]| {
        let token = token_file(token);
        server.ask(what, uid, &[&token.each_ref().map(String::as_str), more].concat())
    };
    let service = ["--service", "127.0.0.1:5672"];
    assert!(!ask("inbound", &uid, &wrong, &service).status.success());
    assert!(ask("inbound", &uid, &second, &service).status.success());
    assert!(!ask("inbound", &other, &second, &service).status.success());
    processes::send(server.proxies()[0].pid, Signal::SIGKILL);
    within(LOG_LIMIT, || server.log().contains("ended by itself").then_some(()))
        .expect("it sees that its proxy is gone");
    let released = ask("release", &uid, &second, &[]);
    assert!(said(&released).contains("haproxy ended by itself (signal: 9"), "{}", said(&released));

    let log = server.log();
    let mut rest = log.as_str();
    for line in [
        "refused 127.0.0.1: it has none of the tokens",
        "tunnel 1: inbound half, 127.0.0.1:",
        "reserved for 127.0.0.1 (token 2)",
        "tunnel 1: haproxy listens on 127.0.0.1:",
        "passes on to 127.0.0.1:5672",
        "refused the req of 127.0.0.1 (token 2): fewer than 1 of its 1 ports are free",
        "tunnel 1: its haproxy ended by itself (signal: 9",
        "tunnel 1: released by 127.0.0.1 (token 2) after ",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("`{line}` is missing, or out of order, in\n{log}"));
        rest = &rest[at..];
    }
    for secret in [fs::read_to_string(&uid).unwrap().trim(), "first", "second", "third"] {
        assert!(!log.contains(secret) && !log.contains(&secret.replace('-', "")), "a secret in\n{log}");
    }
}
