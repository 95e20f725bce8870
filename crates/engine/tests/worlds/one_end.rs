//! Runs of one end: at the other end is a program of another.

use crate::support::{plan, run_world};
use engine::{
    RunResult,
    control::Ending,
    double::{Faults, MemoryBroker},
    envelope::Envelope,
    ports::{Delivery, Number, Outgoing, Publisher, ReplyTo, Role, Subscriber, Transport, Worker},
};
use measure::{Metric, WindowKind};
use profile::{Acks, Plan, Source, Target};
use std::{
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const MESSAGES: u64 = 200;
const SOMEBODY: Worker = Worker { role: Role::Consumer, index: 9, attempt: 0 };
/// More than any of these runs takes.
const GIVES_UP: Duration = Duration::from_secs(20);

/// Runs a future of a program of another.
fn program<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(GIVES_UP, future).await.expect("the program of another ends") })
}

/// Takes messages from the first queue of the plan as soon as it is there, and replies to each where that is wanted.
async fn consume(broker: MemoryBroker, plan: Plan, replies_each: u32) -> Vec<(u32, u64)> {
    let source = Source {
        queue: plan.service.queues[0].clone(),
        acks: plan.service.acks != Acks::Auto,
        prefetch: 0,
        prefetch_channel: 0,
        delivered: 0,
        mark: None,
    };
    let mut subscriber = broker.connect_subscriber(SOMEBODY, &source).await.unwrap();
    while subscriber.subscribe().await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let target = Target { exchange: String::new(), keys: Vec::new(), reply_to: None, confirms: false };
    let mut publisher = broker.connect_publisher(SOMEBODY, &target).await.unwrap();
    let mut had = Vec::new();
    while (had.len() as u64) < MESSAGES {
        let Delivery { envelope, tag, reply_to, .. } = subscriber.next().await.unwrap();
        let envelope = envelope.unwrap();
        had.push((envelope.producer, envelope.sequence));
        for _ in 0..replies_each {
            let reply = Some(ReplyTo { key: reply_to.clone().unwrap(), consumer: 0 });
            let body = b"a result".to_vec();
            publisher.publish(Outgoing { body, envelope: envelope.encode(), reply }).await.1.map(drop).unwrap();
        }
        subscriber.ack(tag, false).await.unwrap();
    }
    had
}

fn with_consumer(text: &str, replies_each: u32) -> (RunResult, Vec<(u32, u64)>) {
    let (plan, broker) = (plan(text, 3), MemoryBroker::default());
    let (theirs, of_broker) = (plan.clone(), broker.clone());
    let consumer = thread::spawn(move || program(consume(of_broker, theirs, replies_each)));
    let result = run_world(&plan, &broker, 0, None).0.unwrap();
    (result, consumer.join().unwrap())
}

fn check_all_had_once(mut had: Vec<(u32, u64)>, producers: u32) {
    had.sort_unstable();
    let each = MESSAGES / u64::from(producers);
    let all: Vec<_> = (0..producers).flat_map(|producer| (0..each).map(move |n| (producer, n))).collect();
    assert_eq!(had, all);
}

#[test]
fn external_consumers_take_what_the_run_sends_and_it_proves_the_rest_by_the_queue() {
    let (result, had) =
        with_consumer(&format!("consumers = 0\nproducers = 2\nmessages = {MESSAGES}\nwait_for_peers = '10s'"), 0);
    check_all_had_once(had, 2);
    assert_eq!(result.ending, Ending::Complete);
    let integrity = &result.integrity;
    let counts = [integrity.sent, integrity.confirmed, integrity.copies, integrity.expected, integrity.delivered];
    assert_eq!(counts, [MESSAGES, MESSAGES, 0, 0, 0]);
    assert_eq!((integrity.in_service, integrity.lost, integrity.undetermined), (Some(0), 0, 0));
    assert_eq!(result.throughput.messages_per_second, None);
}

#[test]
fn external_consumers_reply_and_round_trips_are_measured_through_them() {
    let text = format!("consumers = 0\nproducers = 2\nmessages = {MESSAGES}\npattern = 'work-sharing-feedback'");
    let (result, had) = with_consumer(&text, 1);
    check_all_had_once(had, 2);
    assert_eq!((&result.ending, result.integrity.verdict()), (&Ending::Complete, Ok(())));
    let replies = result.integrity.replies.as_ref().unwrap();
    assert_eq!((replies.expected, replies.delivered, replies.corrupt), (MESSAGES, MESSAGES, 0));
    let samples = |metric| result.histograms.get(metric).map(|histogram| histogram.len());
    assert_eq!([Metric::RttFromDue, Metric::Service].map(samples), [Some(MESSAGES); 2]);
    assert_eq!([Metric::ConsumerOwn, Metric::OneWay].map(samples), [None; 2]);
}

#[test]
fn a_consumer_that_replies_twice_is_counted_and_fails_nothing() {
    let text = format!("consumers = 0\nproducers = 1\nmessages = {MESSAGES}\npattern = 'work-sharing-feedback'");
    let (result, _) = with_consumer(&text, 2);
    let replies = result.integrity.replies.as_ref().unwrap();
    assert_eq!(replies.delivered, MESSAGES);
    assert!(replies.duplicated > 0 && result.integrity.verdict().is_ok(), "{replies:?}");
}

