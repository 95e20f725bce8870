//! Bad input ends in one sentence with what to do, the right exit code, and nothing left running.

use crate::support::{
    Broker, Launch, broker::port_of, mpirun, mpirun_with_a_late_rank_0, place, program, service, single, workspace,
};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// More than any mistake needs to be reported, on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);
/// A promise: an unreachable broker is reported within this time, starting MPI not counted.
const UNREACHABLE_LIMIT: Duration = Duration::from_secs(10);
const START_ALLOWANCE: Duration = Duration::from_secs(10);

const USAGE: i32 = 1;
const PROFILE: i32 = 2;
const ROUTE: i32 = 3;

fn with_address(broker: &Broker, url: &str, more: &[&str]) -> Launch {
    let arguments = [&["--messages", "100", "--url", url], more].concat();
    single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", broker.password_file())
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn an_unknown_key_in_a_profile_file() {
    let profile = "[service]\nprefech = 3\n";
    let outcome = single(&["mine.toml"]).file("mine.toml", profile).run(LIMIT);
    outcome.fails(PROFILE, &["streamharness: mine.toml: ", "`prefech`", "did you mean `prefetch`?"]);
}

#[test]
fn an_unknown_key_of_set() {
    single(&["--set", "service.prefech=3"]).run(LIMIT).fails(USAGE, &["streamharness: ", "did you mean `prefetch`?"]);
}

#[test]
fn a_misspelt_workload() {
    let sentence = ["streamharness: command line: no workload is called `dstrem` (did you mean `dstream`?)"];
    single(&["--workload", "dstrem"]).run(LIMIT).fails(USAGE, &sentence);
}

#[test]
fn a_reader_that_has_gone_changes_nothing() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut launch = Command::new(program());
    let status = launch.args(["--workload", "dstrem"]).stdout(Stdio::null()).stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(USAGE));
}

#[test]
fn a_misspelt_workload_is_reported_once_by_four_ranks() {
    mpirun(4, &["--workload", "dstrem"]).run(LIMIT).fails(USAGE, &["streamharness: ", "did you mean `dstream`?"]);
}

#[test]
fn a_misspelt_flag_is_reported_once_by_four_ranks() {
    mpirun(4, &["--mesages", "10"]).run(LIMIT).fails(USAGE, &["--mesages"]);
}

#[test]
fn a_misspelt_flag_is_reported_by_a_rank_0_that_starts_late() {
    mpirun_with_a_late_rank_0(4, &["--mesages", "10"]).run(LIMIT).fails(USAGE, &["--mesages"]);
}

#[test]
fn too_many_workers() {
    let arguments = ["--producers", "65", "--consumers", "1"];
    single(&arguments).run(LIMIT).fails(PROFILE, &["streamharness: 65 producers and 1 consumers", "mpirun -n 2"]);
}

#[test]
fn no_messages_at_all() {
    single(&["--messages", "0"])
        .run(LIMIT)
        .fails(USAGE, &["streamharness: command line: ", "`messages`", "at least 1"]);
}

#[test]
fn a_number_and_a_duration_together() {
    let outcome = single(&["--messages", "5", "--duration", "5s"]).run(LIMIT);
    outcome.fails(USAGE, &["--messages", "cannot be used with", "--duration"]);
}

#[test]
fn a_profile_with_a_number_and_a_duration() {
    let profile = "messages = 5\nduration = '5s'\n";
    let outcome = single(&["mine.toml"]).file("mine.toml", profile).run(LIMIT);
    outcome.fails(PROFILE, &["streamharness: mine.toml: ", "exclude each other"]);
}

#[test]
fn a_profile_that_is_not_there() {
    single(&["none.toml"]).run(LIMIT).fails(USAGE, &["streamharness: cannot read the profile `none.toml`"]);
}

