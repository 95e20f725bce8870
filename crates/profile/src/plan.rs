//! The plan of a run: a profile resolved for a number of ranks. Nothing after this can be invalid.

use crate::{
    contents::Fill,
    defaults,
    ejfat::Ejfat,
    ends::{self, External},
    error::{ProfileError, impossible},
    fault::{self, Fault},
    flow::Flow,
    knobs::{Delay, Role},
    load::{COUNT_BITS, Load},
    message::Message,
    names::{self, own_prefix},
    neighbours::Neighbours,
    placement::{Placement, share},
    profile::Profile,
    replay::Replay,
    requests::S3mProfile,
    service::{Service, in_flight, service},
    sink::Sink,
    spread::Spread,
    values::{Acks, Pattern, Verify},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{num::NonZeroU32, time::Duration};

/// Each worker has a connection, a thread and buffers of its own; more than this on one rank
/// would measure the rank.
const WORKERS_PER_RANK_MAX: u64 = 64;

/// One resolved run: the same value on every rank.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Identifies the run in every message and queue name.
    pub run: u32,
    /// Architecture: the name or file as written.
    pub architecture: String,
    /// Workload: the name or file as written.
    pub workload: String,
    /// Messaging pattern, by name; `flow` has its numbers.
    pub pattern: Pattern,
    /// Copies of a message and replies to it.
    pub flow: Flow,
    /// Ranks, producers and consumers.
    pub placement: Placement,
    /// When producers stop.
    pub length: RunLength,
    /// How fast messages are offered.
    pub load: Load,
    /// Seed of every random choice.
    pub seed: u64,
    /// Which bodies consumers check.
    pub verify: Verify,
    /// The messages.
    pub message: Message,
    /// Settings of the service and its clients.
    pub service: Service,
    /// EJFAT in place of a message broker.
    #[serde(default)]
    pub ejfat: Option<Ejfat>,
    /// The end that belongs to programs of others; `None`: both are the run's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
    /// How long a consumer works on each message.
    pub service_time: Option<Delay>,
    /// How long a producer pauses after each message.
    pub think_time: Option<Delay>,
    /// How workers spread over several addresses of their side.
    pub spread: Spread,
    /// How many of the service's nodes workers connect to directly, the first ones; `None`: all.
    pub nodes: Option<NonZeroU32>,
    /// Other tenants of the service while it streams; `None`: nothing is stated about them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub neighbours: Option<Neighbours>,
    /// Where arrived messages are written; `None`: nowhere, as in every measurement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Faults that it causes on purpose, ascending in time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// How long each wait may take.
    pub limits: Limits,
}

/// When producers stop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum RunLength {
    /// After this many messages of all producers together.
    Messages(u64),
    /// After a warm-up, a measured window and a cool-down.
    Window(MeasuredWindow),
}

/// The measured window, with its warm-up and cool-down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasuredWindow {
    /// Least time before the window.
    pub warmup_ns: u64,
    /// Least number of deliveries before the window.
    pub warmup_messages: u64,
    /// Per cent by which the rate may still change when the window begins; `None`: by any.
    pub steady_percent: Option<f64>,
    /// When the window begins in any case.
    pub warmup_limit_ns: u64,
    /// Length of the window.
    pub window_ns: u64,
    /// Time after the window in which producers continue.
    pub cooldown_ns: u64,
}

impl MeasuredWindow {
    /// Whether the beginning of the window is known in advance.
    pub fn is_timed(&self) -> bool {
        self.warmup_messages == 0 && self.steady_percent.is_none()
    }

    /// Longest time for which producers send.
    pub fn total_ns(&self) -> u64 {
        let warmup_ns = if self.is_timed() { self.warmup_ns } else { self.warmup_ns.max(self.warmup_limit_ns) };
        warmup_ns.saturating_add(self.window_ns).saturating_add(self.cooldown_ns)
    }
}

