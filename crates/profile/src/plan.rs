//! What will be done: a profile resolved for a number of ranks. Nothing after this can be invalid.

use crate::{
    error::ProfileError,
    message::Message,
    placement::{Placement, share},
    profile::Profile,
    values::{Acks, Confirms, Overflow, Pattern, Verify},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::time::Duration;

/// Each worker has a connection, a thread and buffers of its own; more than this on one rank
/// would measure the rank.
const WORKERS_PER_RANK_MAX: u64 = 64;
/// Publishes in flight are bounded by number and by bytes (measuring.md 8.2, rule 1).
const IN_FLIGHT_DEFAULT: u32 = 64;
const IN_FLIGHT_BYTES: u64 = 4 << 20;
const REPUBLISH_LIMIT_DEFAULT: u32 = 1000;
/// Halves the CPU time of a delivery on a busy stream, and is small beside what a loaded broker takes.
const COALESCE_DEFAULT: Duration = Duration::from_micros(200);
/// From this prefetch on a consumer always has deliveries under way.
const PREFETCH_STREAMING: u16 = 16;

/// One run, resolved: the same value on every rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Identifies the run in every message and queue name.
    pub run: u32,
    /// Architecture, by the name or file it was asked for.
    pub architecture: String,
    /// Workload, by the name or file it was asked for.
    pub workload: String,
    /// Messaging pattern.
    pub pattern: Pattern,
    /// Ranks, producers and consumers.
    pub placement: Placement,
    /// When producers stop.
    pub length: RunLength,
    /// Seed of every random choice.
    pub seed: u64,
    /// Which bodies consumers check.
    pub verify: Verify,
    /// What a message is.
    pub message: Message,
    /// Settings of the service and its clients.
    pub service: Service,
    /// How long each wait may take.
    pub limits: Limits,
}

/// When producers stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RunLength {
    /// After this many messages of all producers together.
    Messages(u64),
    /// After a time: `warmup_ns` unmeasured, then the measured window.
    Window {
        /// Time before the window.
        warmup_ns: u64,
        /// Length of the window.
        window_ns: u64,
    },
}

/// Settings of the service and its clients.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Publisher confirms.
    pub confirms: Confirms,
    /// Consumer acknowledgements.
    pub acks: Acks,
    /// Unacknowledged deliveries a consumer may hold; 0 is no limit.
    pub prefetch: u16,
    /// The shared work queues.
    pub queues: Vec<QueuePlan>,
    /// Publishes handed to the client library and not yet written.
    pub in_flight: u32,
    /// How often a rejected message is published again.
    pub republish_limit: u32,
    /// Seconds between AMQP heartbeats; 0 is none.
    pub heartbeat_s: u16,
    /// A rank that only consumes looks at its sockets at most once in this time: what arrives faster
    /// is handled in one go. Bounds what the harness adds to one-way latency on a busy stream.
    pub coalesce: Duration,
}

/// One shared work queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuePlan {
    /// Its name, unique to the run.
    pub name: String,
    /// Messages it holds at most; none is no limit.
    pub max_length: Option<u64>,
    /// What it does when full.
    pub overflow: Overflow,
    /// The broker deletes the queue by itself after this long without a consumer, so that a run
    /// that died leaves nothing on a shared service.
    pub expires: Duration,
}

/// How long each wait may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Opening the route (which may start a testbed).
    pub route: Duration,
    /// Connecting one worker, TLS and login included.
    pub connect: Duration,
    /// One exchange with the broker.
    pub broker: Duration,
    /// Streaming, from the start to the last delivery.
    pub stream: Duration,
    /// One collective, once every rank is on its way to it.
    pub collective: Duration,
}

impl Plan {
    /// Resolves a combined profile for `world` ranks. `run` identifies the run; rank 0 draws it.
    pub fn resolve(profile: &Profile, world: usize, run: u32) -> Result<Self, ProfileError> {
        let placement = place(profile, world)?;
        let length = length(profile)?;
        let busiest = (0..world).map(|rank| placement.role(rank).producers.len()).max().unwrap_or_default();
        let message = Message::resolve(&profile.message, busiest as u32, |body_bytes| in_flight(profile, body_bytes))?;
        let service = service(profile, &placement, &message, run)?;
        let stream = profile.timeout.map_or(Duration::from_secs(120), |span| span.0)
            + match length {
                RunLength::Messages(_) => Duration::ZERO,
                RunLength::Window { warmup_ns, window_ns } => Duration::from_nanos(warmup_ns + window_ns),
            };
        Ok(Self {
            run,
            architecture: named(&profile.arch, "arch")?,
            workload: named(&profile.workload, "workload")?,
            pattern: profile.pattern.unwrap_or(Pattern::WorkSharing),
            placement,
            length,
            seed: profile.seed.unwrap_or(1),
            verify: profile.verify.unwrap_or(Verify::All),
            message,
            service,
            limits: Limits {
                route: Duration::from_secs(120),
                connect: Duration::from_secs(8),
                broker: Duration::from_secs(10),
                stream,
                collective: Duration::from_secs(60),
            },
        })
    }

