//! The cost of a message in the harness's own process, by the shape of the loop around the transport.
//!
//! Needs a service: `STREAMHARNESS_URL=amqp://bench@host STREAMHARNESS_PASSWORD_FILE=file cargo bench -p transport-amqp`.
//! Producing and consuming are separate phases, so that the CPU time of the process is that of one.

use engine::{
    envelope::Envelope,
    ports::{Outcome, Outgoing, Publisher, Role, Subscriber, Transport, Worker},
};
use futures_util::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use nix::sys::resource::{UsageWho, getrusage};
use profile::{Layer, Origin, Plan, combine};
use std::{
    env, fs,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Instant,
};
use transport_amqp::{Amqp, AmqpRoute, ConnectTo, Endpoint, Secret};

const BATCH: usize = 64;
const WARM_UP: usize = 20 * BATCH;

fn main() {
    let (Ok(url), Ok(password_file)) = (env::var("STREAMHARNESS_URL"), env::var("STREAMHARNESS_PASSWORD_FILE")) else {
        println!("skipped: set STREAMHARNESS_URL and STREAMHARNESS_PASSWORD_FILE to the service to measure with");
        return;
    };
    let number = |name, default| env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let bytes = number("BENCH_BYTES", 16_000);
    let messages = number("BENCH_MESSAGES", 20_000) / BATCH * BATCH;
    let repeats = number("BENCH_REPEATS", 3);
    let only = env::var("BENCH_ONLY").ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");

    let endpoint = Endpoint::parse(&url).expect("STREAMHARNESS_URL is a URL");
    let route = AmqpRoute {
        producer: vec![endpoint.clone()],
        consumer: vec![endpoint],
        connect_to: env::var("BENCH_CONNECT_TO").iter().map(|text| ConnectTo::parse(text).expect("valid")).collect(),
        ca_pem: env::var("BENCH_CA").ok().map(|file| fs::read_to_string(file).expect("BENCH_CA is a file")),
        password: Secret::new(fs::read_to_string(password_file).expect("the password file is readable").trim()),
        ..AmqpRoute::default()
    };
    println!("# {messages} messages of {bytes} B, confirms batch:{BATCH}, acks multiple:{BATCH}, prefetch {BATCH}");
    println!("# of {repeats} repetitions: median rate, least and median CPU time of the process per message");
    println!("{:<34}{:>10}{:>12}{:>12}", "phase", "msg/s", "least us", "median us");
    for shape in Shape::ALL {
        if only.as_ref().is_some_and(|only| !shape.name().contains(only)) {
            continue;
        }
        let (mut produced, mut consumed) = (Vec::new(), Vec::new());
        for _ in 0..repeats {
            runtime.block_on(once(shape, &route, bytes, messages, &mut produced, &mut consumed));
        }
        report(&format!("produce, {}", shape.name()), &mut produced);
        report("consume", &mut consumed);
    }
}

async fn once(
    shape: Shape,
    route: &AmqpRoute,
    bytes: usize,
    messages: usize,
    produced: &mut Vec<Cost>,
    consumed: &mut Vec<Cost>,
) {
    let plan = plan(if shape == Shape::NoConfirms { "none" } else { "batch:64" });
    let transport = Amqp::new(route.clone(), &plan).expect("the route is usable");
    let queues = &plan.service.queues;
    transport.delete(&[], queues).await.expect("queues can be deleted");
    transport.declare(&[], queues).await.expect("queues can be declared");

    let mut publisher =
        transport.connect_publisher(worker(Role::Producer), &plan.target_of(0)).await.expect("the producer connects");
    let mut ring = vec![vec![0x5a; bytes]; 2 * BATCH];
    shape.publish(&mut publisher, &mut ring, WARM_UP).await;
    let meter = Meter::start();
    shape.publish(&mut publisher, &mut ring, messages).await;
    produced.push(meter.stop(messages));
    publisher.close().await;

    let mut subscriber =
        transport.connect_subscriber(worker(Role::Consumer), &plan.source_of(0)).await.expect("the consumer connects");
    subscriber.subscribe().await.expect("the consumer subscribes");
    consume(&mut subscriber, WARM_UP).await;
    let meter = Meter::start();
    consume(&mut subscriber, messages).await;
    consumed.push(meter.stop(messages));
    subscriber.close().await;
    transport.delete(&[], queues).await.expect("queues can be deleted");
}

fn plan(confirms: &str) -> Plan {
    let text = format!("producers = 1\nconsumers = 1\n[service]\nconfirms = '{confirms}'\nqueues = 1");
    let layer = Layer::parse(Origin::CommandLine, &text).expect("the profile is valid");
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("the profile is complete");
    Plan::resolve(&profile, 2, std::process::id()).expect("the plan resolves")
}

