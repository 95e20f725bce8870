//! A control plane under a clock of the test: permissions, epochs, silence and leaving.

use super::*;
use crate::control::messages::{Deregister, Register, Registered, Reservation, Reserve, Senders, State, Timestamp};
use std::net::{IpAddr, Ipv4Addr};
use tonic::Code;

const ROOT: &str = "root";
const START: u64 = 1_790_000_000_000_000;
const SECOND: u64 = 1_000_000;

fn settings() -> Settings {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let instance = |port| Instance {
        sync: SocketAddr::new(loopback, port),
        data: vec![DataAddress { ip: loopback, ports: 19_522..=19_522 }],
    };
    Settings {
        token: ROOT.to_owned(),
        tls: false,
        host: "127.0.0.1".to_owned(),
        port: 18_008,
        instances: vec![instance(19_531), instance(19_532)],
        seed: 1,
    }
}

fn reserve(plane: &mut Plane) -> Reservation {
    let request = Reserve { name: "run".to_owned(), ..Reserve::default() };
    plane.reserve(ROOT, &request, START).unwrap()
}

fn register(plane: &mut Plane, lb: &Reservation, name: &str, weight: f32, now_us: u64) -> Registered {
    let request = Register {
        lb_id: lb.lb_id.clone(),
        name: name.to_owned(),
        weight,
        ip_address: "127.0.0.1".to_owned(),
        udp_port: 20_000,
        ..Register::default()
    };
    plane.register(&lb.token, request, now_us).unwrap()
}

fn state(lb: &Reservation, worker: &Registered, now_us: u64, is_ready: bool, control_signal: f32) -> State {
    State {
        session_id: worker.session_id.clone(),
        lb_id: lb.lb_id.clone(),
        timestamp: Some(Timestamp::of_us(now_us)),
        control_signal,
        is_ready,
        ..State::default()
    }
}

fn ready(plane: &mut Plane, lb: &Reservation, worker: &Registered, now_us: u64) {
    plane.send_state(&worker.token, state(lb, worker, now_us, true, 0.0)).unwrap();
}

fn slots(plane: &Plane, lb: &Reservation, now_us: u64) -> Vec<u32> {
    let status = plane.status(&lb.token, &lb.lb_id, now_us).unwrap();
    status.workers.iter().map(|worker| worker.slots_assigned).collect()
}

#[test]
fn a_reservation_is_described_by_an_address_that_its_holder_can_use() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let uri = crate::Uri::parse(&lb.ejfat_uri).unwrap();
    assert_eq!((uri.token.as_ref(), uri.lb_id.as_ref()), (Some(&lb.token), Some(&lb.lb_id)));
    assert_eq!((uri.sync[0].port(), uri.data[0].ports.clone(), uri.port), (19_531, 19_522..=19_522, 18_008));
    let seen = plane.get(&lb.token, &lb.lb_id).unwrap();
    assert_eq!((seen.token.as_str(), seen.ejfat_uri.as_str(), &seen.lb_id), ("", "", &lb.lb_id));
}

#[test]
fn what_is_not_permitted_has_the_protocols_code() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let worker = register(&mut plane, &lb, "a", 1.0, START);
    let request = Reserve { name: "run".to_owned(), ..Reserve::default() };
    let code = |result: Result<(), Status>| result.unwrap_err().code();
    assert_eq!(code(plane.reserve("unknown", &request, START).map(drop)), Code::PermissionDenied);
    assert_eq!(code(plane.reserve(&lb.token, &request, START).map(drop)), Code::PermissionDenied, "too weak");
    assert_eq!(code(plane.free(&worker.token, &lb.lb_id)), Code::PermissionDenied, "a session is not its reservation");
    assert_eq!(code(plane.free(ROOT, "x")), Code::InvalidArgument);
    assert_eq!(code(plane.free(ROOT, "99")), Code::Internal);
    let past = Reserve { until: Some(Timestamp::of_us(START)), ..request.clone() };
    assert_eq!(code(plane.reserve(ROOT, &past, START).map(drop)), Code::InvalidArgument);
    assert_eq!(
        code(plane.reserve(ROOT, &Reserve { name: "a..b".to_owned(), ..request.clone() }, START).map(drop)),
        Code::InvalidArgument
    );
    reserve(&mut plane);
    assert_eq!(code(plane.reserve(ROOT, &request, START).map(drop)), Code::ResourceExhausted);
    let wild = State { control_signal: f32::NAN, ..state(&lb, &worker, START, true, 0.0) };
    assert_eq!(code(plane.send_state(&worker.token, wild)), Code::InvalidArgument);
}

#[test]
fn a_freed_or_expired_reservation_ends_its_tokens_and_passes_nothing() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let worker = register(&mut plane, &lb, "a", 1.0, START);
    let senders = Senders { lb_id: lb.lb_id.clone(), addresses: vec!["127.0.0.1".to_owned()] };
    plane.add_senders(&lb.token, &senders).unwrap();
    ready(&mut plane, &lb, &worker, START);
    plane.tick(START);
    assert!(!plane.tables(0).unwrap().senders.is_empty());
    plane.free(&lb.token, &lb.lb_id).unwrap();
    let tables = plane.tables(0).unwrap();
    assert!(tables.senders.is_empty() && tables.epochs.is_empty() && tables.version > 1);
    for token in [&lb.token, &worker.token] {
        assert_eq!(plane.version(token).unwrap_err().code(), Code::PermissionDenied);
    }
    let until = Some(Timestamp::of_us(START + SECOND));
    let short = plane.reserve(ROOT, &Reserve { name: "b".to_owned(), until, ..Reserve::default() }, START).unwrap();
    assert_ne!(short.lb_id, lb.lb_id, "each reservation has its own number");
    plane.tick(START + SECOND);
    assert_eq!(plane.version(&short.token).unwrap_err().code(), Code::PermissionDenied);
    assert!(plane.overview(ROOT, START).unwrap().load_balancers.is_empty());
}