    /// SHA-256 of the plan, by which ranks see that they resolved the same.
    pub fn digest(&self) -> [u8; 32] {
        let bytes = bincode::serde::encode_to_vec(self, bincode::config::standard())
            .expect("a plan holds only types that bincode encodes");
        Sha256::digest(bytes).into()
    }

    /// Messages that a producer sends, where the run has a number of them.
    pub fn messages_of(&self, producer: u32) -> Option<u64> {
        match self.length {
            RunLength::Messages(total) => Some(share(total, self.placement.producers, producer)),
            RunLength::Window { .. } => None,
        }
    }

    /// The work queue of a worker: the first ones share the first queue, and so on (the paper's
    /// `floor(i * queues / workers)`).
    pub fn queue_of(&self, index: u32, workers: u32) -> &QueuePlan {
        let queues = &self.service.queues;
        &queues[(u64::from(index) * queues.len() as u64 / u64::from(workers)) as usize]
    }

    /// Memory that one producer and one consumer hold for bodies, in bytes.
    pub fn body_memory(&self) -> (u64, u64) {
        let body = self.message.body_bytes;
        (u64::from(self.message.ring_bodies) * body, u64::from(self.service.prefetch) * body)
    }
}

fn impossible<T>(message: String) -> Result<T, ProfileError> {
    Err(ProfileError::Impossible(message))
}

fn named(name: &Option<String>, key: &str) -> Result<String, ProfileError> {
    name.clone().map_or_else(|| impossible(format!("the profile names no `{key}`")), Ok)
}

fn place(profile: &Profile, world: usize) -> Result<Placement, ProfileError> {
    let ranks = u32::try_from(world).unwrap_or(u32::MAX);
    let asked = (profile.producers.map(|n| n.get()), profile.consumers.map(|n| n.get()));
    let rest = |taken: u32| ranks.saturating_sub(taken).max(1);
    let (producers, consumers) = match asked {
        (Some(producers), Some(consumers)) => (producers, consumers),
        (Some(producers), None) => (producers, rest(producers)),
        (None, Some(consumers)) => (rest(consumers), consumers),
        (None, None) => ((ranks / 2).max(1), rest((ranks / 2).max(1))),
    };
    let workers = u64::from(producers) + u64::from(consumers);
    if workers > world as u64 * WORKERS_PER_RANK_MAX {
        let needed = workers.div_ceil(WORKERS_PER_RANK_MAX);
        return impossible(format!(
            "{producers} producers and {consumers} consumers are too many for {world} rank(s): a rank plays at most \
             {WORKERS_PER_RANK_MAX} workers, so start at least {needed} ranks (mpirun -n {needed}) or ask for fewer"
        ));
    }
    Ok(Placement { world, producers, consumers })
}

fn length(profile: &Profile) -> Result<RunLength, ProfileError> {
    let nanoseconds = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    match (profile.messages, profile.duration, profile.warmup) {
        (Some(_), _, Some(_)) => impossible(
            "a warm-up needs a measured window: give --duration instead of --messages, or leave --warmup out"
                .to_owned(),
        ),
        (_, Some(window), _) if window.0.is_zero() => {
            impossible("--duration 0s measures nothing: give it a length such as 30s".to_owned())
        }
        (_, Some(window), warmup) => Ok(RunLength::Window {
            warmup_ns: warmup.map_or(0, |span| nanoseconds(span.0)),
            window_ns: nanoseconds(window.0),
        }),
        (messages, None, _) => Ok(RunLength::Messages(messages.map_or(20_000, |n| n.get()))),
    }
}

fn in_flight(profile: &Profile, body_bytes: u64) -> u32 {
    let asked = profile.service.in_flight.map_or(IN_FLIGHT_DEFAULT, |n| n.get());
    (IN_FLIGHT_BYTES / body_bytes).clamp(1, u64::from(asked)) as u32
}

