//! Streaming to a managed service that is provisioned for the run, by its public name, through balancer and ingress.

use crate::support::{Launch, Turn, mpirun, place, processes, program, service, single, within};
use nix::sys::signal::Signal;
use std::{
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(180);
const STARTED: Duration = Duration::from_secs(30);
/// How long after the end of rank 0, in whatever way, its cluster may still be there.
const RELEASED: Duration = Duration::from_secs(20);

/// The clusters that the service has, by its own list.
fn clusters() -> String {
    let listed = service().s3m(&["list"]);
    assert!(listed.status.success(), "{listed:?}");
    String::from_utf8(listed.stdout).unwrap()
}

/// The broker's users that belong to clusters.
fn tenants() -> Vec<String> {
    service().users().into_iter().filter(|user| user.starts_with("bench-api-")).collect()
}

/// Whether the ingress leads a name on, with whatever user.
fn is_led_on(turn: &Turn, fqdn: &str) -> bool {
    let reached = service().route("mss").connect_to.remove(0);
    let (connect_to, ca, url) = (format!("{fqdn}{reached}"), service().ca(), format!("amqps://bench@{fqdn}:443"));
    let arguments = ["--arch", "mss", "--messages", "10", "--url", &url, "--connect-to", &connect_to, "--ca", &ca];
    let launch = single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file());
    launch.start_beside(turn).wait(LIMIT).status.success()
}

/// A launch by a route file with this `[route.s3m]`, and the testbed's balancer and authority.
fn by_file(s3m: &str, arguments: &[&str]) -> Launch {
    let (connect_to, ca) = (service().route("mss").connect_to.remove(0), service().ca());
    let route = format!("[route]\ntls = true\nconnect_to = [\"{connect_to}\"]\nca = \"{ca}\"\n[route.s3m]\n{s3m}\n");
    single(&[&["--arch", "facility.toml", "--messages", "100"], arguments].concat()).file("facility.toml", &route)
}

#[test]
fn a_cluster_is_there_for_the_run_with_every_check_and_gone_after_it_and_its_password_is_nowhere() {
    // Until the end: no cluster of another test may be among those that are looked at.
    let turn = Turn::take();
    let mut running =
        mpirun(3, &["--arch", "mss", "--duration", "5s", "--verify", "all"]).through(service()).start_beside(&turn);
    running.streams(LIMIT);
    let [tenant] = &tenants()[..] else { panic!("one cluster for one run: {:?}", tenants()) };
    let cluster = tenant.strip_prefix("bench-api-").unwrap();
    let password = service().password_of(cluster);
    let told = processes::all().into_iter().find(|process| process.arguments.join(" ").contains(&password));
    assert!(told.is_none(), "the password is an argument of {told:?}");
    let outcome = running.wait(LIMIT);
    let record = outcome.passes();
    assert!(tenants().is_empty() && !clusters().contains(cluster), "{:?} {}", tenants(), clusters());

    let provisioned = record.route.provisioned.as_ref().expect("it was provisioned");
    let fqdn = format!("rmq-bench-api-{cluster}.mss.test");
    assert_eq!((provisioned.cluster.as_str(), provisioned.fqdn.as_str()), (cluster, fqdn.as_str()));
    assert_eq!((provisioned.nodes, provisioned.lifetime_s, provisioned.reused), (Some(3), 604_800, false));
    assert!((0.1..30.0).contains(&provisioned.ready_s), "a new cluster is not ready at once: {provisioned:?}");
    assert!(
        !is_led_on(&turn, &fqdn) && is_led_on(&turn, "probe.mss.test"),
        "the ingress knows the testbed's own name only"
    );
    let outputs =
        outcome.files.values().map(Vec::as_slice).chain([outcome.stdout.as_bytes(), outcome.stderr.as_bytes()]);
    for output in outputs {
        assert!(!String::from_utf8_lossy(output).contains(&password), "the password is in what the run left");
    }

    let hops: Vec<(&str, &str, &str)> =
        record.route.hops.iter().map(|hop| (hop.from.as_str(), hop.to.as_str(), hop.protocol.as_str())).collect();
    let expected = [
        ("producer", "balancer", "amqps"),
        ("balancer", "ingress", "tcp"),
        ("ingress", "service", "tcp"),
        ("consumer", "balancer", "amqps"),
    ];
    assert_eq!(hops, expected);
    let tls = record.route.tls.expect("mss has TLS");
    assert!(record.route.hops.iter().all(|hop| hop.tls.is_some() == (hop.protocol == "amqps")), "{tls:?}");
    let process = |at: usize| record.route.hops[at].process.clone().unwrap();
    assert!(process(0).starts_with("haproxy (pid ") && process(1).ends_with("balance source)"), "{}", process(1));
}

