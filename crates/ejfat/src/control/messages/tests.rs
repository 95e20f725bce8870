//! Numbers and types on the wire, as bytes.

use super::*;
use crate::uri::Uri;
use prost::Message;

#[track_caller]
fn check(message: impl Message, bytes: &[u8]) {
    assert_eq!(message.encode_to_vec(), bytes);
}

#[test]
fn each_field_of_a_request_has_its_number_and_type() {
    let until = Some(Timestamp { seconds: 5, nanos: 6 });
    let reserve = Reserve {
        name: "n".into(),
        until,
        sender_addresses: vec!["a".into(), "b".into()],
        ip_family: 1,
        strategy: "static".into(),
    };
    check(reserve, b"\x12\x01n\x22\x04\x08\x05\x10\x06\x2a\x01a\x2a\x01b\x30\x01\x52\x06static");
    check(OfReservation { lb_id: "7".into() }, b"\x12\x017");
    check(Senders { lb_id: "7".into(), addresses: vec!["a".into()] }, b"\x12\x017\x1a\x01a");
    let register = Register {
        lb_id: "7".into(),
        name: "n".into(),
        weight: 1.0,
        ip_address: "a".into(),
        udp_port: 300,
        port_range: 2,
        min_factor: 0.5,
        max_factor: 2.0,
        keep_lb_header: true,
        slot_demands: vec![SlotRange { index: -1, length: 3 }],
    };
    check(
        register,
        b"\x12\x017\x1a\x01n\x25\0\0\x80\x3f\x2a\x01a\x30\xac\x02\x38\x02\x45\0\0\0\x3f\x4d\0\0\0\x40\x50\x01\
          \x62\x0d\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x10\x03",
    );
    check(Deregister { lb_id: "7".into(), session_id: "8".into() }, b"\x12\x017\x1a\x018");
    let state = State {
        session_id: "8".into(),
        lb_id: "7".into(),
        timestamp: until,
        fill_percent: 0.5,
        control_signal: 1.0,
        is_ready: true,
        total_events_recv: 1,
        total_events_reassembled: 2,
        total_events_reassembly_err: 3,
        total_events_dequeued: 4,
        total_event_enqueue_err: 5,
        total_bytes_recv: 6,
        total_packets_recv: 7,
    };
    check(
        state,
        b"\x12\x018\x1a\x017\x22\x04\x08\x05\x10\x06\x2d\0\0\0\x3f\x35\0\0\x80\x3f\x38\x01\
          \x40\x01\x48\x02\x50\x03\x58\x04\x60\x05\x68\x06\x70\x07",
    );
}

#[test]
fn each_field_of_a_reply_has_its_number_and_type() {
    let reservation = Reservation {
        token: "t".into(),
        lb_id: "7".into(),
        sync_ipv4_address: "a".into(),
        sync_udp_port: 1,
        data_ipv4_address: "b".into(),
        data_ipv6_address: "c".into(),
        fpga_lb_id: 2,
        sync_ipv6_address: "d".into(),
        data_min_port: 3,
        data_max_port: 4,
        strategy: "s".into(),
        ejfat_uri: "u".into(),
    };
    check(
        reservation,
        b"\x0a\x01t\x12\x017\x1a\x01a\x20\x01\x2a\x01b\x32\x01c\x38\x02\x42\x01d\x48\x03\x50\x04\x5a\x01s\x62\x01u",
    );
    check(Registered { token: "t".into(), session_id: "8".into() }, b"\x0a\x01t\x12\x018");
    let worker = WorkerStatus { slots_assigned: 9, session_id: 3, total_packets_recv: 7, ..WorkerStatus::default() };
    check(worker.clone(), b"\x20\x09\x90\x01\x07\xb0\x01\x03");
    let status = Status {
        current_epoch: 1,
        current_predicted_event_number: 2,
        workers: vec![worker],
        sender_addresses: vec!["a".into()],
        slot_resolution: 512,
        ..Status::default()
    };
    check(status, b"\x10\x01\x18\x02\x22\x08\x20\x09\x90\x01\x07\xb0\x01\x03\x2a\x01a\x58\x80\x04");
    let version = VersionReply { commit: "c".into(), build: "b".into(), compat_tag: "t".into() };
    check(version, b"\x0a\x01c\x12\x01b\x1a\x01t");
    let entry = OverviewEntry { name: "n".into(), reservation: None, status: Some(Status::default()) };
    check(OverviewReply { load_balancers: vec![entry] }, b"\x0a\x05\x0a\x01n\x22\x00");
}

#[test]
fn times_are_exact_to_the_microsecond() {
    let us = 1_790_000_000_123_456;
    assert_eq!(Timestamp::of_us(us).us(), us);
    assert_eq!(Timestamp { seconds: -5, nanos: -7 }.us(), 0);
    assert_eq!(Timestamp { seconds: i64::MAX, nanos: i32::MAX }.us(), u64::MAX);
}

#[test]
fn tables_pass_as_they_are_and_those_without_meaning_are_rejected() {
    let epoch = EpochTable { first_tick: 5, calendar: vec![7; 512] };
    let member = MemberTable { id: 7, ip: vec![10, 0, 0, 1], port: 9, port_bits: 1, keep_lb_header: true, left: false };
    let tables =
        Tables { version: 3, senders: vec![vec![0; 16]], epochs: vec![epoch.clone()], members: vec![member.clone()] };
    let read = tables.read().unwrap();
    assert_eq!(Tables::from(&read), tables);
    let short = EpochTable { calendar: vec![7; 511], ..epoch.clone() };
    for wrong in [
        Tables { epochs: vec![short], ..tables.clone() },
        Tables { epochs: vec![epoch.clone(), epoch], ..tables.clone() },
        Tables { senders: vec![vec![1; 5]], ..tables.clone() },
        Tables { members: vec![MemberTable { port_bits: 15, ..member.clone() }], ..tables.clone() },
        Tables { members: vec![MemberTable { id: 70_000, ..member }], ..tables },
    ] {
        assert_eq!(wrong.read(), None, "{wrong:?}");
    }
}

#[test]
fn an_address_of_a_reservation_gets_what_it_lacks_and_keeps_what_it_has() {
    let reservation = Reservation {
        sync_ipv4_address: "10.0.0.1".to_owned(),
        sync_udp_port: 19531,
        data_ipv4_address: "10.0.0.2".to_owned(),
        data_ipv6_address: "fd00::2".to_owned(),
        data_min_port: 16384,
        data_max_port: 32767,
        ..Reservation::default()
    };
    let complete = |text: &str| reservation.complete(Uri::parse(text).unwrap()).to_string();
    let all = "sync=10.0.0.1:19531&data=10.0.0.2:16384-32767&data=[fd00::2]:16384-32767";
    assert_eq!(complete("ejfat://h:1/lb/7"), format!("ejfat://h:1/lb/7?{all}"));
    let own = "ejfat://h:1/lb/7?sync=10.9.9.9:1&data=10.9.9.8:2";
    assert_eq!(complete(own), own);
    let without_ports = Reservation { sync_udp_port: 0, data_max_port: 70_000, ..reservation };
    assert_eq!(without_ports.complete(Uri::parse("ejfat://h:1/lb/7").unwrap()).to_string(), "ejfat://h:1/lb/7");
}
