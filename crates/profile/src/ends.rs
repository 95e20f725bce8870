//! One end only: the other end of the stream belongs to programs of others.

use crate::{
    defaults,
    error::{ProfileError, impossible},
    fault::Side,
    profile::{LoadProfile, Profile},
    stamp::Stamp,
    values::Pattern,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a run waits for the other end at most: a person has to start it.
const WAIT_MAX: Duration = Duration::from_secs(3600);

/// The end that is not the run's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Whose workers are programs of others.
    pub side: Side,
    /// How long the run waits for them before it streams; `None`: not at all.
    pub wait: Option<Duration>,
    /// The value of a message that tells when it was sent; `None`: its latency is not known.
    pub timestamp: Option<Stamp>,
}

impl External {
    /// That of a profile; `None` if both ends are the run's own.
    pub(crate) fn resolve(profile: &Profile, pattern: Pattern) -> Result<Option<Self>, ProfileError> {
        let wait = profile.wait_for_peers.map(|span| span.0);
        let timestamp = profile.service.timestamp.clone();
        let side = match (profile.producers, profile.consumers) {
            (Some(0), Some(0)) => {
                return impossible(
                    "a run without producers and without consumers does nothing: leave one of them at 1 or more",
                );
            }
            (Some(0), _) => Side::Producer,
            (_, Some(0)) => Side::Consumer,
            _ => return both_ends(wait, timestamp.as_ref()),
        };
        if profile.route.ejfat.is_some() {
            return impossible(
                "external programs are reached through a broker: use an architecture with one, not EJFAT",
            );
        }
        if wait.is_some_and(|wait| wait.is_zero() || wait > WAIT_MAX) {
            return impossible("--wait-for-peers takes 1s to 1h: give a time such as 60s");
        }
        let external = Self { side, wait, timestamp };
        match side {
            Side::Consumer => external.consumers(profile, pattern)?,
            Side::Producer => external.producers(profile, pattern)?,
        }
        Ok(Some(external))
    }

    fn consumers(&self, profile: &Profile, pattern: Pattern) -> Result<(), ProfileError> {
        if pattern.is_broadcast() && pattern.has_replies() {
            return impossible(
                "how many replies a message gets is not known where consumers are programs of others: use --pattern \
                 work-sharing-feedback, or broadcast without replies",
            );
        }
        let refused = [
            (
                profile.service_time.is_some(),
                "service_time is how long the run's own consumers work: leave it out with --consumers 0",
            ),
            (
                self.timestamp.is_some(),
                "service.timestamp is for messages of external producers: use --producers 0, or leave it out",
            ),
            (
                profile.sink.dir.is_some(),
                "--sink writes what the run's own consumers get: leave it out with --consumers 0",
            ),
            (
                self.wait.is_some()
                    && profile.service.queue.is_none()
                    && (pattern.is_broadcast() || profile.service.exchange.is_some()),
                "AMQP does not tell who is bound to an exchange: start the consumers first and leave --wait-for-peers out, or use \
                 --queue",
            ),
        ];
        refuse(&refused)
    }

    fn producers(&self, profile: &Profile, pattern: Pattern) -> Result<(), ProfileError> {
        if pattern.has_replies() {
            return impossible(format!(
                "{pattern} measures round trips at the run's own producers: use --pattern work-sharing or broadcast with --producers 0"
            ));
        }
        let refused = [
            (
                profile.load != LoadProfile::default(),
                "external producers set the rate: leave --rate, --arrivals and --phases out with --producers 0",
            ),
            (
                profile.think_time.is_some(),
                "external producers set the rate: leave --think-time out with --producers 0",
            ),
            (profile.message.files.paths.is_some(), "with --producers 0 nothing is sent: leave --from out"),
            (
                profile.sink.dir.is_some(),
                "--sink names what it writes by the run's own producers: leave it out with --producers 0",
            ),
            (
                self.wait.is_some() && pattern.is_broadcast(),
                "each consumer of a broadcast has a queue of its own, which is there only once it consumes: leave \
                 --wait-for-peers out",
            ),
        ];
        refuse(&refused)
    }
}