/// How long each wait may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Opening the route (which may start a testbed).
    pub route: Duration,
    /// Connecting one worker, TLS and login included.
    pub connect: Duration,
    /// One request to the broker.
    pub broker: Duration,
    /// Streaming, from the start to the last delivery.
    pub stream: Duration,
    /// One collective, once every rank is about to enter it.
    pub collective: Duration,
}

impl Plan {
    /// Resolves a combined profile for `world` ranks. `run` identifies the run; rank 0 draws it.
    ///
    /// All ranks are assumed to be on one host; use [`Self::resolve_on`] otherwise.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if parts of the profile contradict each other, or need more than a rank can have.
    pub fn resolve(profile: &Profile, world: usize, run: u32) -> Result<Self, ProfileError> {
        Self::resolve_on(profile, &vec![0; world], run)
    }

    /// Resolves a combined profile for one rank per element of `hosts`, which has the number of each rank's host.
    ///
    /// # Errors
    ///
    /// As [`Self::resolve`].
    pub fn resolve_on(profile: &Profile, hosts: &[u32], run: u32) -> Result<Self, ProfileError> {
        profile.route.check()?;
        let pattern = profile.pattern.unwrap_or(defaults::PATTERN);
        let external = External::resolve(profile, pattern)?;
        ends::attach(profile, pattern)?;
        let placement = place(profile, pattern, hosts)?;
        let busiest = (0..hosts.len()).map(|rank| placement.role(rank).producers.len()).max().unwrap_or_default();
        let seed = profile.seed.unwrap_or(defaults::SEED);
        let producers = (placement.producers, busiest as u32);
        let message = Message::resolve(&profile.message, producers, |body_bytes| in_flight(profile, body_bytes), seed)?;
        let length = length(profile, message.replay.as_ref())?;
        let flow = Flow::new(pattern, &placement);
        let load = Load::resolve(&profile.load, &message, placement.producers)?;
        if load.is_paced() && profile.think_time.is_some() {
            return impossible(
                "--rate and --think-time contradict each other, because both set when a producer sends next: use one of them",
            );
        }
        let ejfat = Ejfat::resolve(profile, pattern, placement.producers)?;
        let service = service(profile, pattern, &placement, &message, run)?;
        if ejfat.is_none() && profile.service_time.is_some() && (service.acks == Acks::Auto || service.prefetch == 0) {
            return impossible(
                "consumers that work on messages need something that holds the broker back, or their memory fills: with a \
                 service_time use --acks multiple:64 and --prefetch 64, not acks auto or a prefetch of 0",
            );
        }
        let stream = profile.timeout.map_or(defaults::TIMEOUT, |span| span.0)
            + match length {
                RunLength::Messages(_) => Duration::ZERO,
                RunLength::Window(window) => Duration::from_nanos(window.total_ns()),
            };
        let faults = fault::resolve(profile, &length, &placement, &service)?;
        let plan = Self {
            run,
            architecture: named(&profile.arch, "arch")?,
            workload: named(&profile.workload, "workload")?,
            pattern,
            flow,
            placement,
            length,
            load,
            seed,
            verify: profile.verify.unwrap_or(if message.inspected_bodies() > 0 {
                defaults::VERIFY_INSPECTED
            } else {
                defaults::VERIFY
            }),
            message,
            service,
            ejfat,
            external,
            service_time: profile.service_time,
            think_time: profile.think_time,
            spread: profile.route.spread.unwrap_or(defaults::SPREAD),
            nodes: profile.route.nodes,
            neighbours: Neighbours::resolve(&profile.neighbours)?,
            sink: Sink::resolve(&profile.sink)?,
            faults,
            limits: Limits {
                // Time to build a testbed, to wait for its parts, and to end it in order if one of them does not
                // respond.
                route: Duration::from_secs(300)
                    + profile.route.s3m.as_ref().map_or(Duration::ZERO, S3mProfile::ready_within),
                connect: Duration::from_secs(8),
                broker: Duration::from_secs(10),
                stream,
                collective: Duration::from_secs(60),
            },
        };
        plan.fits_its_limit()?;
        Ok(plan)
    }