#[test]
fn an_output_directory_that_cannot_be_written() {
    let outcome = single(&["--messages", "5", "--out", "file/below"]).file("file", "").through(service()).run(LIMIT);
    outcome.fails(USAGE, &["streamharness: results cannot be written to `file/below`", "--out"]);
    assert_eq!(outcome.files.len(), 1, "{:?}", outcome.files.keys());
}

#[test]
fn no_password() {
    let outcome = single(&["--url", &service().url()]).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: no password for user `bench`", "STREAMHARNESS_PASSWORD"]);
}

#[test]
fn a_port_where_nobody_listens() {
    let url = format!("amqps://bench@localhost:{}", closed_port());
    let outcome = with_address(service(), &url, &[]).run(UNREACHABLE_LIMIT + START_ALLOWANCE);
    outcome.fails(ROUTE, &["streamharness: ", "nothing listens at localhost", "is the service up?"]);
    assert_eq!(outcome.stdout, "");
}

#[test]
fn a_port_without_a_listener_is_reported_once_by_four_ranks() {
    let url = format!("amqps://bench@localhost:{}", closed_port());
    let outcome = mpirun(4, &["--url", &url]).variable("STREAMHARNESS_PASSWORD", "any").run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "nothing listens at localhost", "is the service up?"]);
}

#[test]
fn a_host_that_nobody_knows() {
    let outcome = with_address(service(), "amqps://bench@broker.invalid", &[]).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "the host name broker.invalid is unknown here", "--connect-to"]);
}

#[test]
fn a_listener_that_never_replies() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    for (arch, scheme, hint) in [("dts", "amqps", "does not agree on TLS"), ("dts-plain", "amqp", "sends nothing")] {
        let url = format!("{scheme}://bench@localhost:{port}");
        let start = Instant::now();
        let outcome = with_address(service(), &url, &["--arch", arch]).run(LIMIT);
        assert!(start.elapsed() < UNREACHABLE_LIMIT + START_ALLOWANCE, "{outcome}");
        outcome.fails(ROUTE, &["streamharness: ", &format!("localhost:{port} accepts the connection"), hint]);
    }
}

#[test]
fn a_wrong_password() {
    let outcome = single(&["--url", &service().url(), "--ca", &service().ca()])
        .variable("STREAMHARNESS_PASSWORD", "wrong")
        .run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "refuses the login of user bench", "STREAMHARNESS_PASSWORD"]);
}

#[test]
fn an_authority_that_did_not_sign_the_certificate() {
    let mut stranger = rcgen::CertificateParams::new(Vec::new()).unwrap();
    stranger.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let stranger = stranger.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
    let outcome =
        with_address(service(), &service().url(), &["--ca", "stranger.pem"]).file("stranger.pem", &stranger).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "not signed by an authority", "--ca FILE"]);
}

#[test]
fn an_authority_that_this_system_does_not_know() {
    with_address(service(), &service().url(), &[])
        .run(LIMIT)
        .fails(ROUTE, &["not signed by an authority", "--ca FILE"]);
}

#[test]
fn a_file_of_authorities_that_holds_none() {
    let outcome = with_address(service(), &service().url(), &["--ca", "empty.pem"]).file("empty.pem", "\n").run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "--ca"]);
}

#[test]
fn a_name_that_is_not_in_the_certificate() {
    let url = service().url();
    let there = format!("broker.example.org:5671:127.0.0.1:{}", port_of(&url));
    let more = ["--connect-to", &there, "--ca", &service().ca()];
    let outcome = with_address(service(), "amqps://bench@broker.example.org:5671", &more).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "not valid for broker.example.org", "localhost", "--connect-to"]);
}

#[test]
fn a_client_without_tls_at_a_port_with_tls() {
    let url = format!("amqp://bench@localhost:{}", port_of(&service().url()));
    let outcome = with_address(service(), &url, &["--arch", "dts-plain"]).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "amqps://"]);
}