fn service(profile: &Profile, placement: &Placement, message: &Message, run: u32) -> Result<Service, ProfileError> {
    let written = &profile.service;
    let (acks, prefetch) = (written.acks.unwrap_or(Acks::Multiple(one(64))), written.prefetch.unwrap_or(64));
    if let Acks::Multiple(n) = acks
        && prefetch != 0
        && n.get() > u32::from(prefetch)
    {
        return impossible(format!(
            "acks multiple:{n} never happen with a prefetch of {prefetch}: the broker stops sending before the {n}th delivery; \
             use --prefetch {n} or more, or --acks multiple:{prefetch}"
        ));
    }
    // A queue without a producer or without a consumer would lose its share of the messages.
    let queues = written.queues.map_or(2, |n| n.get()).min(placement.producers).min(placement.consumers);
    let queue = |index| QueuePlan {
        name: format!("streamharness.{run:08x}.work.{index}"),
        max_length: written.max_length.map(|n| n.get()),
        overflow: written.overflow.unwrap_or(Overflow::RejectPublish),
        expires: Duration::from_secs(600),
    };
    Ok(Service {
        confirms: written.confirms.unwrap_or(Confirms::Batch(one(64))),
        acks,
        prefetch,
        queues: (0..queues).map(queue).collect(),
        in_flight: in_flight(profile, message.body_bytes),
        republish_limit: written.republish_limit.unwrap_or(REPUBLISH_LIMIT_DEFAULT),
        heartbeat_s: written.heartbeat_s.unwrap_or(30),
        coalesce: written.coalesce.map_or_else(|| coalesce(prefetch), |span| span.0),
    })
}

/// With a small prefetch the broker waits for each acknowledgement, and would wait for a rest too.
fn coalesce(prefetch: u16) -> Duration {
    if (1..PREFETCH_STREAMING).contains(&prefetch) { Duration::ZERO } else { COALESCE_DEFAULT }
}

fn one(n: u32) -> std::num::NonZeroU32 {
    std::num::NonZeroU32::new(n).expect("defaults are not zero")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Origin, combine};

    fn resolve(text: &str, world: usize) -> Result<Plan, ProfileError> {
        let layer = Layer::parse(Origin::CommandLine, text)?;
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into()))?;
        Plan::resolve(&profile, world, 7)
    }

    #[test]
    fn dstream_gets_the_papers_settings() {
        let plan = resolve("", 4).unwrap();
        assert_eq!(plan.message.body_bytes, 16_000);
        assert_eq!(plan.service.confirms.to_string(), "batch:64");
        assert_eq!(plan.service.acks.to_string(), "multiple:64");
        assert_eq!((plan.service.prefetch, plan.service.queues.len()), (64, 2));
        assert_eq!(plan.service.queues[0].max_length, Some(131_072));
        assert_eq!(plan.length, RunLength::Messages(20_000));
    }

    #[test]
    fn half_produce_and_half_consume_unless_told_otherwise() {
        for (text, world, expected) in [
            ("", 4, (2, 2)),
            ("", 1, (1, 1)),
            ("", 5, (2, 3)),
            ("producers = 1", 8, (1, 7)),
            ("consumers = 3", 2, (1, 3)),
            ("producers = 2\nconsumers = 6", 1, (2, 6)),
        ] {
            let placement = resolve(text, world).unwrap().placement;
            assert_eq!((placement.producers, placement.consumers), expected, "{text} on {world}");
        }
    }

    #[test]
    fn no_queue_is_left_without_a_producer_or_a_consumer() {
        for (producers, consumers) in [(1, 1), (1, 2), (2, 1), (3, 2), (2, 5), (64, 64)] {
            let plan = resolve(&format!("producers = {producers}\nconsumers = {consumers}"), 4).unwrap();
            for queue in &plan.service.queues {
                assert!((0..producers).any(|i| plan.queue_of(i, producers) == queue));
                assert!((0..consumers).any(|i| plan.queue_of(i, consumers) == queue));
            }
        }
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused_with_a_way_out() {
        for (text, expected) in [
            ("producers = 65\nconsumers = 1", "mpirun -n 2"),
            ("messages = 5\nwarmup = '1s'", "--duration"),
            ("[service]\nacks = 'multiple:64'\nprefetch = 10", "--prefetch 64"),
            ("duration = '0s'", "30s"),
        ] {
            let error = resolve(text, 1).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn every_rank_resolves_the_same_plan_and_a_difference_shows_in_the_digest() {
        assert_eq!(resolve("", 4).unwrap().digest(), resolve("", 4).unwrap().digest());
        assert_ne!(resolve("", 4).unwrap().digest(), resolve("seed = 2", 4).unwrap().digest());
    }

    #[test]
    fn a_consumer_that_the_broker_waits_for_does_not_rest() {
        for (text, expected_us) in [
            ("", 200),
            ("[service]\nprefetch = 1\nacks = 'each'", 0),
            ("[service]\nprefetch = 0", 200),
            ("[service]\ncoalesce = '0s'", 0),
            ("[service]\nprefetch = 1\nacks = 'each'\ncoalesce = '50us'", 50),
        ] {
            assert_eq!(resolve(text, 2).unwrap().service.coalesce.as_micros(), expected_us, "{text}");
        }
    }

    #[test]
    fn large_messages_are_published_one_at_a_time() {
        assert_eq!(resolve("", 1).unwrap().service.in_flight, 64);
        let plan = resolve("[message]\nevents = 4000", 1).unwrap();
        assert_eq!((plan.message.body_bytes, plan.service.in_flight), (8_000_000, 1));
    }
}