    /// Checks that warm-up, window and cool-down fit into the limit on streaming.
    fn fits_its_limit(&self) -> Result<(), ProfileError> {
        let RunLength::Messages(messages) = self.length else { return Ok(()) };
        let limit_s = self.limits.stream.as_secs_f64();
        if self.load.is_paced() {
            let last = self.load.due_ns(u128::from(messages - 1) << COUNT_BITS);
            match last.map(|ns| ns as f64 / 1e9) {
                None => {
                    return impossible(format!(
                        "the phases end in silence before {messages} messages are due: use fewer --messages, or let \
                         the last phase end above 0"
                    ));
                }
                Some(last_s) if last_s > limit_s => {
                    return impossible(format!(
                        "the last message is due after {last_s:.0} s, over the limit of {limit_s:.0} s: use fewer \
                         --messages or a higher --rate, or give more time with --timeout {:.0}s",
                        last_s * 2.0
                    ));
                }
                Some(_) => {}
            }
        }
        let Placement { producers, consumers, .. } = self.placement;
        let delays = [
            ("producers pause", self.think_time, messages as f64 / f64::from(producers.max(1))),
            (
                "consumers work",
                self.service_time,
                messages as f64 * f64::from(self.flow.copies) / f64::from(consumers.max(1)),
            ),
        ];
        for (what, delay, each) in delays {
            let needed = delay.map_or(0.0, |delay| delay.mean().as_secs_f64()) * each;
            if needed > limit_s {
                return impossible(format!(
                    "{what} for {needed:.0} s in all, over the limit of {} s: use fewer --messages, or give more \
                     time with --timeout {:.0}s",
                    self.limits.stream.as_secs(),
                    needed * 2.0
                ));
            }
        }
        Ok(())
    }

    /// The same plan for another run, with queues and exchanges of its own unless their names are given.
    pub fn with_run(&self, run: u32) -> Self {
        let (old, new) = (own_prefix(self.run), own_prefix(run));
        let rename = |name: &mut String| {
            if let Some(rest) = name.strip_prefix(&old) {
                *name = format!("{new}{rest}");
            }
        };
        let mut plan = Self { run, ..self.clone() };
        plan.service.exchanges.iter_mut().for_each(|exchange| rename(&mut exchange.name));
        for queue in &mut plan.service.queues {
            rename(&mut queue.name);
            if let Some(binding) = &mut queue.binding {
                rename(&mut binding.exchange);
                rename(&mut binding.key);
            }
        }
        plan
    }

    /// SHA-256 of the plan, with which ranks check that their plans are equal.
    pub fn digest(&self) -> [u8; 32] {
        let bytes = bincode::serde::encode_to_vec(self, bincode::config::standard())
            .expect("a plan holds only types that bincode encodes");
        Sha256::digest(bytes).into()
    }

    /// The prefix of all its exchanges and queues.
    pub fn name_prefix(&self) -> String {
        names::prefix(self.service.names.as_deref(), self.run)
    }

    /// Messages that a producer sends, if the run has a number of messages.
    pub fn messages_of(&self, producer: u32) -> Option<u64> {
        match self.length {
            RunLength::Messages(total) => Some(share(total, self.placement.producers, producer)),
            RunLength::Window(_) => None,
        }
    }

    /// Part of one core that the inspections of a rank may use; `None`: every checked body is inspected.
    pub fn inspection_share(&self) -> Option<f64> {
        (self.verify == Verify::Sampled).then_some(defaults::INSPECTION_SHARE)
    }