#[test]
fn a_cluster_is_gone_when_rank_0_is_killed() {
    // Until the end: no cluster of another test may be among those that are looked at.
    let turn = Turn::take();
    let mut running = mpirun(2, &["--arch", "mss", "--duration", "60s"]).through(service()).start_beside(&turn);
    running.streams(LIMIT);
    assert_eq!(tenants().len(), 1);
    processes::send(running.rank(0), Signal::SIGKILL);
    let gone = || (tenants().is_empty() && clusters().trim() == "[]").then_some(());
    assert!(within(RELEASED, gone).is_some(), "left: {:?} {}", tenants(), clusters());
    assert!(!running.wait(LIMIT).status.success());
}

#[test]
fn a_refusal_of_the_service_is_one_sentence_and_leaves_no_cluster() {
    // Until the end: no cluster of another test may be among those that are looked at.
    let turn = Turn::take();
    let access = service().route("mss").s3m.unwrap();
    let url = format!("url = \"{}\"", access.url);
    by_file(&url, &[])
        .variable("S3M_TOKEN", "wrong-token")
        .start_beside(&turn)
        .wait(LIMIT)
        .fails(3, &["refuses the token", "S3M_TOKEN"]);
    let file = format!("token_file = \"{}\"", access.token_file.display());
    let nowhere = format!("url = \"http://127.0.0.1:1\"\n{file}");
    by_file(&nowhere, &[])
        .start_beside(&turn)
        .wait(LIMIT)
        .fails(3, &["http://127.0.0.1:1 cannot be reached", "check the address"]);

    let place = place();
    let secret = place.path().join("secret").display().to_string();
    let made = service().s3m(&["provision", "lasting", "--set", "nodes=3", "--secret-file", &secret]);
    assert!(made.status.success(), "{made:?}");
    let named = format!("{url}\n{file}\nname = \"lasting\"");
    by_file(&named, &[])
        .start_beside(&turn)
        .wait(LIMIT)
        .fails(3, &["has a cluster `lasting` already", "route.s3m.reuse = true"]);
    let record = by_file(&named, &["--set", "route.s3m.reuse=true"]).start_beside(&turn).wait(LIMIT).passes();
    assert!(record.route.provisioned.unwrap().reused);
    assert_eq!(tenants(), ["bench-api-lasting"], "what was there before stays");
    assert!(service().s3m(&["delete", "lasting"]).status.success());
    assert!(tenants().is_empty());
}

/// A service that gives clusters on the testbed so many seconds; ends with this value.
struct ShortLived {
    process: Child,
    url: String,
}

impl ShortLived {
    fn start(seconds: u32) -> Self {
        let dir = service().dir().display().to_string();
        let model =
            processes::of_directory(&dir).into_iter().find(|process| process.argument("--ingress-map").is_some());
        let model = model.expect("the testbed has such a service");
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let kept = ["--token-file", "--management", "--user", "--password-file", "--ingress-socket", "--ingress-map"];
        let mut command = Command::new(program());
        command.args(["s3m", "serve", "--listen", &at, "--lifetime-s", &seconds.to_string()]);
        for flag in kept.into_iter().chain(["--backend", "--domain", "--port", "--nodes"]) {
            command.args([flag, model.argument(flag).unwrap()]);
        }
        let process = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let started = Self { process, url: format!("http://{at}") };
        within(STARTED, || TcpStream::connect(&at).ok()).expect("it takes connections");
        started
    }
}

impl Drop for ShortLived {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_cluster_lives_for_as_long_as_runs_are_repeated() {
    let turn = Turn::take();
    let short = ShortLived::start(6);
    let token = service().route("mss").s3m.unwrap().token_file;
    let s3m = format!("url = \"{}\"\ntoken_file = \"{}\"", short.url, token.display());
    let outcome = by_file(&s3m, &["--timeout", "4s", "--repeat", "4", "--idle", "2s"]).start_beside(&turn).wait(LIMIT);
    assert!(outcome.status.success(), "{outcome}");
    assert!(tenants().is_empty(), "it is deleted all the same");
}

#[test]
fn a_name_that_the_ingress_does_not_know_is_refused() {
    let reached = service().route("mss").connect_to.remove(0);
    let balancer = reached.splitn(3, ':').last().unwrap();
    let connect_to = format!("other.mss.test:443:{balancer}");
    let ca = service().ca();
    let url = "amqps://bench@other.mss.test:443";
    let arguments = ["--arch", "mss", "--messages", "10", "--url", url, "--connect-to", &connect_to, "--ca", &ca];
    let outcome = single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT);
    outcome.fails(3, &["streamharness: ", "other.mss.test", "know the name other.mss.test?"]);
}

#[test]
fn a_launch_without_a_testbed_builds_balancer_and_ingress_for_itself() {
    let record = mpirun(2, &["--arch", "mss", "--messages", "300"]).run(LIMIT).passes();
    assert_eq!(record.route.hops[0].to.as_str(), "balancer");
}

#[test]
fn a_way_to_choose_a_node_that_the_ingress_does_not_have_is_refused() {
    let place = place();
    let mut command = Command::new(program());
    command.args(["testbed", "up", "--arch", "mss", "--balance", "random"]);
    let output = command.env("STREAMHARNESS_TESTBED", place.path().join("testbed")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("source, roundrobin or leastconn"), "{said}");
}
