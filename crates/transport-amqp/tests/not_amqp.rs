//! Connecting to what is no AMQP service ends within the limit, with a sentence that helps.
#![allow(clippy::unwrap_used)]

use engine::ports::{Fault, FaultKind, Role, Transport, Worker};
use profile::{Layer, Origin, Plan, combine};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use transport_amqp::{Amqp, AmqpRoute, ConnectTo, Endpoint, Secret};

const WORKER: Worker = Worker { role: Role::Producer, index: 0, attempt: 0 };
const LIMIT: Duration = Duration::from_secs(2);
/// What the limit may be exceeded by on a busy machine: without one a silent server is waited for without end.
const SLACK: Duration = Duration::from_secs(10);

fn plan() -> Plan {
    let layer = Layer::parse(Origin::CommandLine, "").unwrap();
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let mut plan = Plan::resolve(&profile, 2, 7).unwrap();
    plan.limits.connect = LIMIT;
    plan
}

fn route(url: &str, connect_to: &[String]) -> AmqpRoute {
    AmqpRoute {
        producer: vec![Endpoint::parse(url).unwrap()],
        consumer: vec![Endpoint::parse(url).unwrap()],
        connect_to: connect_to.iter().map(|text| ConnectTo::parse(text).unwrap()).collect(),
        password: Secret::new("hunter2"),
        ..AmqpRoute::default()
    }
}

async fn connect(route: AmqpRoute) -> Fault {
    let plan = plan();
    let began = Instant::now();
    let transport = match Amqp::new(route, &plan) {
        Ok(transport) => transport,
        Err(fault) => return fault,
    };
    let fault = transport.connect_publisher(WORKER, &plan.target_of(0)).await.map(|_| ()).unwrap_err();
    assert!(began.elapsed() < LIMIT + SLACK, "after {:?}: {fault}", began.elapsed());
    assert!(!fault.sentence.contains("hunter"), "{fault}");
    fault
}

/// A server that sends `reply` on each connection, then holds or closes it.
async fn server(reply: &'static [u8], close: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut greeting = [0; 8];
            let _ = stream.read_exact(&mut greeting).await;
            let _ = stream.write_all(reply).await;
            if !close {
                held.push(stream);
            }
        }
    });
    port
}

#[track_caller]
fn check(fault: &Fault, kind: FaultKind, parts: &[&str]) {
    assert_eq!(fault.kind, kind, "{fault}");
    for part in parts {
        assert!(fault.sentence.contains(part), "{part} in: {fault}");
    }
}

#[tokio::test]
async fn nothing_that_listens_is_unreachable() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    for scheme in ["amqp", "amqps"] {
        let fault = connect(route(&format!("{scheme}://bench@localhost:{port}"), &[])).await;
        check(
            &fault,
            FaultKind::Unreachable,
            &["nothing listens at localhost:", "connection refused", "is the service up?"],
        );
    }
}

#[tokio::test]
async fn an_unknown_host_is_unreachable_and_can_be_redirected() {
    let fault = connect(route("amqp://bench@broker.invalid", &[])).await;
    check(&fault, FaultKind::Unreachable, &["broker.invalid"]);
    let port = server(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
    let redirect = [format!("broker.invalid:5672:127.0.0.1:{port}")];
    let fault = connect(route("amqp://bench@broker.invalid", &redirect)).await;
    check(&fault, FaultKind::Unreachable, &["broker.invalid:5672 (reached at 127.0.0.1:", "HTTP/1.1 400"]);
}

#[tokio::test]
async fn a_silent_server_fails_within_the_limit() {
    let port = server(b"", false).await;
    let fault = connect(route(&format!("amqp://bench@127.0.0.1:{port}"), &[])).await;
    check(&fault, FaultKind::Unreachable, &["sends nothing within 2 s", "amqps://"]);
    let fault = connect(route(&format!("amqps://bench@127.0.0.1:{port}"), &[])).await;
    check(&fault, FaultKind::Tls, &["does not agree on TLS within 2 s", "amqp://"]);
}

#[tokio::test]
async fn a_server_that_hangs_up_is_unreachable() {
    let port = server(b"", true).await;
    let fault = connect(route(&format!("amqp://bench@127.0.0.1:{port}"), &[])).await;
    check(&fault, FaultKind::Unreachable, &["without a reply", "amqps://"]);
    let fault = connect(route(&format!("amqps://bench@127.0.0.1:{port}"), &[])).await;
    check(&fault, FaultKind::Tls, &["amqp://"]);
}

#[tokio::test]
async fn a_service_that_hangs_up_during_the_login_is_not_called_slow() {
    const START: &[u8] = b"\x01\0\0\0\0\0\x1c\0\x0a\0\x0a\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US\xce";
    let port = server(START, true).await;
    // lapin misses such an end now and then.
    for _ in 0..20 {
        let fault = connect(route(&format!("amqp://bench@127.0.0.1:{port}"), &[])).await;
        check(&fault, FaultKind::Unreachable, &["ended the connection during the login of user bench"]);
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_named() {
    for (reply, kind, part) in [
        (
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            FaultKind::Unreachable,
            "does not speak AMQP (it sent \"HTTP/1.1 400",
        ),
        (b"\x15\x03\x03\x00\x02\x02\x46", FaultKind::Tls, "uses TLS"),
        (b"AMQP\x00\x01\x00\x00", FaultKind::Unreachable, "another version of AMQP"),
        (b"\x00\xff\x00\xff\x00\xff\x00\xff", FaultKind::Unreachable, "does not speak AMQP"),
    ] {
        for close in [true, false] {
            let port = server(reply, close).await;
            let fault = connect(route(&format!("amqp://bench@127.0.0.1:{port}"), &[])).await;
            check(&fault, kind, &[part]);
        }
    }
    let port = server(b"AMQP\x00\x00\x09\x01", true).await;
    let fault = connect(route(&format!("amqps://bench@127.0.0.1:{port}"), &[])).await;
    check(&fault, FaultKind::Tls, &["does not speak TLS", "amqp://"]);
}

#[tokio::test]
async fn failed_logins_leave_no_thread_behind() {
    let threads = || {
        std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter(|task| {
                let name = task.as_ref().unwrap().path().join("comm");
                std::fs::read_to_string(name).is_ok_and(|name| name.starts_with("lapin-io-loop"))
            })
            .count()
    };
    let port = server(b"", false).await;
    for _ in 0..3 {
        connect(route(&format!("amqp://bench@127.0.0.1:{port}"), &[])).await;
    }
    for _ in 0..100 {
        // Other tests of this process have such threads too, for a moment each.
        if threads() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{} threads of lapin are left", threads());
}

#[tokio::test]
async fn certificates_that_are_none_are_refused_by_name() {
    let mut with_ca = route("amqps://bench@localhost", &[]);
    with_ca.ca_pem = Some("not a certificate".into());
    check(&connect(with_ca.clone()).await, FaultKind::Tls, &["--ca"]);
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    with_ca.ca_pem = Some(issued.cert.pem());
    with_ca.client_cert = Some((issued.cert.pem(), Secret::new("hunter2")));
    check(&connect(with_ca).await, FaultKind::Tls, &["--key"]);
}

#[tokio::test]
async fn a_route_without_addresses_is_rejected_with_the_setting_to_give() {
    let mut empty = route("amqp://bench@localhost", &[]);
    empty.consumer.clear();
    check(&connect(empty).await, FaultKind::Unreachable, &["--consumer-url"]);
}
