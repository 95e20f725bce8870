//! Any bytes as packets of EJFAT, as its addresses, as calls of its control plane, and as the replies of one.
//!
//! The first byte chooses; packets are each a byte for the length, then so many bytes; calls have a byte for the call before
//! that.

use ejfat::{
    ControlService, Instance, LbHeader, Limits, Plane, Reassembler, Settings, Sync, Uri,
    messages::{Reservation, Status, Tables, Timestamp},
};
use http::Request;
use http_body_util::Full;
use prost::Message;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::LazyLock,
};
use tokio::runtime::{Builder, Runtime};
use tonic::body::Body;
use tower_service::Service;

const CALLS: [&str; 12] = [
    "loadbalancer.LoadBalancer/ReserveLoadBalancer",
    "loadbalancer.LoadBalancer/GetLoadBalancer",
    "loadbalancer.LoadBalancer/LoadBalancerStatus",
    "loadbalancer.LoadBalancer/FreeLoadBalancer",
    "loadbalancer.LoadBalancer/AddSenders",
    "loadbalancer.LoadBalancer/RemoveSenders",
    "loadbalancer.LoadBalancer/Register",
    "loadbalancer.LoadBalancer/Deregister",
    "loadbalancer.LoadBalancer/SendState",
    "loadbalancer.LoadBalancer/Overview",
    "loadbalancer.LoadBalancer/Version",
    "streamharness.Balancer/Tables",
];
const TOKEN: &str = "token";

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime can be started"));

/// Small, so that the room runs out and keys are forgotten.
const LIMITS: Limits = Limits { timeout_ns: 20, pool_bytes: 1 << 16, remembered: 4 };

pub fn run(data: &[u8]) {
    match data {
        [kind, rest @ ..] if kind % 4 == 2 => RUNTIME.block_on(calls(rest)),
        [kind, rest @ ..] if kind % 4 == 3 => replies(rest),
        [kind, rest @ ..] if kind % 2 == 0 => packets(rest),
        [_, rest @ ..] => address(&String::from_utf8_lossy(rest)),
        [] => {}
    }
}

fn packets(mut rest: &[u8]) {
    let mut reassembler = Reassembler::new(LIMITS);
    let mut now_ns = 0;
    while let [length, more @ ..] = rest {
        let (packet, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        now_ns += 1;
        if let Ok(header) = LbHeader::decode(packet) {
            assert!(header.calendar_slot() < ejfat::SLOTS);
            assert_eq!(LbHeader::decode(&header.encode()), Ok(header));
        }
        if let Ok(sync) = Sync::decode(packet) {
            assert_eq!(Sync::decode(&sync.encode()), Ok(sync));
        }
        if let Some(whole) = reassembler.accept(packet, now_ns) {
            assert!(whole.bytes.len() <= LIMITS.pool_bytes);
            reassembler.recycle(whole.bytes);
        }
        reassembler.expire(now_ns);
    }
    reassembler.expire(u64::MAX);
    let counts = reassembler.counts();
    assert_eq!(counts.ends().iter().map(|(_, count)| count).sum::<u64>(), counts.packets);
    assert_eq!(reassembler.assembling(), 0);
}

/// What is read prints as something that reads the same.
fn address(text: &str) {
    if let Ok(uri) = Uri::parse(text) {
        assert_eq!(Uri::parse(&uri.with_token()).as_ref(), Ok(&uri), "{text}");
        assert_eq!(Uri::parse(&uri.to_string()), Ok(Uri { token: None, ..uri }), "{text}");
    }
}

/// What a control plane replies: the addresses of a reservation, its status, and the tables of a load balancer.
fn replies(data: &[u8]) {
    if let Ok(reservation) = Reservation::decode(data) {
        let complete = reservation.complete(Uri::parse("ejfat://token@h:1/lb/1").expect("it is right"));
        assert_eq!(Uri::parse(&complete.with_token()).as_ref(), Ok(&complete), "{reservation:?}");
    }
    if let Ok(status) = Status::decode(data) {
        let _ = status.timestamp.map(Timestamp::us);
    }
    if let Some(tables) = Tables::decode(data).ok().and_then(|tables| tables.read()) {
        assert_eq!(Tables::from(&tables).read(), Some(tables));
    }
}

/// Calls of one control plane, one after another, and a second after each.
async fn calls(mut rest: &[u8]) {
    let mut service = control_plane();
    let mut now_us = 0;
    while let [call, length, more @ ..] = rest {
        let (message, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        let length = u32::try_from(message.len()).expect("it is at most 255");
        let body = [&[0], &length.to_be_bytes()[..], message].concat();
        let request = Request::post(format!("/{}", CALLS[usize::from(*call) % CALLS.len()]))
            .header("authorization", format!("Bearer {TOKEN}"))
            .body(Body::new(Full::from(body)));
        let _ = service.call(request.expect("it is well formed")).await.expect("it cannot fail");
        service.with(|plane, system_us| {
            now_us = system_us.max(now_us) + 1_000_000;
            plane.tick(now_us);
        });
    }
}

fn control_plane() -> ControlService {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let data = Uri::parse("ejfat://h:1/?data=127.0.0.1").expect("it is right").data;
    ControlService::new(Plane::new(Settings {
        token: TOKEN.to_owned(),
        tls: false,
        host: loopback.to_string(),
        port: 1,
        instances: vec![Instance { sync: SocketAddr::new(loopback, 2), data }],
        seed: 1,
    }))
}
