//! Twelve epochs under a clock of the test: receivers join, leave and change weight while events are under way.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use ejfat::{
    Dropped, Instance, LbHeader, Plane, Route, Settings, Spread, Sync, Tables, Uri, Version,
    messages::{Deregister, Register, Registered, Reservation, Reserve, Senders, State, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

const START: u64 = 1_790_000_000_000_000;
const MS: u64 = 1000;
/// When the segments of an event pass the load balancer, after the time of its tick.
const SEGMENTS_MS: [u64; 4] = [0, 40, 120, 350];
const EVENT_EVERY_MS: u64 = 2;
const END_MS: u64 = 14_000;

struct World {
    plane: Plane,
    lb: Reservation,
    sender: IpAddr,
    /// By name: the session, whether it reports to be ready, and its signal.
    workers: BTreeMap<&'static str, (Registered, bool, f32)>,
}

impl World {
    fn new() -> Self {
        let data = Uri::parse("ejfat://h:1/?data=10.0.0.9").unwrap().data;
        let instance = Instance { sync: "10.0.0.9:19531".parse().unwrap(), data };
        let mut plane = Plane::new(Settings {
            token: "root".to_owned(),
            tls: false,
            host: "h".to_owned(),
            port: 1,
            instances: vec![instance],
            seed: 7,
        });
        let request = Reserve { name: "run".to_owned(), ..Reserve::default() };
        let lb = plane.reserve("root", &request, START).unwrap();
        let sender: IpAddr = "10.0.0.1".parse().unwrap();
        let senders = Senders { lb_id: lb.lb_id.clone(), addresses: vec![sender.to_string()] };
        plane.add_senders(&lb.token, &senders).unwrap();
        Self { plane, lb, sender, workers: BTreeMap::new() }
    }

    fn join(&mut self, name: &'static str, now_us: u64) {
        let request = Register {
            lb_id: self.lb.lb_id.clone(),
            name: name.to_owned(),
            weight: 1.0,
            ip_address: format!("10.0.1.{}", name.as_bytes()[0]),
            udp_port: 20_000,
            port_range: 2,
            ..Register::default()
        };
        let session = self.plane.register(&self.lb.token, request, now_us).unwrap();
        self.workers.insert(name, (session, true, 0.0));
    }

    fn leave(&mut self, name: &str) {
        let (session, ..) = self.workers.remove(name).unwrap();
        let request = Deregister { lb_id: self.lb.lb_id.clone(), session_id: session.session_id };
        self.plane.deregister(&session.token, &request).unwrap();
    }

    /// States, a synchronization and a tick, and what to balance by from then on.
    fn second(&mut self, now_us: u64) -> Arc<Tables> {
        for (session, is_ready, control_signal) in self.workers.values() {
            let state = State {
                session_id: session.session_id.clone(),
                lb_id: self.lb.lb_id.clone(),
                timestamp: Some(Timestamp::of_us(now_us)),
                is_ready: *is_ready,
                control_signal: *control_signal,
                ..State::default()
            };
            self.plane.send_state(&session.token, state).unwrap();
        }
        self.plane.sync(0, &Sync { source: 1, tick: now_us, hertz: 1_000_000, unix_ns: now_us * 1000 }, now_us);
        self.plane.tick(now_us);
        self.plane.tables(0).unwrap()
    }

    fn happens(&mut self, second: u64, now_us: u64, in_order: bool) {
        match second {
            0 => ["a", "b"].iter().for_each(|name| self.join(name, now_us)),
            2 => self.join("c", now_us),
            3 => self.workers.get_mut("a").unwrap().2 = 200.0,
            5 => self.workers.get_mut("b").unwrap().1 = !in_order,
            6 => self.join("d", now_us),
            7 => self.workers.get_mut("a").unwrap().2 = -300.0,
            9 => self.leave("b"),
            10 => self.join("e", now_us),
            _ => {}
        }
    }
}

/// Where the segments of each event went, and how many epochs there were.
fn stream(version: Version, in_order: bool) -> (BTreeMap<u64, BTreeSet<Target>>, u64) {
    let mut world = World::new();
    let spread = Spread { version, producer: 3 };
    let mut under_way: BTreeMap<u64, Vec<(u64, [u8; LbHeader::BYTES])>> = BTreeMap::new();
    let mut went: BTreeMap<u64, BTreeSet<_>> = BTreeMap::new();
    let mut tables = Arc::default();
    for ms in 0..=END_MS {
        let now_us = START + ms * MS;
        if ms % 1000 == 0 {
            world.happens(ms / 1000, now_us, in_order);
            tables = world.second(now_us);
        }
        if ms % EVENT_EVERY_MS == 0 && ms + SEGMENTS_MS[3] <= END_MS {
            let sequence = ms / EVENT_EVERY_MS;
            // A clock that is ahead or behind by up to 100 ms.
            let (tick, slot, entropy) = spread.select(sequence, now_us + sequence % 7 * 33 * MS - 100 * MS);
            let packet = LbHeader { version, next: 1, slot, entropy, tick }.encode();
            SEGMENTS_MS.iter().for_each(|after| under_way.entry(ms + after).or_default().push((sequence, packet)));
        }
        for (sequence, packet) in under_way.remove(&ms).unwrap_or_default() {
            let route = tables.route(world.sender, &packet);
            went.entry(sequence).or_default().insert(route.map(|route: Route| route.to).map_err(Dropped::name));
        }
    }
    let status = world.plane.status("root", &world.lb.lb_id, START).unwrap();
    (went, status.current_epoch)
}

/// Where a packet went, or why it went nowhere.
type Target = Result<std::net::SocketAddr, &'static str>;

#[test]
fn no_event_is_split_and_none_is_lost_by_a_receiver_that_leaves_in_order() {
    for version in [Version::V2, Version::V3] {
        let (went, epochs) = stream(version, true);
        assert!(epochs >= 12, "{epochs} epochs");
        assert_eq!(went.len() as u64, (END_MS - SEGMENTS_MS[3]) / EVENT_EVERY_MS + 1);
        for (sequence, targets) in &went {
            assert_eq!(targets.len(), 1, "event {sequence} was split: {targets:?}");
            assert!(targets.first().unwrap().is_ok(), "event {sequence} was lost: {targets:?}");
        }
        let hosts: BTreeSet<IpAddr> = went.values().flatten().flatten().map(|to| to.ip()).collect();
        let ports: BTreeSet<u16> = went.values().flatten().flatten().map(|to| to.port()).collect();
        assert_eq!((hosts.len(), ports.len()), (5, 4), "all receivers and all their ports had events");
    }
}

#[test]
fn a_receiver_that_leaves_at_once_loses_events_and_the_reason_is_counted() {
    let (went, _) = stream(Version::V3, false);
    let lost: Vec<_> = went.values().filter(|targets| targets.iter().any(Result::is_err)).collect();
    assert!(!lost.is_empty());
    let reasons: BTreeSet<_> = lost.iter().flat_map(|targets| targets.iter().filter_map(|to| to.err())).collect();
    assert_eq!(reasons, BTreeSet::from(["member_left"]));
}
