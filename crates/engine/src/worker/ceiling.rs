//! The cost of the harness itself: the worker loops over a transport that does nothing.
//!
//! Costs are CPU time of this thread, so that ranks that measure at the same time on the same cores do not count each
//! other's (D2).

use crate::{
    double::{NullPublisher, NullSubscriber},
    envelope::SealKey,
    host::usage::thread_cpu_ns,
    ports::{Body, Payloads, Source},
    time::{
        clock::Clock,
        one_way::OneWay,
        window::{Window, WindowTimes},
    },
    worker::{
        budget::Budget,
        consume::{Consumer, ConsumerSpec},
        produce::{Producer, ProducerSpec},
        progress::Progress,
        reply::Replier,
    },
};
use profile::{Plan, Verify};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Long enough for a stable figure, short enough to precede every run.
const TIME: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(2);

/// Bodies delivered in turn: enough that they do not stay in the nearest cache, and few if they are large.
const BODIES: u64 = 64;
const BODIES_BYTES: u64 = 4 << 20;
/// How often one body is inspected to measure the cost of an inspection.
const INSPECTIONS: u64 = 8;

/// CPU time of one message in the worker loops, in nanoseconds; `None` without such a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnCost {
    /// Cost to take a body, stamp it, add its envelope, publish it to nothing and settle it.
    pub producer_ns: Option<f64>,
    /// Cost to take a delivery, read its envelope, check and inspect its body and count it.
    pub consumer_ns: Option<f64>,
}

impl OwnCost {
    /// The mean over ranks.
    pub fn mean(costs: &[Self]) -> Self {
        let mean = |cost: fn(&Self) -> Option<f64>| {
            let known: Vec<f64> = costs.iter().filter_map(cost).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        };
        Self { producer_ns: mean(|cost| cost.producer_ns), consumer_ns: mean(|cost| cost.consumer_ns) }
    }

    /// Messages per second that a launch could reach if the network and the service cost nothing: the least of the
    /// limits set by the ranks of its producers, the ranks of its consumers, and the cores under both. The workers of a
    /// rank share a thread.
    pub fn ceiling(&self, producing_ranks: u32, consuming_ranks: u32, cores: u32) -> Option<f64> {
        let (producer_ns, consumer_ns) = (self.producer_ns?, self.consumer_ns?);
        let rates = [
            f64::from(producing_ranks) / producer_ns,
            f64::from(consuming_ranks) / consumer_ns,
            f64::from(cores) / (producer_ns + consumer_ns),
        ];
        Some(rates.into_iter().fold(f64::INFINITY, f64::min) * 1e9)
    }
}

/// Cost of a message in a producer's loop, in nanoseconds.
pub async fn of_producer(plan: &Plan, source: &mut impl Source, clock: Clock) -> Option<f64> {
    source.rewind().ok()?;
    let start_ns = clock.now_ns();
    let spec = ProducerSpec {
        run: plan.run,
        index: 0,
        seal: SealKey::default(),
        quota: None,
        start_ns,
        schedule: None,
        catchup: None,
        spin: false,
        window: Arc::new(Window::at(WindowTimes {
            start_ns: 0,
            end_ns: u64::MAX,
            stop_ns: start_ns + TIME.as_nanos() as u64,
        })),
        confirms: plan.service.confirms,
        in_flight: plan.service.in_flight,
        republish_limit: plan.service.republish_limit,
        think: None,
        returned: None,
    };
    let (_keep, stop) = watch::channel(false);
    let used = thread_cpu_ns();
    let (mut publisher, progress) = (NullPublisher::default(), Progress::default());
    let producing = Producer::new(&mut publisher, source, &spec, clock, &progress).run(stop);
    // A source that reads files may wait for them.
    let report = tokio::time::timeout(LIMIT, producing).await.ok()?;
    each(thread_cpu_ns() - used, report.counters.sent)
}

/// Cost of a message in a consumer's loop, in nanoseconds, with the checks of the plan.
pub async fn of_consumer<P: Payloads>(plan: &Plan, payloads: &Arc<P>, clock: Clock) -> Option<f64> {
    let bodies: Vec<Body> = (0..(BODIES_BYTES / plan.message.body_bytes).clamp(2, BODIES))
        .map(|sequence| payloads.body(0, sequence))
        .collect();
    let inspection_ns = if payloads.inspects() { of_inspection(&**payloads, &bodies[0]) } else { 0.0 };
    let spec = ConsumerSpec {
        run: plan.run,
        index: 0,
        seal: SealKey::default(),
        producers: 1,
        foreign: None,
        inspections: plan.message.inspected_bodies() as usize,
        budget: plan.inspection_share().map(|share| Arc::new(Budget::new(share))),
        window: Arc::new(Window::always()),
        one_way: OneWay::default(),
        timeline: None,
        hands_over: false,
        acks: plan.service.acks,
        ack_after: plan.service.ack_after,
        work: None,
        verify: plan.verify,
        keeps: false,
    };
    let (stopper, stop) = watch::channel(false);
    let mut subscriber = NullSubscriber::new(plan.run, SealKey::default(), bodies);
    let progress = Progress::default();
    let used = thread_cpu_ns();
    let nobody = None::<&mut Replier<NullPublisher>>;
    let consuming = Consumer::new(&mut subscriber, nobody, payloads, &spec, clock, &progress).run(stop);
    let stopping = async {
        tokio::time::sleep(TIME).await;
        stopper.send_replace(true);
    };
    let (report, ()) = futures_util::future::join(consuming, stopping).await;
    each(thread_cpu_ns() - used, report.counters.received).map(|ns| ns + inspections_ns(plan, inspection_ns, ns))
}

/// Cost of one inspection. Inspections have threads of their own, so the CPU time of the loop does not include it.
fn of_inspection(payloads: &impl Payloads, body: &Body) -> f64 {
    let used = thread_cpu_ns();
    for _ in 0..INSPECTIONS {
        // The result does not matter here; in the run it is counted.
        let _ = std::hint::black_box(payloads.inspect(0, 0, &body.bytes));
    }
    (thread_cpu_ns() - used) as f64 / INSPECTIONS as f64
}

/// Cost of the plan's inspections, averaged over messages that each take `loop_ns` otherwise.
fn inspections_ns(plan: &Plan, inspection_ns: f64, loop_ns: f64) -> f64 {
    match plan.verify {
        Verify::Off => 0.0,
        Verify::Every(n) => inspection_ns / f64::from(n.get()),
        Verify::Sampled => plan.inspection_share().map_or(0.0, |share| inspection_ns.min(share * loop_ns)),
        Verify::All => inspection_ns,
    }
}

fn each(cpu_ns: u64, messages: u64) -> Option<f64> {
    (messages > 0).then(|| cpu_ns as f64 / messages as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_what_the_scarcest_of_producers_consumers_and_cores_allows() {
        let costs = [
            OwnCost { producer_ns: Some(400.0), consumer_ns: None },
            OwnCost { producer_ns: Some(600.0), consumer_ns: None },
            OwnCost { producer_ns: None, consumer_ns: Some(1500.0) },
        ];
        for (producers, consumers, cores, expected) in
            [(1, 64, 128, 2e6), (64, 3, 128, 2e6), (64, 64, 2, 1e6), (1, 1, 64, 1e9 / 1500.0)]
        {
            let found = OwnCost::mean(&costs).ceiling(producers, consumers, cores).unwrap();
            assert!((found - expected).abs() < 1.0, "{producers} x {consumers} on {cores}: {found}");
        }
        assert_eq!(OwnCost::mean(&costs[..2]).ceiling(1, 1, 1), None, "nothing is known of consumers");
    }
}
