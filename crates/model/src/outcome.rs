//! The outcome of a simulation: what a record needs, how busy each part was, and what limits the run.

use crate::{
    hosts::Link,
    network::{Busy, Station},
    rules::{consumer::Consumer, producer::Producer, queue::Queue},
    tally::{Tally, volume},
    world::World,
};
use measure::{ConsumerSpan, Counters, Histograms, Integrity, Pacing, Replies, Throughput, Volume};
use profile::{Plan, RunLength};

/// From this part of its time on a part counts as full.
const FULL: f64 = 0.9;
/// Parts that an outcome lists, the busiest first.
const PARTS_MAX: usize = 16;

/// What a plan would have measured.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Rates of delivery.
    pub throughput: Throughput,
    /// Latencies.
    pub histograms: Histograms,
    /// The fate of every message.
    pub integrity: Integrity,
    /// What was sent and delivered.
    pub sent: Volume,
    /// Deliveries.
    pub received: Volume,
    /// From the first publish to the last delivery or reply.
    pub total_s: f64,
    /// Messages sent, confirmed and rejected by each producer.
    pub producers: Vec<[u64; 3]>,
    /// Messages received by each consumer.
    pub consumers: Vec<u64>,
    /// Most messages that waited in a queue.
    pub ready_max: u64,
    /// How busy parts were, the busiest first.
    pub uses: Vec<Use>,
    /// What limited links carried.
    pub links: Vec<Carried>,
    /// What limits the run, in one sentence.
    pub bottleneck: String,
    /// Whether the limit on streaming ended it.
    pub cut_short: bool,
    /// Whether producers kept their schedule, if they had one.
    pub pacing: Option<Pacing>,
    /// What that is judged by.
    pub kept: Counters,
    /// Events of the simulation.
    pub events: u64,
}

/// A finished simulation.
pub(crate) struct Finished<'a> {
    pub plan: &'a Plan,
    pub world: World,
    pub producers: Vec<Producer>,
    pub consumers: Vec<Consumer>,
    pub queues: Vec<Queue>,
    pub tally: Tally,
    pub dropped: u64,
    pub cut_short: bool,
}

/// What a link carried.
#[derive(Debug, Clone, PartialEq)]
pub struct Carried {
    /// Its host.
    pub host: String,
    /// Its rate in each direction.
    pub bits_per_second: f64,
    /// How long a bit takes, in seconds.
    pub delay_s: f64,
    /// Bytes to the host, without headers of packets.
    pub to_host: u64,
    /// Bytes from it.
    pub from_host: u64,
}

/// How busy a part was.
#[derive(Debug, Clone, PartialEq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// The part of the time for which it worked, from 0 to 1.
    pub share: f64,
}

impl Outcome {
    pub(crate) fn of(finished: Finished<'_>) -> Self {
        let Finished { plan, world, producers, consumers, queues, tally, dropped, cut_short } = finished;
        let spans: Vec<ConsumerSpan> = consumers.iter().map(|consumer| consumer.span).collect();
        let received = volume(plan, tally.delivered);
        let throughput = match (plan.length, tally.window()) {
            (RunLength::Window(window), _) => {
                Throughput::in_window(window.window_ns, &volume(plan, tally.inside), &spans)
            }
            (RunLength::Messages(_), _) => Throughput::over_span(&spans, &received),
        };
        let of = |count: fn(&Producer) -> u64| producers.iter().map(count).sum::<u64>();
        let sent = of(|producer| producer.sent);
        let integrity = integrity(plan, &tally, dropped, &producers);
        let from_ns = tally.first_sent_ns.unwrap_or_default();
        let span_ns = tally.last_ns.saturating_sub(from_ns);
        let uses = uses(world.network.busy(), span_ns);
        let away =
            (1..).zip(&world.queues).filter(|(_, queue)| queue.node != 0).map(|(number, queue)| (number, queue.node));
        let bytes = |station: Option<Station>| station.map_or(0, |station| world.network.bytes(station));
        let carried = |link: &Link| {
            Some(Carried {
                host: link.host.clone(),
                bits_per_second: link.bits_per_second?,
                delay_s: link.delay_ns as f64 / 1e9,
                to_host: bytes(link.into),
                from_host: bytes(link.out),
            })
        };
        let links = world.links.iter().filter_map(carried).collect();
        let pacing = tally.pacing(plan.placement.producers);
        let pacing = pacing.map(|pacing| if cut_short { pacing.cut_short() } else { pacing });
        let kept = tally.kept;
        let bottleneck = bottleneck(plan, &uses, &away.collect::<Vec<_>>(), &world.node_names);
        Self {
            throughput,
            histograms: tally.histograms,
            integrity,
            sent: volume(plan, sent),
            received,
            total_s: span_ns as f64 / 1e9,
            producers: producers.iter().map(|one| [one.sent, one.confirmed, one.rejected]).collect(),
            consumers: consumers.iter().map(|consumer| consumer.received).collect(),
            ready_max: queues.iter().map(|queue| queue.ready_max).max().unwrap_or_default(),
            uses,
            links,
            bottleneck,
            cut_short,
            pacing,
            kept,
            events: world.network.events(),
        }
    }
}