async fn consume(subscriber: &mut impl Subscriber, messages: usize) {
    for n in 1..=messages {
        let delivery = subscriber.next().await.expect("a delivery");
        assert!(delivery.envelope.is_some());
        if n % BATCH == 0 {
            subscriber.ack(delivery.tag, true).await.expect("an acknowledgement leaves");
        }
    }
}

/// How a producer waits.
fn worker(role: Role) -> Worker {
    Worker { role, index: 0 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// For each message to be written before the next.
    OneByOne,
    /// For 64 at once, by `FuturesOrdered`.
    Ordered,
    /// For 64 at once, by `FuturesUnordered`.
    Unordered,
    /// For the last of 64, since the others are then written too, and for the last confirm.
    Last,
    /// Like the last, without confirms.
    NoConfirms,
}

impl Shape {
    const ALL: [Self; 5] = [Self::OneByOne, Self::Ordered, Self::Unordered, Self::Last, Self::NoConfirms];

    fn name(self) -> &'static str {
        match self {
            Self::OneByOne => "one by one",
            Self::Ordered => "64 ordered",
            Self::Unordered => "64 unordered",
            Self::Last => "64, last first",
            Self::NoConfirms => "64, last first, no confirms",
        }
    }

    async fn publish<P: Publisher>(self, publisher: &mut P, ring: &mut Vec<Vec<u8>>, messages: usize) {
        let mut confirms = Vec::with_capacity(BATCH);
        for batch in 0..messages / BATCH {
            let mut next = |n: usize| {
                let sequence = (batch * BATCH + n) as u64;
                let envelope =
                    Envelope { run: 1, producer: 0, sequence, due_ns: 1, sent_ns: 2, checksum: 3, seal: 4 }.encode();
                let body = ring.pop().expect("the ring is larger than a batch");
                publisher.publish(Outgoing { body, envelope, reply: None })
            };
            let mut finished = Vec::with_capacity(BATCH);
            match self {
                Self::OneByOne => {
                    for n in 0..BATCH {
                        finished.push(next(n).await);
                    }
                }
                Self::Ordered => {
                    let mut writes: FuturesOrdered<_> = (0..BATCH).map(&mut next).collect();
                    while let Some(written) = writes.next().await {
                        finished.push(written);
                    }
                }
                Self::Unordered => {
                    let mut writes = FuturesUnordered::new();
                    for n in 0..BATCH {
                        writes.push(next(n));
                    }
                    while let Some(written) = writes.next().await {
                        finished.push(written);
                    }
                }
                Self::Last | Self::NoConfirms => {
                    let mut writes: Vec<_> = (0..BATCH).map(|n| PolledOnce::new(next(n))).collect();
                    finished.push(writes.pop().expect("a batch is not empty").end().await);
                    for write in writes {
                        finished.push(write.end().await);
                    }
                }
            }
            for (body, confirm) in finished {
                ring.push(body);
                confirms.push(confirm.expect("a message is written"));
            }
            if matches!(self, Self::Last | Self::NoConfirms) {
                while let Some(confirm) = confirms.pop() {
                    check(confirm.await.expect("a message is confirmed"));
                }
            } else {
                let mut waiting: FuturesUnordered<_> = confirms.drain(..).collect();
                while let Some(outcome) = waiting.next().await {
                    check(outcome.expect("a message is confirmed"));
                }
            }
        }
    }
}

fn check(outcome: Outcome) {
    assert!(matches!(outcome, Outcome::Accepted | Outcome::NotAsked), "{outcome:?}");
}

/// A future that has been polled once, without a waker.
struct PolledOnce<F: Future> {
    inner: Pin<Box<F>>,
    output: Option<F::Output>,
}

impl<F: Future> PolledOnce<F> {
    fn new(future: F) -> Self {
        let mut inner = Box::pin(future);
        let output = match inner.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        };
        Self { inner, output }
    }

    async fn end(self) -> F::Output {
        match self.output {
            Some(output) => output,
            None => self.inner.await,
        }
    }
}

/// Rate and CPU time per message of one phase.
struct Cost {
    rate: f64,
    cpu_us: f64,
}

fn report(phase: &str, costs: &mut [Cost]) {
    costs.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let rate = costs[costs.len() / 2].rate;
    costs.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
    println!("{phase:<34}{rate:>10.0}{:>12.2}{:>12.2}", costs[0].cpu_us, costs[costs.len() / 2].cpu_us);
}

struct Meter {
    began: Instant,
    cpu_us: f64,
}

impl Meter {
    fn start() -> Self {
        Self { began: Instant::now(), cpu_us: cpu_us() }
    }

    fn stop(self, messages: usize) -> Cost {
        let (seconds, n) = (self.began.elapsed().as_secs_f64(), messages as f64);
        Cost { rate: n / seconds, cpu_us: (cpu_us() - self.cpu_us) / n }
    }
}

/// CPU time of the process so far, in all its threads, user and system.
fn cpu_us() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may read its own usage");
    let us = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e6 + time.tv_usec() as f64;
    us(usage.user_time()) + us(usage.system_time())
}