    /// Memory that one producer and one consumer hold for bodies, in bytes.
    pub fn body_memory(&self) -> (u64, u64) {
        let body = self.message.body_bytes;
        // A consumer copies the bodies that it echoes, as many as replies can be in flight.
        let replies = if self.flow.replies == 0 { 0 } else { u64::from(self.service.reply_in_flight) };
        let reply = self.service.reply_bytes(body);
        let ring = match (&self.message.replay, self.message.fill) {
            (Some(replay), _) => replay.memory_bytes,
            (None, Fill::Ring) => u64::from(self.message.ring_bodies) * body,
            (None, Fill::Fresh) => u64::from(self.service.in_flight + 1) * body,
        };
        let received_replies = if self.flow.replies == 0 { 0 } else { u64::from(self.service.reply_prefetch) * reply };
        let received = u64::from(self.service.prefetch) + u64::from(self.message.inspected_bodies());
        (ring + received_replies, received * body + replies * reply)
    }
}

fn named(name: &Option<String>, key: &str) -> Result<String, ProfileError> {
    name.clone().map_or_else(|| impossible(format!("the profile names no `{key}`")), Ok)
}

fn place(profile: &Profile, pattern: Pattern, hosts: &[u32]) -> Result<Placement, ProfileError> {
    let world = hosts.len();
    let ranks = u32::try_from(world).unwrap_or(u32::MAX);
    let roles = roles(profile, world)?;
    // At least one, so that an end without a rank is refused unless the user gives it to others.
    let playing = |role: Role| roles.iter().filter(|other| **other == role).count().max(1) as u32;
    let requested = match roles {
        [] => (profile.producers, profile.consumers),
        _ => (
            Some(profile.producers.unwrap_or(playing(Role::Producer))),
            Some(profile.consumers.unwrap_or(playing(Role::Consumer))),
        ),
    };
    let rest = |taken: u32| ranks.saturating_sub(taken).max(1);
    let (producers, consumers) = match requested {
        (Some(producers), Some(consumers)) => (producers, consumers),
        (Some(producers), None) => (producers, rest(producers)),
        (None, Some(consumers)) => (rest(consumers), consumers),
        (None, None) if pattern.is_broadcast() => (1, rest(1)),
        (None, None) => ((ranks / 2).max(1), rest((ranks / 2).max(1))),
    };
    let workers = u64::from(producers) + u64::from(consumers);
    if workers > world as u64 * WORKERS_PER_RANK_MAX {
        let needed = workers.div_ceil(WORKERS_PER_RANK_MAX);
        return impossible(format!(
            "{producers} producers and {consumers} consumers are too many for {world} rank(s): a rank plays at most \
             {WORKERS_PER_RANK_MAX} workers, so start at least {needed} ranks (mpirun -n {needed}) or use fewer workers"
        ));
    }
    if roles.is_empty() {
        return Placement::new(producers, consumers, profile.layout.unwrap_or(defaults::LAYOUT), hosts);
    }
    for (workers, role) in [(producers, Role::Producer), (consumers, Role::Consumer)] {
        let of_a_rank = u64::from(workers.div_ceil(playing(role)));
        if of_a_rank > WORKERS_PER_RANK_MAX {
            return impossible(format!(
                "{workers} {role}s are too many for the ranks with this role: a rank plays at most {WORKERS_PER_RANK_MAX} workers, so \
                 give it to more ranks or use fewer workers"
            ));
        }
    }
    Placement::by_roles(producers, consumers, roles)
}

/// The role of each rank; none if the layout decides.
fn roles(profile: &Profile, world: usize) -> Result<&[Role], ProfileError> {
    let Some(roles) = &profile.roles else { return Ok(&[]) };
    if profile.layout.is_some() {
        return impossible(
            "--layout and roles of ranks contradict each other, because both place producers and consumers: leave one out",
        );
    }
    if roles.len() != world {
        let stated = roles.len();
        return impossible(format!(
            "`roles` has the role of {stated} rank(s), and this launch has {world}: give each rank one"
        ));
    }
    Ok(roles)
}