fn integrity(plan: &Plan, tally: &Tally, dropped: u64, producers: &[Producer]) -> Integrity {
    let sum = |count: fn(&Producer) -> u64| producers.iter().map(count).sum::<u64>();
    let copies = u64::from(plan.flow.copies);
    let (sent, confirmed) = (sum(|one| one.sent), sum(|one| one.confirmed));
    let abandoned = sum(|one| one.abandoned);
    let confirms = plan.service.confirms.wanted();
    let expected = copies * if confirms { confirmed } else { sent - abandoned };
    let missing = expected.saturating_sub(tally.delivered);
    let lost = missing.min(dropped);
    let replies = (plan.flow.replies > 0).then(|| Replies {
        delivered: tally.replies,
        expected,
        undetermined: expected.saturating_sub(tally.replies),
        ..Replies::default()
    });
    Integrity {
        sent,
        confirmed,
        unconfirmed: if confirms { sent - confirmed - abandoned } else { 0 },
        rejected: sum(|one| one.rejected),
        republished: sum(|one| one.republished),
        abandoned,
        copies,
        delivered: tally.delivered,
        expected,
        lost,
        undetermined: missing - lost,
        replies,
        ..Integrity::default()
    }
}

fn uses(busy: Vec<Busy>, span_ns: u64) -> Vec<Use> {
    let share = |one: &Busy| one.busy_ns as f64 / (span_ns.max(1) as f64 * one.servers);
    let mut uses: Vec<Use> = busy
        .into_iter()
        .filter(|one| one.busy_ns > 0)
        .map(|one| Use { share: (share(&one).min(1.0) * 1e4).round() / 1e4, name: one.name })
        .collect();
    uses.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.name.cmp(&b.name)));
    uses.truncate(PARTS_MAX);
    uses
}

/// The part that is full, or what holds the run back if none is. `away` are queues that are not on the first node.
fn bottleneck(plan: &Plan, uses: &[Use], away: &[(u32, u32)], nodes: &[String]) -> String {
    let Some(busiest) = uses.first() else { return "nothing was sent".to_owned() };
    let share = format!("{} at {:.0} %", busiest.name, busiest.share * 100.0);
    if busiest.share >= FULL {
        let is_link =
            nodes.iter().any(|node| busiest.name == format!("{node} out") || busiest.name == format!("{node} in"));
        return match away {
            [] => share,
            _ if !is_link => share,
            [(queue, node)] => format!("{share}: queue {queue} lives on {}", nodes[*node as usize]),
            _ => format!("{share}: {} of {} queues live on other nodes", away.len(), plan.service.queues.len()),
        };
    }
    let holds = if plan.load.is_paced() {
        "the offered rate sets the pace".to_owned()
    } else if plan.think_time.is_some() || plan.service_time.is_some() {
        "clients that think or work set the pace".to_owned()
    } else {
        format!(
            "producers wait for confirms ({}) and consumers for deliveries (prefetch {})",
            plan.service.confirms, plan.service.prefetch
        )
    };
    format!("no part is full, the busiest is {share}: {holds}")
}