#[test]
fn senders_are_let_in_and_out_at_the_next_tick() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let one = Senders { lb_id: lb.lb_id.clone(), addresses: vec!["10.0.0.1".to_owned()] };
    plane.add_senders(&lb.token, &one).unwrap();
    assert!(plane.tables(0).unwrap().senders.is_empty());
    plane.tick(START);
    assert_eq!(plane.tables(0).unwrap().senders.len(), 1);
    let version = plane.tables(0).unwrap().version;
    plane.tick(START + SECOND);
    assert_eq!(plane.tables(0).unwrap().version, version, "nothing has changed");
    plane.remove_senders(&lb.token, &one).unwrap();
    plane.tick(START + 2 * SECOND);
    assert!(plane.tables(0).unwrap().senders.is_empty());
}

#[test]
fn an_epoch_a_second_begins_ahead_of_the_senders_ticks_and_four_are_live() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let worker = register(&mut plane, &lb, "a", 1.0, START);
    plane.tick(START);
    assert!(plane.tables(0).unwrap().epochs.is_empty(), "nobody has reported to be ready");
    for second in 0..6 {
        let now_us = START + second * SECOND;
        ready(&mut plane, &lb, &worker, now_us);
        let sync = Sync { source: 1, tick: 1000 * second, hertz: 1000, unix_ns: 0 };
        plane.sync(0, &sync, now_us);
        plane.tick(now_us);
        let tables = plane.tables(0).unwrap();
        let first = tables.epochs.last().unwrap();
        assert_eq!(first.first_tick, 1000 * second + 800);
        assert_eq!(tables.epochs.len() as u64, (second + 1).min(4));
    }
    assert_eq!(plane.status(ROOT, &lb.lb_id, START + 6 * SECOND).unwrap().current_epoch, 6);
}

#[test]
fn signals_move_slots_step_by_step() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let workers = ["a", "b"].map(|name| register(&mut plane, &lb, name, 1.0, START));
    let mut first = Vec::new();
    for second in 0..6 {
        let now_us = START + second * SECOND;
        let signal = if second == 0 { 0.0 } else { 100.0 };
        plane.send_state(&workers[0].token, state(&lb, &workers[0], now_us, true, signal)).unwrap();
        ready(&mut plane, &lb, &workers[1], now_us);
        plane.tick(now_us);
        first.push(slots(&plane, &lb, now_us)[0]);
    }
    // As ESnet's control plane gives them.
    assert_eq!(first, [256, 268, 280, 291, 301, 311]);
}

#[test]
fn a_silent_receiver_loses_its_slots_then_its_session() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let workers = ["a", "b"].map(|name| register(&mut plane, &lb, name, 1.0, START));
    let at = |plane: &mut Plane, us: u64| {
        ready(plane, &lb, &workers[0], START + us);
        plane.tick(START + us);
        slots(plane, &lb, START + us)
    };
    ready(&mut plane, &lb, &workers[1], START);
    assert_eq!(at(&mut plane, 0), [256, 256]);
    assert_eq!(at(&mut plane, 2 * SECOND), [256, 256]);
    assert_eq!(at(&mut plane, 2 * SECOND + 1), [512, 0]);
    ready(&mut plane, &lb, &workers[1], START + 5 * SECOND);
    assert_eq!(at(&mut plane, 6 * SECOND), [256, 256], "it is ready again");
    assert_eq!(at(&mut plane, 65 * SECOND), [512, 0]);
    assert_eq!(at(&mut plane, 65 * SECOND + 1), [512], "it is removed");
    let late = plane.send_state(&workers[1].token, state(&lb, &workers[1], START + 66 * SECOND, true, 0.0));
    assert_eq!(late.unwrap_err().code(), Code::PermissionDenied);
}

#[test]
fn a_state_without_a_time_is_from_1970_and_a_slow_clock_is_never_ready() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let worker = register(&mut plane, &lb, "a", 1.0, START);
    plane.send_state(&worker.token, State { timestamp: None, ..state(&lb, &worker, START, true, 0.0) }).unwrap();
    plane.tick(START + 5 * SECOND);
    assert_eq!(slots(&plane, &lb, START), [0]);
    plane.tick(START + 5 * SECOND + 1);
    assert!(slots(&plane, &lb, START).is_empty());
}

#[test]
fn a_receiver_that_left_is_named_as_such_while_a_calendar_names_it() {
    let mut plane = Plane::new(settings());
    let lb = reserve(&mut plane);
    let workers = ["a", "b"].map(|name| register(&mut plane, &lb, name, 1.0, START));
    workers.iter().for_each(|worker| ready(&mut plane, &lb, worker, START));
    plane.tick(START);
    let request = Deregister { lb_id: lb.lb_id.clone(), session_id: workers[1].session_id.clone() };
    plane.deregister(&workers[1].token, &request).unwrap();
    let left = |plane: &Plane| plane.tables(0).unwrap().members.values().filter(|member| member.left).count();
    assert_eq!(left(&plane), 0);
    for second in 1..5 {
        assert_eq!(left(&plane), usize::from(second > 1));
        ready(&mut plane, &lb, &workers[0], START + second * SECOND);
        plane.tick(START + second * SECOND);
    }
    assert_eq!(left(&plane), 0, "four epochs later no calendar names it");
}