fn length(profile: &Profile, replay: Option<&Replay>) -> Result<RunLength, ProfileError> {
    if let Some(replay) = replay.filter(|replay| !replay.repeat) {
        let messages = replay.messages;
        if profile.duration.is_some() {
            return impossible(format!(
                "a run by time does not end after the {messages} messages of its files: set message.files.loop = true, or leave \
                 --duration out"
            ));
        }
        if profile.messages.is_some_and(|wanted| wanted.get() > messages) {
            return impossible(format!(
                "the files have {messages} messages, and each is sent once: use --messages {messages}, or set \
                 message.files.loop = true"
            ));
        }
    }
    let nanoseconds = |span: Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    match (profile.messages, profile.duration, profile.warmup) {
        (Some(_), _, Some(_)) => impossible(
            "a warm-up needs a measured window: give --duration instead of --messages, or leave --warmup out"
                .to_owned(),
        ),
        (_, Some(window), _) if window.0.is_zero() => {
            impossible("--duration 0s measures nothing: give it a length such as 30s".to_owned())
        }
        (_, Some(window), warmup) => {
            let warmup = warmup.unwrap_or_default();
            let cooldown = profile.cooldown.map_or((window.0 / 10).min(defaults::COOLDOWN_MAX), |span| span.0);
            Ok(RunLength::Window(MeasuredWindow {
                warmup_ns: warmup.time.map_or(0, nanoseconds),
                warmup_messages: warmup.messages.unwrap_or(0),
                steady_percent: warmup.steady_percent,
                warmup_limit_ns: nanoseconds(profile.warmup_limit.map_or(defaults::WARMUP_LIMIT, |span| span.0)),
                window_ns: nanoseconds(window.0),
                cooldown_ns: nanoseconds(cooldown),
            }))
        }
        (messages, None, _) => Ok(RunLength::Messages(
            messages.map_or(replay.map_or(defaults::MESSAGES, |replay| replay.messages), |n| n.get()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layer, Origin, combine, sample};

    fn resolve(text: &str, world: usize) -> Result<Plan, ProfileError> {
        sample::plan(text, world)
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
    fn half_produce_and_half_consume_by_default() {
        for (text, world, expected) in [
            ("", 4, (2, 2)),
            ("", 1, (1, 1)),
            ("", 5, (2, 3)),
            ("pattern = 'broadcast'", 5, (1, 4)),
            ("pattern = 'broadcast-gather'", 1, (1, 1)),
            ("producers = 1", 8, (1, 7)),
            ("consumers = 3", 2, (1, 3)),
            ("producers = 2\nconsumers = 6", 1, (2, 6)),
        ] {
            let placement = resolve(text, world).unwrap().placement;
            assert_eq!((placement.producers, placement.consumers), expected, "{text} on {world}");
        }
    }

    #[test]
    fn each_rank_with_a_role_plays_it_once_by_default() {
        let roles = "roles = ['producer', 'consumer', 'consumer', 'consumer']";
        for (more, expected) in [("", (1, 3)), ("consumers = 6", (1, 6)), ("producers = 0", (0, 3))] {
            let placement = resolve(&format!("{roles}\n{more}"), 4).unwrap().placement;
            assert_eq!((placement.producers, placement.consumers), expected, "{more}");
            assert!(placement.role(0).consumers.is_empty(), "{more}");
        }
    }

    #[test]
    fn parts_that_do_not_fit_together_are_refused_with_a_way_out() {
        for (text, expected) in [
            ("producers = 65\nconsumers = 1", "mpirun -n 2"),
            ("roles = ['producer', 'consumer']", "has the role of 2 rank(s), and this launch has 1"),
            ("roles = ['producer']", "start some with --role consumer"),
            ("roles = ['producer']\nlayout = 'block'", "contradict each other"),
            ("messages = 5\nwarmup = '1s'", "--duration"),
            ("[service]\nacks = 'multiple:64'\nprefetch = 10", "--prefetch 64"),
            ("duration = '0s'", "30s"),
            ("messages = 100000\nservice_time = 'constant:10ms'", "--timeout 2000s"),
            ("messages = 100000\n[load]\nrate = '10/s'", "--timeout 20000s"),
            ("messages = 21\n[load]\nrate = '10/s'\nphases = 'hold max for 1s, ramp max..0 over 2s'", "end in silence"),
            ("layout = 'by-host'", "two hosts"),
            ("service_time = 'constant:1ms'\n[service]\nacks = 'auto'", "--acks multiple:64"),
            ("[sink]\nform = 'hdf5'", "add --sink DIR"),
            ("service_time = 'constant:1ms'\n[service]\nprefetch = 0", "--prefetch 64"),
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
    fn another_run_of_a_plan_differs_in_the_names_of_what_is_its_own() {
        for pattern in ["work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"] {
            let text = format!("pattern = '{pattern}'");
            let layer = Layer::parse(Origin::CommandLine, &text).unwrap();
            let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
            let (first, second) = (Plan::resolve(&profile, 4, 7).unwrap(), Plan::resolve(&profile, 4, 8).unwrap());
            assert_eq!(first.with_run(8), second, "{pattern}");
            assert_ne!(first.service.queues, second.service.queues, "{pattern}");
        }
    }

    #[test]
    fn a_plan_is_read_back_from_its_json_as_it_was() {
        let workloads = crate::list(crate::Kind::Workload).map(|workload| format!("workload = '{}'", workload.name));
        let settings = [
            "pattern = 'broadcast-gather'\nduration = '3s'\nwarmup = 'auto:2%'\n[load]\nrate = 'nominal'",
            "messages = 50\n[load]\nrate = '1000/s'\narrivals = 'poisson'",
            "service_time = 'uniform:1ms-3ms'\npattern = 'work-sharing-feedback'\n[service]\nconfirms = 'window:9'\nreply = '64B'",
            "seed = 9223372036854775807\nverify = 'every:3'\n[message]\nevents = 'poisson:8'\n[route]\nspread = 2\nnodes = 2",
            "messages = 50\n[load]\nrate = '1000/s'\nphases = 'ramp 0..max over 3s, hold 50% for 1s'",
            "messages = 50\n[load]\nrate = '1000/s'\narrivals = 'on-off:1s-4s'",
        ];
        let settings = settings.map(str::to_owned);
        for text in workloads.chain(settings) {
            let plan = resolve(&text, 4).unwrap_or_else(|error| panic!("{text}: {error}"));
            let json = serde_json::to_string(&plan).unwrap();
            let read: Plan = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, plan, "{text}");
        }
    }

    #[test]
    fn inspections_are_sampled_unless_asked_for_where_a_library_makes_them() {
        for (text, verify, share) in [
            ("", Verify::All, None),
            ("workload = 'lstream'", Verify::Sampled, Some(defaults::INSPECTION_SHARE)),
            ("workload = 'lstream'\nverify = 'all'", Verify::All, None),
            ("workload = 'lstream'\nverify = 'every:3'", "every:3".parse().unwrap(), None),
            ("verify = 'sampled'", Verify::Sampled, Some(defaults::INSPECTION_SHARE)),
        ] {
            let plan = resolve(text, 1).unwrap();
            assert_eq!((plan.verify, plan.inspection_share()), (verify, share), "{text}");
        }
    }

    #[test]
    fn large_messages_are_published_one_at_a_time() {
        assert_eq!(resolve("", 1).unwrap().service.in_flight, 64);
        let plan = resolve("[message]\nevents = 4000", 1).unwrap();
        assert_eq!((plan.message.body_bytes, plan.service.in_flight), (8_000_000, 1));
    }
}
