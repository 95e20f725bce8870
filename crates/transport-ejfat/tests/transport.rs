//! The port over real UDP: directly, through a load balancer, and as the engine uses it.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use ejfat::{
    Balancing, Client, Instance, Limits, Server, Settings as ControlSettings, Trust, Uri, Version, follow,
    messages::Reserve,
};
use engine::{
    AllowedCores, Observer, Place,
    clock::Clock,
    double::{PlainPayloads, ThreadComm},
    envelope::Envelope,
    ports::{FaultKind, Outcome, Outgoing, Publisher, ReplyTo, Role, Subscriber, Transport, Worker},
};
use profile::{Layer, Origin, Plan, Source, Target, combine};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use tokio::time::timeout;
use transport_ejfat::{EjfatPublisher, EjfatSubscriber, EjfatTransport, Route, Settings};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LIMIT: Duration = Duration::from_secs(30);
const TRIES: u64 = 600;

fn settings(route: Route) -> Settings {
    Settings {
        route,
        back: None,
        mtu: 1500,
        version: Version::V3,
        sockets: 2,
        port_bits: 1,
        buffer_bytes: 4 << 20,
        limits: Limits::default(),
        queue: 1000,
        sync_period: Duration::from_millis(300),
        state_period: Duration::from_millis(100),
        limit: LIMIT,
    }
}

fn plan() -> Plan {
    let text = "messages = 500\nproducers = 1\nconsumers = 1\n[load]\nrate = '500/s'\n[service]\nconfirms = 'none'\nacks = 'auto'";
    let layer = Layer::parse(Origin::CommandLine, text).unwrap();
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    Plan::resolve(&profile, 1, 7).unwrap()
}

/// A consumer's address whose two ports are most likely free.
fn free_address() -> SocketAddr {
    loop {
        let first = UdpSocket::bind((LOOPBACK, 0)).unwrap().local_addr().unwrap();
        let next = SocketAddr::new(LOOPBACK, first.port().wrapping_add(1));
        if UdpSocket::bind(next).is_ok() {
            return first;
        }
    }
}

fn target() -> Target {
    Target { exchange: String::new(), keys: Vec::new(), reply_to: None, confirms: false }
}

fn source() -> Source {
    let plan = plan();
    Source {
        queue: plan.service.queues[0].clone(),
        acks: false,
        prefetch: 0,
        prefetch_channel: 0,
        delivered: 0,
        mark: None,
    }
}

async fn pair(transport: &EjfatTransport) -> (EjfatPublisher, EjfatSubscriber) {
    let (consumer, producer) =
        (Worker { role: Role::Consumer, index: 0, attempt: 0 }, Worker { role: Role::Producer, index: 0, attempt: 0 });
    let mut subscriber = transport.connect_subscriber(consumer, &source()).await.unwrap();
    let publisher = transport.connect_publisher(producer, &target()).await.unwrap();
    subscriber.subscribe().await.unwrap();
    (publisher, subscriber)
}

/// Publishes messages until one has arrived, and checks it.
async fn one_arrives(publisher: &mut EjfatPublisher, subscriber: &mut EjfatSubscriber) {
    for sequence in 0..TRIES {
        let envelope = Envelope { run: 7, producer: 0, sequence, due_ns: 1, sent_ns: 2, checksum: 3, seal: 4 };
        let body = vec![sequence as u8; 20_000];
        let message = Outgoing { body: body.clone(), envelope: envelope.encode(), reply: None };
        let (returned, written) = publisher.publish(message).await;
        assert_eq!(returned, body, "the buffer comes back");
        assert_eq!(written.unwrap().await.unwrap(), Outcome::NotAsked);
        if let Ok(delivery) = timeout(Duration::from_millis(100), subscriber.next()).await {
            let delivery = delivery.unwrap();
            let known = delivery.envelope.unwrap();
            assert_eq!((known.run, known.seal), (7, 4));
            assert_eq!(delivery.body.as_ref(), vec![known.sequence as u8; 20_000]);
            return;
        }
    }
    panic!("no event arrived: {:?}, {:?}", publisher.sent(), subscriber.counts());
}

/// Replies as consumer 3 to producer 1 until a reply has arrived there, and checks it.
async fn a_reply_finds_its_producer(transport: &EjfatTransport) {
    let worker = |role, index| Worker { role, index, attempt: 0 };
    let mut others = transport.connect_subscriber(worker(Role::Producer, 0), &source()).await.unwrap();
    let mut replies = transport.connect_subscriber(worker(Role::Producer, 1), &source()).await.unwrap();
    let mut publisher = transport.connect_publisher(worker(Role::Consumer, 3), &target()).await.unwrap();
    others.subscribe().await.unwrap();
    replies.subscribe().await.unwrap();
    for sequence in 0..TRIES {
        let envelope = Envelope { run: 7, producer: 1, sequence, due_ns: 1, sent_ns: 2, checksum: 3, seal: 4 };
        let to = ReplyTo { key: "back".into(), consumer: 3 };
        let reply = Outgoing { body: vec![9; 5000], envelope: envelope.encode(), reply: Some(to) };
        assert_eq!(publisher.publish(reply).await.1.unwrap().await.unwrap(), Outcome::NotAsked);
        if let Ok(delivery) = timeout(Duration::from_millis(100), replies.next()).await {
            let delivery = delivery.unwrap();
            assert_eq!((delivery.replied_by, delivery.envelope.unwrap().producer), (Some(3), 1));
            assert_eq!((delivery.reply_to, others.counts().packets.packets), (None, 0));
            others.close().await;
            return replies.close().await;
        }
    }
    panic!("no reply arrived: {:?}, {:?}", publisher.sent(), replies.counts());
}

