//! Services and clients on the other side that misbehave, refuse or reach a limit.

use crate::support::{
    Broker,
    amqp::{method, nested, service_that_says},
    mpirun, place, processes, program, service, single, slow,
};
use nix::sys::signal::Signal;
use serde_json::json;
use std::{process::Command, time::Duration};

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(60);
/// Of users that a test makes.
const PASSWORD: &str = "of this test";

#[test]
fn a_service_that_nests_tables_without_end_is_named_by_every_rank() {
    let start = |depth| method(0, 10, 10, &[&[0, 9][..], &nested(depth, b'F')].concat());
    for (depth, part) in [(2000, "sent tables that nest more than 64 deep"), (20_000, "sent a frame of ")] {
        let url = format!("amqp://bench@127.0.0.1:{}", service_that_says(start(depth)));
        let launch = mpirun(3, &["--arch", "dts-plain", "--url", &url, "--messages", "10"])
            .variable("STREAMHARNESS_PASSWORD", "x");
        let outcome = launch.run(ENDS);
        outcome.fails(3, &["127.0.0.1", part, "Check the address"]);
        outcome.leaves_a_failed_record(3, part);
    }
}

/// The address of a user and a virtual host, without TLS.
fn url_of(broker: &Broker, user: &str, vhost: &str) -> String {
    format!("{}{vhost}", broker.plain_url().replace("bench@", &format!("{user}@")))
}

fn user(broker: &Broker, name: &str, vhost: &str, write: &str) {
    broker.set(&format!("users/{name}"), &json!({ "password": PASSWORD, "tags": "" }));
    let rights = json!({ "configure": ".*", "write": write, "read": ".*" });
    broker.set(&format!("permissions/{vhost}/{name}"), &rights);
}

#[test]
fn a_refusal_is_reported_in_the_words_of_the_service_if_no_confirm_is_awaited() {
    user(service(), "mute", "%2f", "^(?!amq\\.default).*");
    let url = url_of(service(), "mute", "");
    let arguments = ["--arch", "dts-plain", "--url", &url, "--messages", "50", "--confirms", "none"];
    let outcome = mpirun(3, &arguments).variable("STREAMHARNESS_PASSWORD", PASSWORD).run(ENDS);
    service().unset("users/mute");
    let words = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'mute'";
    outcome.fails(3, &[words, "the user needs the permission for it"]);
    let record = outcome.leaves_a_failed_record(3, words);
    assert_eq!(record.integrity.lost, 0, "{:?}", record.integrity);
}

#[test]
fn a_user_without_permission_to_declare_gets_no_report_of_queues_left() {
    let rights = json!({ "configure": "^$", "write": ".*", "read": ".*" });
    service().set("users/guest-of-all", &json!({ "password": PASSWORD, "tags": "" }));
    service().set("permissions/%2f/guest-of-all", &rights);
    let url = url_of(service(), "guest-of-all", "");
    let launch = single(&["--arch", "dts-plain", "--url", &url, "--messages", "50"]);
    let outcome = launch.variable("STREAMHARNESS_PASSWORD", PASSWORD).run(ENDS);
    service().unset("users/guest-of-all");
    outcome.fails(3, &["ACCESS_REFUSED", "guest-of-all"]);
    assert!(!outcome.stderr.contains("left on the service"), "{outcome}");
    assert_eq!(outcome.leaves_a_failed_record(3, "ACCESS_REFUSED").left_behind, []);
}

#[test]
fn each_limit_of_a_service_is_named_with_its_remedy() {
    if !slow() {
        return;
    }
    let limited = |limit: &str, value: u32, words: &str, remedy: &str| {
        service().set("vhosts/limited", &json!({}));
        user(service(), "limited", "limited", ".*");
        service().set(limit, &json!({ "value": value }));
        let url = url_of(service(), "limited", "/limited");
        let launch = single(&["--arch", "dts-plain", "--url", &url, "--messages", "50"]);
        let outcome = launch.variable("STREAMHARNESS_PASSWORD", PASSWORD).run(ENDS);
        service().unset("users/limited");
        service().unset("vhosts/limited");
        outcome.fails(3, &[words, remedy]);
        assert!(!outcome.stderr.contains("other settings"), "{outcome}");
    };
    limited("vhost-limits/limited/max-queues", 0, "queue limit in vhost 'limited' (0) is reached", "max-queues raised");
    limited("vhost-limits/limited/max-connections", 1, "connection limit (1) is reached", "max-connections raised");
    limited("user-limits/limited/max-connections", 2, "user connection limit (2) is reached", "max-connections raised");
    limited("user-limits/limited/max-channels", 1, "user limit of (1)", "max-channels raised");
}

#[test]
fn a_node_that_holds_still_is_no_want_of_time_and_holds_up_no_end() {
    if !slow() {
        return;
    }
    let broker = Broker::start(1);
    let arguments = ["--arch", "dts-plain", "--duration", "5s", "--rate", "100/s", "--timeout", "12s"];
    let running = mpirun(3, &arguments).through(&broker).streaming(STREAMS);
    assert!(processes::send(broker.node(1), Signal::SIGSTOP));
    let outcome = running.wait(ENDS);
    assert!(processes::send(broker.node(1), Signal::SIGCONT));
    outcome.fails(7, &[" s on streaming passed", "none was confirmed or delivered for the last"]);
    let record = outcome.leaves_a_failed_record(7, "more time does not help");
    assert!(record.integrity.delivered > 0, "{:?}", record.integrity);
}

#[test]
fn a_service_that_cannot_be_understood_is_not_blamed_on_the_password() {
    if !slow() {
        return;
    }
    let start = method(0, 10, 10, b"\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US");
    for (bytes, part) in [
        ([start.clone(), b"then noise".to_vec()].concat(), "sent bytes that are no AMQP frame"),
        (method(0, 10, 10, &[0xff; 40]), "sent bytes that are no AMQP frame"),
        (method(0, 50, 10, b""), "sent method 50.10, which only clients send"),
    ] {
        let url = format!("amqp://bench@127.0.0.1:{}", service_that_says(bytes));
        let launch = single(&["--arch", "dts-plain", "--url", &url, "--messages", "10"]);
        let outcome = launch.variable("STREAMHARNESS_PASSWORD", "x").run(ENDS);
        outcome.fails(3, &["127.0.0.1", part, "Check the address"]);
        assert!(!outcome.stderr.contains("check the user"), "{outcome}");
    }
}

#[test]
fn a_server_that_may_open_too_few_files_reports_it_and_does_not_panic() {
    let files = place();
    let file = files.path().join("any").display().to_string();
    std::fs::write(&file, "any\n").unwrap();
    let s2cs = ["s2cs", "--listen", "127.0.0.1:0", "--ports", "5100-5101", "--type", "haproxy", "--dir", &file];
    let served = ["--listen", "127.0.0.1:0", "--management", "http://127.0.0.1:1", "--user", "any", "--backend", "any"];
    let named = ["--token-file", "--password-file", "--ingress-socket", "--ingress-map"].map(|flag| [flag, &file]);
    let s3m = [&["s3m", "serve"][..], &served, named.as_flattened()].concat();
    for (arguments, what) in [(&s2cs[..], "cannot start the control server"), (&s3m, "the S3M service cannot start")] {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -n 7; exec timeout 60 \"$0\" \"$@\""]).arg(program()).args(arguments);
        let output = shell.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(what) && said.contains("may open 7 files") && !said.contains("panicked"), "{said}");
        assert!(said.trim_end().ends_with("raise the limit with `ulimit -n 1024`"), "{said}");
    }
}