fn refuse(refused: &[(bool, &str)]) -> Result<(), ProfileError> {
    match refused.iter().find(|(is, _)| *is) {
        Some((_, sentence)) => impossible(*sentence),
        None => Ok(()),
    }
}

fn both_ends(wait: Option<Duration>, timestamp: Option<&Stamp>) -> Result<Option<External>, ProfileError> {
    if wait.is_some() {
        return impossible("both ends are this run's: --wait-for-peers goes with --consumers 0 or --producers 0");
    }
    if timestamp.is_some() {
        return impossible("the run knows when its own messages were sent: service.timestamp goes with --producers 0");
    }
    Ok(None)
}

/// Whether settings of queues and exchanges go with those that exist already.
pub(crate) fn attach(profile: &Profile, pattern: Pattern) -> Result<(), ProfileError> {
    let written = &profile.service;
    let (queue, exchange) = (written.queue.as_ref(), written.exchange.as_ref());
    for (flag, name) in [("--queue", queue), ("--exchange", exchange), ("service.names", written.names.as_ref())] {
        if let Some(name) = name.filter(|name| name.is_empty() || name.len() > NAME_BYTES_MAX) {
            return impossible(format!(
                "{flag} takes a name of 1 to {NAME_BYTES_MAX} bytes, and `{name}` has {}",
                name.len()
            ));
        }
    }
    if profile.route.ejfat.is_some() && (queue.is_some() || exchange.is_some() || written.names.is_some()) {
        return impossible("EJFAT has no queues and exchanges: leave --queue, --exchange and service.names out");
    }
    let settings = [
        written.durable.is_some(),
        written.max_length.is_some(),
        written.max_bytes.is_some(),
        written.overflow.is_some(),
        written.ttl.is_some(),
        written.leader.is_some(),
    ];
    let several = written.queues.is_some_and(|queues| queues.get() > 1);
    let refused = [
        (
            queue.is_some() && settings.contains(&true),
            "a queue that exists keeps its settings: leave durable, max_length, max_bytes, overflow, ttl and leader out with --queue",
        ),
        (queue.is_some() && several, "--queue is one queue: leave --queues out"),
        (
            queue.is_some() && pattern.is_broadcast(),
            "in a broadcast each consumer has a queue of its own: use --exchange in place of --queue, or --pattern work-sharing",
        ),
        (
            exchange.is_some() && several,
            "an exchange gives each queue a copy, so several queues would get every message several times: leave --queues out with \
             --exchange",
        ),
        (
            written.routing_key.is_some() && exchange.is_none(),
            "service.routing_key is for messages to an exchange: add --exchange NAME",
        ),
    ];
    refuse(&refused)
}

/// The longest name that leaves room for the endings of several queues in a short string of AMQP.
const NAME_BYTES_MAX: usize = 200;

