//! How fast the harness itself is on this rank: the worker loops over a transport that does nothing.

use crate::{
    clock::Clock,
    consume::{ConsumerSpec, consume},
    double::{NullPublisher, NullSubscriber},
    ports::{Payloads, Source},
    produce::{ProducerSpec, produce},
    progress::Progress,
};
use profile::Plan;
use std::time::Duration;
use tokio::sync::watch;

/// Long enough for a stable rate, short enough to precede every run.
const TIME: Duration = Duration::from_millis(50);

/// Messages per second of one producer's loop.
pub async fn of_producer(plan: &Plan, source: &mut impl Source, clock: Clock) -> f64 {
    let start_ns = clock.now_ns();
    let spec = ProducerSpec {
        run: plan.run,
        index: 0,
        quota: None,
        start_ns,
        end_ns: Some(start_ns + TIME.as_nanos() as u64),
        window: 0..u64::MAX,
        confirms: plan.service.confirms,
        in_flight: plan.service.in_flight,
        republish_limit: plan.service.republish_limit,
    };
    let (_keep, stop) = watch::channel(false);
    let report = produce(&mut NullPublisher::default(), source, &spec, clock, &Progress::default(), stop).await;
    rate(report.counters.sent, clock.now_ns() - start_ns)
}

/// Messages per second of one consumer's loop, checks included as the plan asks.
pub async fn of_consumer<P: Payloads>(plan: &Plan, payloads: &P, clock: Clock) -> f64 {
    let Ok(mut source) = payloads.source(0) else { return 0.0 };
    let body = source.take(0);
    let spec = ConsumerSpec {
        run: plan.run,
        index: 0,
        producers: 1,
        events: plan.message.events,
        window: 0..u64::MAX,
        acks: plan.service.acks,
        verify: plan.verify,
    };
    let (stopper, stop) = watch::channel(false);
    let mut subscriber = NullSubscriber::new(plan.run, body);
    let start_ns = clock.now_ns();
    let progress = Progress::default();
    let report = tokio::select! {
        report = consume(&mut subscriber, payloads, &spec, clock, &progress, stop) => report,
        () = async { tokio::time::sleep(TIME).await; stopper.send_replace(true); std::future::pending().await } => unreachable!("pends"),
    };
    rate(report.counters.received, clock.now_ns() - start_ns)
}

fn rate(messages: u64, elapsed_ns: u64) -> f64 {
    messages as f64 * 1e9 / elapsed_ns.max(1) as f64
}
