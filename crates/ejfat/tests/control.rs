//! Client and control plane over real sockets, plain and encrypted.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use ejfat::{
    Client, Error, Instance, SelfSigned, Server, Settings, Sync, Trust, Uri,
    messages::{Deregister, Register, Reserve, Senders, State, TablesRequest, Timestamp},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{net::UdpSocket, task::JoinHandle, time::sleep};

const LIMIT: Duration = Duration::from_secs(30);
const TRIES: usize = 600;

/// A control plane that listens, and its address with the first token.
async fn serve(identity: Option<&SelfSigned>) -> (JoinHandle<()>, Uri) {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let data = Uri::parse("ejfat://h:1/?data=127.0.0.1:19522").unwrap().data;
    let settings = Settings {
        token: "root".to_owned(),
        tls: false,
        host: "127.0.0.1".to_owned(),
        port: 0,
        instances: vec![Instance { sync: any, data }],
        seed: 1,
    };
    let server = Server::bind(any, settings, identity).await.unwrap();
    let scheme = if identity.is_some() { "ejfats" } else { "ejfat" };
    let uri = Uri::parse(&format!("{scheme}://root@{}/", server.address().unwrap())).unwrap();
    let serving = tokio::spawn(async { server.serve(std::future::pending()).await.unwrap() });
    (serving, uri)
}

/// Reserves, registers, and waits until the load balancer would pass packets to the receiver.
async fn whole_life(uri: &Uri, trust: &Trust) {
    let root = Client::connect(uri, trust, LIMIT).await.unwrap();
    assert!(root.version().await.unwrap().build.starts_with("streamharness "));
    let reserve = Reserve { name: "run".to_owned(), ..Reserve::default() };
    let lb = root.reserve(reserve).await.unwrap();
    let own = Uri::parse(&lb.ejfat_uri).unwrap();
    assert_eq!(own.tls, uri.tls);
    let holder = Client::connect(&own, trust, LIMIT).await.unwrap();
    holder.add_senders(&lb.lb_id, vec!["127.0.0.1".to_owned()]).await.unwrap();
    let register = Register {
        lb_id: lb.lb_id.clone(),
        name: "worker".to_owned(),
        weight: 1.0,
        ip_address: "127.0.0.1".to_owned(),
        udp_port: 20_000,
        ..Register::default()
    };
    let session = holder.register(register).await.unwrap();
    let worker = holder.with_token(&session.token).unwrap();
    let syncs = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut epochs = 0;
    for _ in 0..TRIES {
        let now_us = u64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap();
        let sync = Sync { source: 1, tick: 1 << 60, hertz: 1, unix_ns: 0 };
        syncs.send_to(&sync.encode(), own.sync[0]).await.unwrap();
        let state = State {
            session_id: session.session_id.clone(),
            lb_id: lb.lb_id.clone(),
            timestamp: Some(Timestamp::of_us(now_us)),
            is_ready: true,
            ..State::default()
        };
        worker.send_state(state).await.unwrap();
        let status = holder.status(&lb.lb_id).await.unwrap();
        let (theirs_us, behind) = (status.timestamp.unwrap().us(), Duration::from_secs(2));
        let clock = |behind: Duration| holder.check_clock(&status, theirs_us - behind.as_micros() as u64);
        assert!(clock(Duration::ZERO).is_ok() && clock(behind).is_ok());
        let late = clock(behind + Duration::from_millis(1)).unwrap_err().to_string();
        assert!(late.contains("2001 ms behind") && late.contains("chrony"), "{late}");
        epochs = status.current_epoch;
        if status.workers[0].slots_assigned == 512 && status.current_predicted_event_number >= 1 << 60 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert!(epochs > 0, "no epoch within {TRIES} tries");
    let tables = root.tables(TablesRequest { balancer: 0, ..TablesRequest::default() }).await.unwrap();
    let read = tables.read().unwrap();
    assert_eq!((read.senders.len(), read.members.len()), (1, 1));
    let again =
        root.tables(TablesRequest { balancer: 0, known: tables.version, ..TablesRequest::default() }).await.unwrap();
    assert!(again.version > tables.version || again.epochs.is_empty());
    let denied = holder.tables(TablesRequest { balancer: 0, ..TablesRequest::default() }).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    let gone = Deregister { lb_id: lb.lb_id.clone(), session_id: session.session_id };
    worker.deregister(gone).await.unwrap();
    assert_eq!(root.overview().await.unwrap().load_balancers[0].name, "run");
    let seen = root.get(&lb.lb_id).await.unwrap();
    let senders = Senders { lb_id: seen.lb_id.clone(), addresses: vec!["127.0.0.1".to_owned()] };
    holder.remove_senders(&senders.lb_id, senders.addresses).await.unwrap();
    holder.free(&lb.lb_id).await.unwrap();
    let error = holder.status(&lb.lb_id).await.unwrap_err();
    assert!(error.to_string().contains("reserve or register again"), "{error}");
    assert!(root.overview().await.unwrap().load_balancers.is_empty());
}

#[tokio::test]
async fn a_run_reserves_registers_and_frees() {
    let (serving, uri) = serve(None).await;
    whole_life(&uri, &Trust::System).await;
    serving.abort();
}

#[tokio::test]
async fn the_same_over_tls() {
    let identity = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
    let (serving, uri) = serve(Some(&identity)).await;
    whole_life(&uri, &Trust::Only(identity.certificate.clone())).await;
    serving.abort();
}

#[tokio::test]
async fn a_control_plane_that_cannot_be_used_is_named_with_the_reason() {
    let identity = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
    let (serving, uri) = serve(Some(&identity)).await;
    let other = SelfSigned::generate(["127.0.0.1".to_owned()]).unwrap();
    let untrusted = Client::connect(&uri, &Trust::Only(other.certificate), LIMIT).await.unwrap_err();
    assert!(matches!(untrusted, Error::Untrusted { .. }), "{untrusted}");
    serving.abort();
    let (serving, plain) = serve(None).await;
    let uri = Uri { tls: true, ..plain.clone() };
    let no_tls = Client::connect(&uri, &Trust::Only(identity.certificate), LIMIT).await.unwrap_err();
    assert!(matches!(no_tls, Error::NoTls { .. }), "{no_tls}");
    let other = Uri { token: Some("other".to_owned()), ..plain.clone() };
    let unknown = Client::connect(&other, &Trust::System, LIMIT).await.unwrap();
    let denied = unknown.version().await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }), "{denied}");
    let tokenless = Client::connect(&Uri { token: None, ..plain.clone() }, &Trust::System, LIMIT).await.unwrap_err();
    assert!(matches!(tokenless, Error::NoToken), "{tokenless}");
    serving.abort();
    let _ = serving.await;
    let nobody = Client::connect(&plain, &Trust::System, LIMIT).await.unwrap_err();
    assert!(matches!(nobody, Error::Unreachable { .. }), "{nobody}");
}
