//! Settings against a real broker.

use crate::support::{broker::port_of, service, single};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_duration_is_measured_after_its_warm_up() {
    let record = single(&["--duration", "2s", "--warmup", "500ms"]).through(service()).run(LIMIT).passes();
    assert_eq!(record.throughput.window_s, 2.0);
    assert!(record.phases["stream"] >= 2.5, "{:?}", record.phases);
    let rate = record.throughput.messages_per_second.expect("a rate in the window");
    assert!(rate > 0.0 && rate * 2.0 < record.integrity.delivered as f64, "the warm-up is not in {rate}");
}

#[test]
fn every_way_to_confirm_goes_with_every_way_to_acknowledge() {
    for confirms in ["none", "each", "batch:64", "window:100"] {
        for acks in ["auto", "each", "multiple:64"] {
            let arguments =
                ["--arch", "dts-plain", "--messages", "300", "--confirms", confirms, "--acks", acks, "--verify", "all"];
            let record = single(&arguments).through(service()).run(LIMIT).passes();
            let integrity = &record.integrity;
            assert_eq!((integrity.sent, integrity.delivered), (300, 300), "{confirms} {acks}: {integrity:?}");
            assert_eq!(integrity.confirmed, if confirms == "none" { 0 } else { 300 }, "{confirms} {acks}");
            assert_eq!((integrity.redelivered, integrity.reordered), (0, 0), "{confirms} {acks}: {integrity:?}");
            assert!(record.route.tls.is_none(), "{confirms} {acks}: dts-plain is without TLS");
            assert_eq!(record.plan["service"]["confirms"], confirms);
            assert_eq!(record.plan["service"]["acks"], acks);
        }
    }
}

#[test]
fn what_is_left_over_from_the_last_batch_is_confirmed_and_acknowledged() {
    let arguments = ["--messages", "131", "--confirms", "batch:64", "--acks", "multiple:50", "--producers", "2"];
    let record = single(&arguments).through(service()).run(LIMIT).passes();
    assert_eq!((record.integrity.confirmed, record.integrity.delivered), (131, 131));
}

#[test]
fn messages_that_a_full_queue_rejects_are_published_again_and_none_is_lost() {
    // What a consumer holds is not in the queue: with a prefetch of one, it fills whatever the machine is busy with.
    let full = ["--set", "service.max_length=20", "--prefetch", "1", "--acks", "each", "--confirms", "window:200"];
    let integrity =
        single(&[&["--messages", "300"][..], &full].concat()).through(service()).run(LIMIT).passes().integrity;
    assert!(integrity.rejected > 0, "the queue was never full: {integrity:?}");
    assert_eq!(integrity.republished, integrity.rejected, "{integrity:?}");
    assert_eq!((integrity.confirmed, integrity.delivered), (300, 300), "{integrity:?}");
}

#[test]
fn messages_that_are_dropped_for_their_age_are_reported_as_lost() {
    // A consumer that is slower than messages may wait: all is sent, most of it expires, the rest never comes.
    let arguments = ["--messages", "400", "--service-time", "constant:5ms", "--prefetch", "1", "--acks", "each"];
    let expiring = ["--set", "service.ttl=50ms", "--timeout", "6s"];
    let outcome = single(&[&arguments[..], &expiring].concat()).through(service()).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(4), "{outcome}");
    let record = outcome.leaves_a_failed_record(4, "messages were lost (first: producer 0 sequence");
    let integrity = &record.integrity;
    assert!(integrity.lost > 0 && integrity.lost + integrity.delivered == 400, "{integrity:?}");
}

#[test]
fn the_service_is_reached_under_another_name_that_its_certificate_has() {
    let port = port_of(&service().url());
    let outcome = single(&[
        "--messages",
        "300",
        "--url",
        "amqps://bench@service-1.mss.test:443",
        "--connect-to",
        &format!("service-1.mss.test:443:127.0.0.1:{port}"),
        "--ca",
        &service().ca(),
    ])
    .variable("STREAMHARNESS_PASSWORD_FILE", service().password_file())
    .run(LIMIT);
    let record = outcome.passes();
    assert_eq!(record.route.hops[0].address.as_deref(), Some("service-1.mss.test:443"));
    assert!(record.route.tls.is_some());
}

#[test]
fn variables_of_the_environment_are_an_address_too() {
    let outcome = single(&["--messages", "300"])
        .variable("STREAMHARNESS_URL", service().url())
        .variable("STREAMHARNESS_CA", service().ca())
        .variable("STREAMHARNESS_PASSWORD", service().password())
        .run(LIMIT);
    outcome.passes();
    for (variable, url, arch, remedy) in [
        ("STREAMHARNESS_URL", service().url(), "dts-plain", "has TLS, and this architecture is without: use amqp://"),
        (
            "STREAMHARNESS_URLS",
            service().plain_url(),
            "dts",
            "is without TLS, and this architecture has TLS: use amqps://",
        ),
    ] {
        let outcome = single(&["--arch", arch, "--messages", "300"]).variable(variable, &url).run(LIMIT);
        outcome.fails(1, &[&format!("{variable} in the environment: {url}"), remedy, &format!("or unset {variable}")]);
    }
}