#[tokio::test]
async fn a_reply_comes_back_to_its_producer_directly() {
    let back = Route::Direct(vec![free_address(), free_address()]);
    let transport = EjfatTransport::new(Settings { back: Some(back), ..settings(Route::Direct(vec![free_address()])) });
    a_reply_finds_its_producer(&transport).await;
    let (mut publisher, mut subscriber) = pair(&transport).await;
    one_arrives(&mut publisher, &mut subscriber).await;
}

#[tokio::test]
async fn a_message_arrives_directly_with_its_envelope_and_replies_are_refused() {
    let address = free_address();
    let transport = EjfatTransport::new(settings(Route::Direct(vec![address])));
    let (mut publisher, mut subscriber) = pair(&transport).await;
    assert_eq!(subscriber.address(), address);
    one_arrives(&mut publisher, &mut subscriber).await;
    for role in [Role::Consumer, Role::Producer] {
        let reply = Worker { role, index: 0, attempt: 0 };
        let fault = match role {
            Role::Consumer => transport.connect_publisher(reply, &target()).await.err(),
            Role::Producer => transport.connect_subscriber(reply, &source()).await.err(),
        };
        let fault = fault.unwrap();
        assert_eq!(fault.kind, FaultKind::Refused);
        assert!(fault.sentence.contains("work-sharing"), "{fault}");
    }
    let second = Worker { role: Role::Consumer, index: 1, attempt: 0 };
    let fault = transport.connect_subscriber(second, &source()).await.err().unwrap();
    assert!(fault.sentence.contains("give one for each"), "{fault}");
}

#[tokio::test]
async fn messages_and_replies_pass_the_load_balancers_and_receivers_leave_in_order() {
    let any = SocketAddr::new(LOOPBACK, 0);
    let balancing = [(); 2].map(|()| Balancing::start(&[any], 1, 4 << 20).unwrap());
    let instances = balancing.iter().map(|one| {
        let data = Uri::parse(&format!("ejfat://h:1/?data={}", one.addresses()[0])).unwrap().data;
        Instance { sync: any, data }
    });
    let control = ControlSettings {
        token: "root".to_owned(),
        tls: false,
        host: LOOPBACK.to_string(),
        port: 0,
        instances: instances.collect(),
        seed: 1,
    };
    let server = Server::bind(any, control, None).await.unwrap();
    let root = Uri::parse(&format!("ejfat://root@{}/", server.address().unwrap())).unwrap();
    let serving = tokio::spawn(server.serve(std::future::pending()));
    let client = Client::connect(&root, &Trust::System, LIMIT).await.unwrap();
    let lb = client.reserve(Reserve { name: "run".to_owned(), ..Reserve::default() }).await.unwrap();
    let uri = Uri::parse(&lb.ejfat_uri).unwrap();
    let explicit = Reserve { name: "replies".to_owned(), strategy: "explicit".to_owned(), ..Reserve::default() };
    let replies = Uri::parse(&client.reserve(explicit).await.unwrap().ejfat_uri).unwrap();
    let [route, back] = [uri, replies].map(|uri| Route::Balanced { uri, trust: Trust::System, host: LOOPBACK });
    let transport = EjfatTransport::new(Settings { back: Some(back), ..settings(route) });
    let streamed = async {
        let (mut publisher, mut subscriber) = pair(&transport).await;
        one_arrives(&mut publisher, &mut subscriber).await;
        assert_eq!(transport.declare(&[], &[]).await.unwrap().product, "EJFAT");
        subscriber.close().await;
        assert!(client.status(&lb.lb_id).await.unwrap().workers.is_empty(), "the session has ended");
        a_reply_finds_its_producer(&transport).await;
    };
    tokio::select! {
        failed = follow(&client, 0, &balancing[0], || (), |error| panic!("{error}")) => failed.unwrap(),
        failed = follow(&client, 1, &balancing[1], || (), |error| panic!("{error}")) => failed.unwrap(),
        () = streamed => {}
    }
    serving.abort();
}

struct Quiet;

impl Observer for Quiet {}

#[test]
fn the_engine_streams_over_it_and_its_ledger_adds_up() {
    let plan = plan();
    let transport = EjfatTransport::new(settings(Route::Direct(vec![free_address()])));
    let comm = ThreadComm::world(1).remove(0);
    let payloads = PlainPayloads { bytes: 5000, spoilt_every: None };
    let (allowed, machine) = (AllowedCores::default(), measure::record::Machine::default());
    let place = Place { boot: Vec::new(), allowed, machine, clock: Clock::default() };
    let result = engine::run(&comm, &plan, transport, payloads, &place, &mut Quiet).unwrap().unwrap();
    let integrity = &result.integrity;
    assert_eq!(integrity.delivered + integrity.lost + integrity.undetermined, 500, "{integrity:?}");
    assert_eq!((integrity.duplicated, integrity.corrupt), (0, 0), "{integrity:?}");
    assert!(integrity.delivered > 0, "{integrity:?}");
}