/// How many queues of its own a run has: those of external consumers are one, which a program can name, unless more are asked for.
pub(crate) fn shared_queues(profile: &Profile, consumers: u32) -> u32 {
    let written = profile.service.queues.map(std::num::NonZeroU32::get);
    match consumers {
        0 => written.unwrap_or(1),
        _ if profile.service.exchange.is_some() => 1,
        // A queue without a consumer would lose its share of the messages.
        _ => written.unwrap_or(defaults::QUEUES).min(consumers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, sample};

    fn resolve(text: &str) -> Result<Plan, ProfileError> {
        sample::plan(text, 4)
    }

    #[test]
    fn all_ranks_work_at_the_end_that_is_the_runs_own() {
        let plan = resolve("consumers = 0").unwrap();
        assert_eq!((plan.placement.producers, plan.placement.consumers), (4, 0));
        assert_eq!((plan.flow.copies, plan.flow.replies, plan.service.queues.len()), (0, 0, 1));
        assert_eq!(plan.target_of(3).keys, ["streamharness.00000007.work.0"]);
        let plan = resolve("producers = 0\nduration = '1s'").unwrap();
        assert_eq!((plan.placement.producers, plan.placement.consumers), (0, 4));
        assert_eq!(plan.external.as_ref().unwrap().side, Side::Producer);
        let plan = resolve("consumers = 0\npattern = 'work-sharing-feedback'\nwait_for_peers = '5s'").unwrap();
        assert_eq!((plan.flow.copies, plan.flow.replies, plan.flow.gathers), (0, 1, false));
        assert_eq!(plan.external.unwrap().wait, Some(Duration::from_secs(5)));
        assert_eq!(resolve("").unwrap().external, None);
    }

    #[test]
    fn names_are_stable_where_they_are_given() {
        let plan = resolve("consumers = 0\n[service]\nnames = 'lcls.frames'\nqueues = 2").unwrap();
        let names = |plan: &Plan| plan.service.queues.iter().map(|queue| queue.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&plan), ["lcls.frames.work.0", "lcls.frames.work.1"]);
        assert_eq!(names(&plan.with_run(8)), names(&plan));
        assert_eq!(plan.name_prefix(), "lcls.frames.");
        let feedback = resolve("pattern = 'work-sharing-feedback'\n[service]\nnames = 'x'").unwrap();
        assert_eq!(feedback.reply_source_of(1).unwrap().queue.name, "x.reply.1");
        assert_eq!(feedback.service.exchanges[0].name, "x.replies");
    }

    #[test]
    fn what_exists_is_neither_declared_nor_deleted() {
        let plan = resolve("[service]\nqueue = 'frames'").unwrap();
        let queue = &plan.service.queues[0];
        assert_eq!((queue.name.as_str(), queue.attached, queue.expires), ("frames", true, None));
        assert_eq!(plan.target_of(0).keys, ["frames"]);
        let plan = resolve("[service]\nexchange = 'camera'\nrouting_key = 'run42'").unwrap();
        let (exchange, queue) = (&plan.service.exchanges[0], &plan.service.queues[0]);
        assert!(exchange.attached && !queue.attached && plan.service.queues.len() == 1);
        let binding = queue.binding.as_ref().unwrap();
        assert_eq!((binding.exchange.as_str(), binding.key.as_str()), ("camera", "run42"));
        let target = plan.target_of(0);
        assert_eq!((target.exchange.as_str(), &target.keys[..]), ("camera", &["run42".to_owned()][..]));
        let plan = resolve("consumers = 0\n[service]\nexchange = 'camera'").unwrap();
        assert!(plan.service.queues.is_empty());
        let plan =
            resolve("producers = 0\nduration = '1s'\npattern = 'broadcast'\n[service]\nexchange = 'camera'").unwrap();
        assert_eq!((plan.service.exchanges.len(), plan.service.queues.len()), (1, 4));
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_a_way_out() {
        for (text, expected) in [
            ("producers = 0\nconsumers = 0", "leave one of them"),
            ("consumers = 0\npattern = 'broadcast-gather'", "work-sharing-feedback"),
            ("consumers = 0\nservice_time = 'constant:1ms'", "service_time"),
            ("consumers = 0\npattern = 'broadcast'\nwait_for_peers = '5s'", "start the consumers first"),
            ("consumers = 0\nwait_for_peers = '2h'", "1s to 1h"),
            ("producers = 0\npattern = 'work-sharing-feedback'", "round trips"),
            ("producers = 0\n[load]\nrate = '5/s'", "--rate"),
            ("producers = 0\npattern = 'broadcast'\nwait_for_peers = '5s'", "leave"),
            ("wait_for_peers = '5s'", "--consumers 0"),
            ("[service]\ntimestamp = 'property'", "--producers 0"),
            ("consumers = 0\n[service]\ntimestamp = 'property'", "--producers 0"),
            ("[service]\nqueue = 'a'\nmax_length = 5", "keeps its settings"),
            ("[service]\nqueue = 'a'\nqueues = 2", "--queues"),
            ("pattern = 'broadcast'\n[service]\nqueue = 'a'", "--exchange"),
            ("[service]\nqueue = ''", "1 to 200 bytes"),
            ("[service]\nexchange = 'a'\nqueues = 2", "several times"),
            ("[service]\nrouting_key = 'a'", "--exchange NAME"),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
