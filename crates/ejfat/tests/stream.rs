//! Events over real UDP: from a sender to a receiver, and to two of them through the load balancer.
//!
//! The kernel may drop packets of a test too, so each says what must hold whatever it dropped.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use ejfat::{
    Arrival, Balancing, Client, Dropped, Instance, LbHeader, Limits, Pacing, Receiver, ReceiverOptions, Sender,
    SenderOptions, Server, Settings, Syncing, Trust, Uri, Version, follow,
    messages::{Register, Registered, Reservation, Reserve, State, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    ops::Deref,
    sync::mpsc,
    time::{Duration, UNIX_EPOCH},
};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(30);
const TRIES: u64 = 200;
const ENVELOPE: [u8; 33] = [9; 33];

/// A receiver and the queue of its events.
struct Receiving {
    receiver: Receiver,
    queue: mpsc::Receiver<Arrival>,
}

impl Receiving {
    fn next(&self, limit: Duration) -> Option<Arrival> {
        self.queue.recv_timeout(limit).ok()
    }
}

impl Deref for Receiving {
    type Target = Receiver;

    fn deref(&self) -> &Receiver {
        &self.receiver
    }
}

fn receiver(port_bits: u8, lb_header: bool) -> Receiving {
    let (whole, queue) = mpsc::sync_channel(1000);
    let options = ReceiverOptions {
        ip: LOOPBACK,
        first_port: 0,
        port_bits,
        buffer_bytes: 4 << 20,
        limits: Limits::default(),
        lb_header,
    };
    let receiver = Receiver::start(&options, move |arrival| whole.try_send(arrival).is_ok()).unwrap();
    Receiving { receiver, queue }
}

fn sender(to: SocketAddr) -> SenderOptions {
    SenderOptions {
        to,
        sockets: 2,
        mtu: 1500,
        version: Version::V3,
        data_id: 7,
        buffer_bytes: 1 << 20,
        pacing: Pacing::None,
        offload: false,
    }
}

fn now_us() -> u64 {
    u64::try_from(UNIX_EPOCH.elapsed().unwrap().as_micros()).unwrap()
}

fn body(sequence: u64, length: usize) -> Vec<u8> {
    (0..length as u64).map(|at| (at * 31 + sequence * 7 + at / 251) as u8).collect()
}

#[track_caller]
fn is_exact(arrival: &Arrival, length: usize) {
    let whole = &arrival.whole;
    assert_eq!((whole.key.data_id, &whole.bytes[..33]), (7, &ENVELOPE[..]));
    assert!(whole.bytes[33..] == body(whole.key.number, length), "event {} has other bytes", whole.key.number);
}

/// Sends the event again, under a new number, until one of its copies has arrived.
fn arrives(sender: &mut Sender, receiver: &Receiving, sequence: &mut u64, length: usize) {
    for _ in 0..TRIES {
        *sequence += 1;
        let sent = sender.send(*sequence, now_us(), &ENVELOPE, &body(*sequence, length)).unwrap();
        assert_eq!(sent.packets + sent.failed, (length as u64 + 33).div_ceil(1436), "every packet is counted");
        if let Some(arrival) = receiver.next(Duration::from_millis(500)) {
            return is_exact(&arrival, length);
        }
    }
    panic!("no event of {length} bytes arrived: {:?}", receiver.counts());
}

