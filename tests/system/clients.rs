//! The light client beside lapin: the same endings, the same sentences, the same counts. `patterns.rs` has both, too.

use crate::support::{
    Launch, Turn,
    amqp::{Client, nested},
    broker::Payload,
    service, single, slow,
};
use serde_json::json;
use std::time::Duration;

const STREAMS: Duration = Duration::from_secs(60);
const ENDS: Duration = Duration::from_secs(120);
const CLIENTS: [&str; 2] = ["service.client=lapin", "service.client=native"];
/// Of a user that a test makes.
const PASSWORD: &str = "of this test";

/// A launch with one of the clients, through the service that tests share.
fn with(client: &str, arguments: &[&str]) -> Launch {
    single(&[arguments, &["--set", client]].concat()).through(service())
}

/// The queues that there are now and were not before.
fn new_queues(before: &[String]) -> Vec<String> {
    service().queues().into_iter().filter(|queue| !before.contains(queue)).collect()
}

#[test]
fn messages_of_others_change_no_count_of_either_client() {
    for client in CLIENTS {
        let turn = Turn::take();
        let before = service().queues();
        // Long enough for a busy machine to publish all of them before the end.
        let arguments = ["--arch", "dts-plain", "--duration", "15s", "--warmup", "0s", "--rate", "200/s"];
        let mut running = with(client, &arguments).start_in(turn);
        running.streams(STREAMS);
        let queues = new_queues(&before);
        let texts = ["theirs", ""];
        for text in texts {
            service().publish_as(&queues[0], json!({"correlation_id": "hello"}), &Payload::text(text));
        }
        let mut other = Client::connect(service());
        let unreadable = [
            [b"\x20\0", nested(3000, b'A').as_slice()].concat(),
            [b"\x20\0", nested(2500, b'F').as_slice()].concat(),
            // A correlation id that is no text, and headers larger than the frames of the run.
            b"\x04\0\x02\xff\xfe".to_vec(),
            [&b"\x20\0\0\0\xea\x67\x01kS\0\0\xea\x60"[..], &[b'x'; 60_000]].concat(),
        ];
        for properties in &unreadable {
            other.publish("", queues[0].as_bytes(), properties, b"not yours");
        }
        let record = running.wait(ENDS).passes();
        let published = (texts.len() + unreadable.len()) as u64;
        assert_eq!(record.integrity.foreign, published, "{client} {:?}", record.integrity);
        assert_eq!(record.plan["service"]["client"], client.trim_start_matches("service.client="));
    }
}

#[test]
fn both_clients_carry_large_bodies_over_tls_and_over_shared_connections() {
    for client in CLIENTS {
        for more in [&["--arch", "dts"][..], &["--arch", "dts-plain", "--set", "service.workers_per_connection=2"]] {
            let arguments = ["--workload", "lstream", "--messages", "40", "--producers", "2", "--consumers", "2"];
            let outcome = with(client, &[&arguments[..], more].concat()).run(ENDS);
            let record = outcome.passes();
            assert_eq!(record.integrity.delivered, 40, "{client} {more:?}");
        }
    }
}

#[test]
fn a_service_that_refuses_or_ends_something_is_reported_in_the_same_words() {
    if !slow() {
        return;
    }
    service().set("users/mute", &json!({ "password": PASSWORD, "tags": "" }));
    let rights = json!({ "configure": ".*", "write": "^(?!amq\\.default).*", "read": ".*" });
    service().set("permissions/%2f/mute", &rights);
    let url = service().plain_url().replace("bench@", "mute@");
    for client in CLIENTS {
        for confirms in ["none", "batch:8"] {
            let arguments = ["--arch", "dts-plain", "--url", &url, "--messages", "50", "--confirms", confirms];
            let launch = with(client, &arguments).variable("STREAMHARNESS_PASSWORD", PASSWORD);
            let words = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'mute'";
            launch.run(ENDS).fails(3, &[words, "the user needs the permission for it"]);
        }
        let turn = Turn::take();
        let before = service().queues();
        let mut running = with(client, &["--arch", "dts-plain", "--duration", "60s", "--rate", "200/s"]).start_in(turn);
        running.streams(STREAMS);
        let queue = new_queues(&before).remove(0);
        service().delete(&queue);
        let outcome = running.wait(ENDS);
        outcome.fails(3, &["streamharness: ", &queue]);
        outcome.leaves_a_failed_record(3, &queue);
    }
    service().unset("users/mute");
}