#[test]
fn the_time_that_a_consumer_reports_is_taken_from_the_round_trip() {
    let text = format!("consumers = 0\nproducers = 1\nmessages = {MESSAGES}\npattern = 'work-sharing-feedback'");
    let (plan, broker) = (plan(&text, 2), MemoryBroker::default());
    const OWN_NS: u64 = 1000;
    broker.mark(Number::Whole(OWN_NS as i64));
    let (theirs, of_broker) = (plan.clone(), broker.clone());
    let consumer = thread::spawn(move || program(consume(of_broker, theirs, 1)));
    let result = run_world(&plan, &broker, 0, None).0.unwrap();
    consumer.join().unwrap();
    let summary = |metric| result.histograms.get(metric).unwrap().summary();
    let (own, whole, rest) =
        (summary(Metric::ConsumerOwn), summary(Metric::Service), summary(Metric::RttWithoutConsumer));
    assert_eq!((own.count, own.min_ns, own.max_ns), (MESSAGES, Some(OWN_NS), Some(OWN_NS)));
    assert_eq!(rest.count + rest.negative, MESSAGES);
    assert_eq!(whole.max_ns.unwrap(), rest.max_ns.unwrap() + OWN_NS);
}

#[test]
fn a_run_that_meets_nobody_ends_before_it_streams() {
    let text = format!("consumers = 0\nmessages = {MESSAGES}\nwait_for_peers = '1s'");
    let error = run_world(&plan(&text, 2), &MemoryBroker::default(), 0, None).0.unwrap_err();
    assert_eq!(error.exit(), measure::Exit::Route);
    assert!(error.to_string().contains("no program consumes from streamharness.00000007.work.0 after 1 s"), "{error}");
}

/// Sends messages without an envelope of the run to the first queue of the plan, as soon as it is there.
async fn produce(broker: MemoryBroker, plan: Plan) {
    let name = plan.service.queues[0].name.clone();
    while !broker.queues().contains(&name) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let target = Target { exchange: String::new(), keys: vec![name], reply_to: None, confirms: false };
    let mut publisher = broker.connect_publisher(SOMEBODY, &target).await.unwrap();
    for sequence in 0..MESSAGES {
        let envelope = Envelope { run: 1, producer: 0, sequence, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 }.encode();
        let body = vec![0; 10 + sequence as usize];
        publisher.publish(Outgoing { body, envelope, reply: None }).await.1.map(drop).unwrap();
    }
}

fn with_producer(text: &str, broker: &MemoryBroker) -> RunResult {
    let plan = plan(text, 3);
    let (theirs, of_broker) = (plan.clone(), broker.clone());
    let producer = thread::spawn(move || program(produce(of_broker, theirs)));
    let result = run_world(&plan, broker, 0, None).0.unwrap();
    producer.join().unwrap();
    result
}

#[test]
fn messages_of_external_producers_are_counted_with_their_sizes_and_rate() {
    let result = with_producer(
        &format!("producers = 0\nconsumers = 2\nmessages = {MESSAGES}\n[service]\nqueues = 1"),
        &MemoryBroker::with(Faults::default()),
    );
    assert_eq!(result.ending, Ending::Complete);
    let counts =
        [result.integrity.foreign, result.counters.received, result.integrity.sent, result.integrity.unexpected];
    assert_eq!(counts, [MESSAGES, MESSAGES, 0, 0]);
    assert_eq!(result.counters.bytes_received, (0..MESSAGES).map(|sequence| 10 + sequence).sum::<u64>());
    let sizes = result.ranks.iter().filter_map(|rank| rank.external_bytes);
    let sizes = sizes.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    assert_eq!(sizes, Some((10, 9 + MESSAGES)));
    assert_eq!((result.throughput.window, result.throughput.events_per_second), (WindowKind::Span, None));
    assert!(result.throughput.messages_per_second.is_some());
}

#[test]
fn the_latency_of_foreign_messages_is_from_the_timestamp_that_the_user_names() {
    let text = format!("producers = 0\nconsumers = 1\nmessages = {MESSAGES}\n[service]\ntimestamp = 'header:sent:ms'");
    let broker = MemoryBroker::default();
    let before_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    // A minute ago.
    broker.mark(Number::Whole(before_ms - 60_000));
    let result = with_producer(&text, &broker);
    let latency = result.histograms.get(Metric::FromTimestamp).unwrap().summary();
    assert_eq!((latency.count, latency.negative, result.counters.without_timestamp), (MESSAGES, 0, 0));
    assert!(latency.min_ns.unwrap() >= 60_000_000_000 && latency.max_ns.unwrap() < 120_000_000_000, "{latency:?}");
    let none = with_producer(&text, &MemoryBroker::default());
    assert_eq!(none.counters.without_timestamp, MESSAGES);
}

#[test]
fn external_producers_are_heard_until_the_window_is_over() {
    let result = with_producer(
        "producers = 0\nconsumers = 1\nduration = '400ms'\nwait_for_peers = '10s'",
        &MemoryBroker::default(),
    );
    assert_eq!(result.ending, Ending::Complete);
    assert_eq!((result.throughput.window, result.integrity.foreign), (WindowKind::Fixed, MESSAGES));
}