/// Waits until all packets that were sent are accounted for.
fn accounted(packets: u64, receiver: &Receiver) {
    for _ in 0..TRIES {
        let counts = receiver.counts();
        let ends: u64 = counts.packets.ends().iter().map(|(_, count)| count).sum();
        assert_eq!(ends, counts.packets.packets, "{counts:?}");
        if counts.packets.packets + counts.unreadable + counts.kernel_drops.unwrap() == packets {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{packets} packets were sent: {:?}", receiver.counts());
}

#[test]
fn events_of_all_sizes_arrive_exact_and_every_packet_is_accounted_for() {
    for (version, offload) in [(Version::V3, false), (Version::V2, true)] {
        let receiver = receiver(2, true);
        let mut sender = Sender::open(&SenderOptions { version, offload, ..sender(receiver.address()) }).unwrap();
        let mut sequence = 0;
        // The last one has more segments than a system call takes.
        for length in [0, 1, 1403, 1404, 16_000, 200_000, 2 << 20] {
            arrives(&mut sender, &receiver, &mut sequence, length);
        }
        accounted(sender.sent().packets, &receiver);
    }
}

#[test]
fn paced_events_arrive_by_packet_and_by_event() {
    for pacing in [Pacing::Packet(2_000_000_000), Pacing::Event(2_000_000_000)] {
        let receiver = receiver(0, true);
        let mut sender = Sender::open(&SenderOptions { pacing, ..sender(receiver.address()) }).unwrap();
        arrives(&mut sender, &receiver, &mut 0, 100_000);
        accounted(sender.sent().packets, &receiver);
    }
}

#[test]
fn packets_of_others_are_counted_and_nothing_else() {
    let receiver = receiver(0, true);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let header = LbHeader { version: Version::V3, next: 1, slot: 0, entropy: 1, tick: 0 }.encode();
    let forged: [&[u8]; 4] = [b"", b"LB", &header, &[0; 9300]];
    for packet in forged {
        socket.send_to(packet, receiver.address()).unwrap();
    }
    accounted(4, &receiver);
    let counts = receiver.counts();
    assert_eq!(counts.packets.bad_header + counts.unreadable + counts.kernel_drops.unwrap(), 4);
}

#[test]
fn a_sender_without_a_receiver_is_told_and_ends() {
    let to = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut sender = Sender::open(&sender(to)).unwrap();
    for sequence in 0..20 {
        sender.send(sequence, 0, &ENVELOPE, &body(sequence, 20_000)).unwrap();
    }
    assert!(sender.sent().refused > 0, "{:?}", sender.sent());
}

struct Worker {
    receiver: Receiving,
    session: Registered,
    client: Client,
}

async fn register(client: &Client, lb: &Reservation, name: &str) -> Worker {
    let receiver = receiver(1, false);
    let request = Register {
        lb_id: lb.lb_id.clone(),
        name: name.to_owned(),
        weight: 1.0,
        ip_address: LOOPBACK.to_string(),
        udp_port: u32::from(receiver.address().port()),
        port_range: 1,
        ..Register::default()
    };
    let session = client.register(request).await.unwrap();
    let client = client.with_token(&session.token).unwrap();
    Worker { receiver, session, client }
}

async fn report(worker: &Worker, lb: &Reservation) {
    let state = State {
        session_id: worker.session.session_id.clone(),
        lb_id: lb.lb_id.clone(),
        timestamp: Some(Timestamp::of_us(now_us())),
        is_ready: true,
        ..State::default()
    };
    worker.client.send_state(state).await.unwrap();
}

#[tokio::test]
async fn two_receivers_share_the_events_of_a_sender_and_the_load_balancer_counts_every_packet() {
    let any = SocketAddr::new(LOOPBACK, 0);
    let balancing = Balancing::start(&[any], 2, 4 << 20).unwrap();
    let to = balancing.addresses()[0];
    let data = Uri::parse(&format!("ejfat://h:1/?data={to}")).unwrap().data;
    let instances = vec![Instance { sync: any, data }];
    let settings =
        Settings { token: "root".to_owned(), tls: false, host: "127.0.0.1".to_owned(), port: 0, instances, seed: 1 };
    let server = Server::bind(any, settings, None).await.unwrap();
    let uri = Uri::parse(&format!("ejfat://root@{}/", server.address().unwrap())).unwrap();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let root = Client::connect(&uri, &Trust::System, LIMIT).await.unwrap();
    let sender_addresses = vec![LOOPBACK.to_string()];
    let reserve = Reserve { name: "run".to_owned(), sender_addresses, ..Reserve::default() };
    let lb = root.reserve(reserve).await.unwrap();
    let own = Uri::parse(&lb.ejfat_uri).unwrap();
    let holder = Client::connect(&own, &Trust::System, LIMIT).await.unwrap();
    let workers = [register(&holder, &lb, "a").await, register(&holder, &lb, "b").await];
    let syncing = Syncing::start(own.sync[0], 1, Duration::from_millis(300)).unwrap();
    let mut sender = Sender::open(&sender(SocketAddr::new(own.data[0].ip, *own.data[0].ports.start()))).unwrap();
    let mut arrived: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    let stream = async {
        for sequence in 0..40 * TRIES {
            if sequence % 20 == 0 {
                tokio::join!(report(&workers[0], &lb), report(&workers[1], &lb));
            }
            sender.send(sequence, now_us(), &ENVELOPE, &body(sequence, 5000)).unwrap();
            for (number, worker) in workers.iter().enumerate() {
                while let Some(arrival) = worker.receiver.next(Duration::ZERO) {
                    is_exact(&arrival, 5000);
                    let new = arrived.entry(number).or_default().insert(arrival.whole.key.number);
                    assert!(new, "event {} arrived twice", arrival.whole.key.number);
                }
            }
            if arrived.len() == 2 && arrived.values().all(|events| events.len() >= 20) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("after all tries: {arrived:?}, {:?}", balancing.counts());
    };
    tokio::select! {
        failed = follow(&root, 0, &balancing, || (), |error| panic!("{error}")) => failed.unwrap(),
        () = stream => {}
    }
    let both = arrived[&0].intersection(&arrived[&1]).count();
    assert_eq!(both, 0, "no event goes to two receivers");
    drop(syncing);
    // The load balancer counts a batch once it has sent it, so a receiver may be ahead of it for a moment.
    let settled = async {
        loop {
            let reached: u64 = workers.iter().map(|worker| worker.receiver.counts().packets.packets).sum();
            let counts = balancing.counts();
            let dropped: u64 = Dropped::ALL.iter().map(|reason| counts.of(*reason)).sum();
            if counts.received == counts.passed + dropped && (1..=counts.passed).contains(&reached) {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let counts = tokio::time::timeout(LIMIT, settled).await;
    let counts = counts.unwrap_or_else(|_| panic!("they do not add up: {:?}", balancing.counts()));
    assert!(counts.received <= sender.sent().packets);
    serving.abort();
}