#[test]
fn a_client_with_tls_at_a_port_without() {
    let url = format!("amqps://bench@localhost:{}", port_of(&service().plain_url()));
    let outcome = with_address(service(), &url, &["--ca", &service().ca()]).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "TLS", "amqp://"]);
}

#[test]
fn a_scheme_that_the_architecture_has_not() {
    let outcome = with_address(service(), &service().plain_url(), &[]).run(LIMIT);
    outcome.fails(USAGE, &["streamharness: ", "is without TLS", "--arch dts-plain"]);
}

#[test]
fn an_address_for_one_side_only() {
    let outcome = single(&["--producer-url", &service().url()]).run(LIMIT);
    outcome.fails(USAGE, &["streamharness: ", "--consumer-url"]);
}

#[test]
fn a_virtual_host_that_is_not_there() {
    let url = format!("{}/elsewhere", service().url());
    let outcome = with_address(service(), &url, &["--ca", &service().ca()]).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "virtual host elsewhere"]);
}

#[test]
fn an_address_that_only_another_rank_cannot_reach_is_reported_by_rank_0() {
    let closed = format!("amqps://bench@localhost:{}", closed_port());
    let arguments =
        ["--producer-url", &service().url(), "--consumer-url", &closed, "--ca", &service().ca(), "--messages", "100"];
    let outcome = mpirun(2, &arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: connecting failed on rank 1: ", "nothing listens at localhost"]);
}

#[test]
fn a_machine_without_rabbitmq() {
    let outcome = single(&["--messages", "100"]).variable("STREAMHARNESS_RABBITMQ", "/nowhere").run(LIMIT);
    outcome.fails(ROUTE, &["streamharness: ", "apt-get install rabbitmq-server", "launch/setup"]);
}

/// The program as another build: with another build id, wherever it has one.
fn another_build(at: &Path) {
    const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";
    let mut bytes = fs::read(program()).unwrap();
    let id = bytes.windows(NOTE.len()).position(|found| found == NOTE).expect("it has a build id") + NOTE.len();
    bytes[id] ^= 0xff;
    fs::write(at, bytes).unwrap();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn ranks_of_different_builds() {
    let place = place();
    let other = place.path().join("streamharness");
    another_build(&other);
    let (one, other) = (program().display().to_string(), other.display().to_string());
    for programs in [[&one, &other], [&other, &one]] {
        let words = ["-n", "1", programs[0], "--messages", "10", ":", "-n", "2", programs[1]];
        let before: Vec<_> = words.into_iter().map(Into::into).collect();
        let outcome = Launch::new(&workspace().join("launch/mpirun"), &before, &["--messages", "10"]).run(LIMIT);
        let version = env!("CARGO_PKG_VERSION");
        let parts =
            ["streamharness: the ranks of this launch are of different builds", version, "(build ", "same program"];
        outcome.fails(ROUTE, &parts);
        assert_eq!(outcome.stderr.matches("(build ").count(), 2, "{outcome}");
    }
}

#[test]
fn ports_that_are_no_range_too_few_or_taken() {
    let with = |ports: &str| single(&["--messages", "10", "--ports", ports]).run(LIMIT);
    with("20600-20000")
        .fails(PROFILE, &["streamharness: ", "`20600-20000` is not a valid range of ports", "20000-20599"]);
    with("20000-20100")
        .fails(ROUTE, &["streamharness: ", "the ports 20000-20100 are too few", "needs 170 ports", "--ports"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _taken = TcpListener::bind(("127.0.0.1", taken)).unwrap();
    // The first node's port for AMQP is the second of them.
    let range = format!("{}-{}", taken - 1, taken + 199);
    with(&range).fails(ROUTE, &["streamharness: ", "no 170 free ports in a row between", "--ports"]);
    let variable = single(&["--messages", "10"]).variable("STREAMHARNESS_PORTS", "20000-20100").run(LIMIT);
    variable.fails(ROUTE, &["streamharness: ", "the ports 20000-20100 are too few"]);
}
