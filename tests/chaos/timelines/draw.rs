//! Which run a timeline has, and which faults at which times: drawn from the seed and the number of the timeline.

use crate::{
    fault::{Permits, weighted},
    plan::{Length, Plan, Way, Where, bodies, one_of},
};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeSet, time::Duration};

/// A run and the faults that it causes.
pub struct Timeline {
    pub plan: Plan,
    pub faults: Vec<Drawn>,
    pub confirms: &'static str,
    /// How long workers try to come back.
    pub reconnect_s: u32,
}

/// One fault as it was drawn.
#[derive(Debug, Clone)]
pub struct Drawn {
    pub verb: &'static str,
    pub object: String,
    pub at_ms: u64,
    /// Before it is undone; `None`: when the run ends, or never.
    pub for_ms: Option<u64>,
}

/// Routes with their parts in front of the nodes, and the hosts of their links besides those of nodes and clients.
const ROUTES: [(&str, &[&str], &[&str]); 11] = [
    ("dts", &[], &[]),
    ("dts-plain", &[], &[]),
    ("dts-nlb", &[], &["nlb"]),
    ("prs-haproxy", &PROXIES, &[]),
    ("prs-haproxy-4", &PROXIES, &[]),
    ("prs-stunnel", &PROXIES, &[]),
    ("one-proxy", &["consumer proxy", "consumer control server"], &[]),
    ("mss", &["balancer", "ingress"], &["lb", "ingress"]),
    ("ingress", &["ingress"], &["ingress"]),
    ("mss-gateway", &["gateway 1"], &["gw1"]),
    ("mss-gateway-3", &["gateway 1", "gateway 2", "gateway 3"], &["gw2"]),
];
const PROXIES: [&str; 4] = ["producer proxy", "consumer proxy", "producer control server", "consumer control server"];
const PATTERNS: [&str; 5] = ["work-sharing", "work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"];
/// The least time from the start to a fault, and from its end to that of the window.
const MARGIN_MS: u64 = 600;
/// A worker that is without a connection for longer gives up.
const LONG_S: u32 = 90;
const SHORT_S: u32 = 6;

/// Draws timeline `number` of a seed: the same, whatever was drawn before.
pub fn draw(seed: u64, number: u64) -> Timeline {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    let rng = &mut rng;
    let (route, parts, links) = *ROUTES.choose(rng).expect("a choice");
    let queue_type = one_of(rng, &["classic", "quorum", "quorum", "stream"]);
    let confirms = one_of(rng, &["each", "window:16", "window:64", "batch:16", "none"]);
    let mut timeline =
        Timeline { plan: plan(rng, route, queue_type, confirms), faults: Vec::new(), confirms, reconnect_s: LONG_S };
    let most_ms = rng.random_range(6..=9) * 1000;
    let mut taken = BTreeSet::new();
    for _ in 0..rng.random_range(1..=3) {
        let fault = fault(rng, (route, parts, links), &timeline.plan, most_ms);
        // One fault at a time on a part.
        if taken.insert(place(&fault).to_owned()) {
            timeline.faults.push(fault);
        }
    }
    timeline.faults.sort_by_key(|fault| fault.at_ms);
    // What never comes back is waited for until a worker gives up: not for long.
    let for_good = timeline.faults.iter().any(Drawn::is_for_good);
    if for_good || rng.random_bool(0.1) {
        timeline.reconnect_s = SHORT_S;
    }
    let end_ms = timeline.faults.iter().map(|fault| fault.at_ms + fault.for_ms.unwrap_or_default()).max();
    let length_ms = most_ms.max(end_ms.unwrap_or_default() + MARGIN_MS);
    timeline.plan.length = Length::Time(Duration::from_millis(length_ms));
    timeline.plan.set("duration", format!("{length_ms}ms"));
    timeline.plan.set("service.reconnect.limit", format!("{}s", timeline.reconnect_s));
    timeline.plan.faults = timeline.faults.iter().map(Drawn::text).collect();
    timeline
}

/// A run that can live through faults.
fn plan(rng: &mut ChaCha8Rng, route: &'static str, queue_type: &'static str, confirms: &'static str) -> Plan {
    let pattern = one_of(rng, &PATTERNS);
    let producers = if pattern.starts_with("broadcast") { 1 } else { rng.random_range(1..=3) };
    let stream = queue_type == "stream";
    let acks = one_of(
        rng,
        if stream { &["each", "multiple:8"] } else { &["each", "each", "multiple:8", "multiple:64", "auto"] },
    );
    let timeout = Duration::from_secs(120);
    let mut settings = vec![
        ("pattern", pattern.to_owned()),
        ("producers", producers.to_string()),
        ("consumers", rng.random_range(1..=3).to_string()),
        ("load.rate", one_of(rng, &["50/s", "100/s", "200/s"]).to_owned()),
        ("timeout", format!("{}s", timeout.as_secs())),
        ("seed", rng.random_range(1..1000).to_string()),
        ("service.queue_type", queue_type.to_owned()),
        ("service.confirms", confirms.to_owned()),
        ("service.acks", acks.to_owned()),
        ("service.client", one_of(rng, &["native", "native", "lapin"]).to_owned()),
        ("service.prefetch", one_of(rng, &["64", "100"]).to_owned()),
        ("service.queues", rng.random_range(1..=3).to_string()),
        ("service.leader", one_of(rng, &["client-local", "spread"]).to_owned()),
        ("service.overflow", one_of(rng, &["reject-publish", "drop-head"]).to_owned()),
    ];
    if queue_type == "classic" && rng.random_bool(0.5) {
        settings.extend([("service.durable", "true".to_owned()), ("service.persistent", "true".to_owned())]);
    }
    settings.extend(bodies(rng));
    Plan {
        ranks: rng.random_range(2..=3),
        launched: true,
        service: Where::Network,
        way: Way::Testbed(route),
        length: Length::Time(Duration::ZERO),
        timeout,
        repeat: 1,
        sweep: false,
        pattern,
        queue_type,
        confirms: confirms != "none",
        acks_auto: acks == "auto",
        settings,
        faults: Vec::new(),
    }
}

/// What may be done to a route, each with the weight by which it is drawn.
fn fault(rng: &mut ChaCha8Rng, (route, parts, links): (&str, &[&str], &[&str]), plan: &Plan, most_ms: u64) -> Drawn {
    // Only shared queues have a leader that is moved.
    let quorum = plan.queue_type == "quorum" && !plan.pattern.starts_with("broadcast");
    let managed = ["mss", "ingress", "mss-gateway", "mss-gateway-3"].contains(&route);
    let on_part = if parts.is_empty() { 0 } else { 5 };
    let kinds = [
        ("kill", on_part),
        ("stop", on_part / 2),
        ("restart", on_part),
        ("kill node", 2),
        ("stop node", 2),
        ("restart node", 1),
        ("cut", 3),
        ("slow", 1),
        ("drop", 2),
        ("close", 4),
        ("alarm", 2),
        ("move", if quorum { 3 } else { 0 }),
        ("suspend", 1),
        ("expire", u32::from(managed)),
    ];
    let kind = weighted(rng, &kinds);
    let node = format!("node {}", rng.random_range(1..=3));
    let part = parts.choose(rng).map(|part| (*part).to_owned()).unwrap_or_default();
    let nodes = ["dsn1", "dsn2", "dsn3", "clients"];
    let link = format!("link {}", nodes.iter().chain(links).collect::<Vec<_>>().choose(rng).expect("a choice"));
    let (verb, object) = match kind {
        "kill" | "stop" | "restart" => (kind, part),
        "kill node" => ("kill", node),
        "stop node" => ("stop", node),
        "restart node" => ("restart", node),
        "cut" => ("cut", link),
        "slow" => ("slow", format!("{link} to {}Mbit/s", one_of(rng, &["1", "10"]))),
        "drop" => ("drop", format!("{}% on {link}", one_of(rng, &["1", "5", "30"]))),
        "close" => ("close", "connections".to_owned()),
        "alarm" => ("alarm", format!("{} {node}", one_of(rng, &["memory", "disk"]))),
        "move" => ("move", "leader".to_owned()),
        "suspend" => ("suspend", format!("rank {}", rng.random_range(1..plan.ranks))),
        _ => ("expire", "cluster".to_owned()),
    };
    let at_ms = MARGIN_MS + 100 * rng.random_range(0..(most_ms - 2 * MARGIN_MS) / 100);
    let for_ms = match verb {
        "restart" | "close" | "move" | "expire" => None,
        // Until the run ends.
        "kill" if rng.random_bool(0.1) => None,
        // Longer than a connection is silent without notice.
        _ if rng.random_bool(0.2) => Some(7000),
        _ => Some(100 * rng.random_range(3..=35)),
    };
    Drawn { verb, object, at_ms, for_ms }
}

/// What a fault is on.
fn place(fault: &Drawn) -> &str {
    let named = fault.object.find("link ").map_or(fault.object.as_str(), |at| &fault.object[at..]);
    // An alarm is raised by its node.
    let named = named.find("node ").map_or(named, |at| &named[at..]);
    // What slows a link comes behind it, and a proxy ends with its control server.
    named.split(" to ").next().unwrap_or(named).trim_end_matches(" proxy").trim_end_matches(" control server")
}

impl Drawn {
    /// As `--fault` takes it.
    fn text(&self) -> String {
        let Self { verb, object, at_ms, for_ms } = self;
        let length = for_ms.map_or_else(String::new, |ms| format!(" for {ms}ms"));
        format!("at {at_ms}ms: {verb} {object}{length}")
    }

    pub fn is_on_node(&self) -> bool {
        self.object.starts_with("node ")
    }

    /// Whether something is gone as long as the run lasts.
    pub fn is_for_good(&self) -> bool {
        self.verb == "expire" || (self.verb == "kill" && self.for_ms.is_none())
    }

    /// Whether nothing but time may be lost by it.
    fn only_delays(&self) -> bool {
        ["alarm", "slow"].contains(&self.verb)
    }
}

impl Timeline {
    /// Whether what the broker has confirmed must arrive, whatever happens.
    pub fn keeps_its_promise(&self) -> bool {
        let replicated = self.plan.queue_type != "classic";
        replicated
            && self.plan.confirms
            && !self.plan.acks_auto
            && self.faults.iter().all(|fault| fault.verb != "expire")
    }

    /// Whether workers may give up before their connection comes back.
    pub fn may_give_up(&self) -> bool {
        self.reconnect_s == SHORT_S
    }

    /// What may come of the run.
    pub fn permits(&self) -> Permits {
        let disturbed = self.faults.iter().any(|fault| !fault.only_delays());
        let node = self.faults.iter().any(|fault| fault.is_on_node() && fault.verb != "stop");
        let mut codes = Vec::new();
        if disturbed {
            // Lost, where nothing was promised; undetermined; replies that never come.
            codes.extend([4, 7]);
        }
        if self.may_give_up() {
            codes.push(3);
        }
        Permits {
            codes,
            passes: true,
            lost: disturbed && !self.keeps_its_promise(),
            kept: disturbed,
            uncounted: node,
            ..Permits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, combine};

    #[test]
    fn every_timeline_that_is_drawn_is_a_valid_plan_and_all_kinds_are_drawn() {
        let mut seen = BTreeSet::new();
        for number in 1..400 {
            let timeline = draw(1, number);
            let plan = &timeline.plan;
            let Way::Testbed(route) = plan.way else { panic!("{plan}") };
            let arch = [format!("arch={route}")];
            let settings = plan.settings.iter().map(|(key, value)| format!("{key}={value}")).chain(arch);
            let layers: Result<Vec<_>, _> = settings.map(|setting| Layer::assignment(&setting)).collect();
            let faults = plan.faults.iter().map(|fault| format!("'{fault}'")).collect::<Vec<_>>().join(", ");
            let mut layers = layers.unwrap();
            layers.push(Layer::parse(profile::Origin::CommandLine, &format!("fault = [{faults}]")).unwrap());
            let nothing = |_: &str| Err(std::io::ErrorKind::NotFound.into());
            let resolved =
                combine(&layers, nothing).and_then(|profile| profile::Plan::resolve(&profile, plan.ranks, 7));
            let resolved = resolved.unwrap_or_else(|error| panic!("{plan}: {error}"));
            assert_eq!(resolved.faults.len(), timeline.faults.len(), "{plan}");
            seen.extend([route, plan.queue_type, timeline.confirms, plan.pattern]);
            seen.extend(timeline.faults.iter().map(|fault| fault.verb));
        }
        // 11 routes, 3 types of queues, 5 confirms, 4 patterns and 11 verbs.
        assert_eq!(seen.len(), 34, "{seen:?}");
    }

    #[test]
    fn a_timeline_is_the_same_whatever_was_drawn_before_it() {
        let all: Vec<String> = (1..20).map(|number| draw(7, number).plan.to_string()).collect();
        assert_eq!(draw(7, 11).plan.to_string(), all[10]);
        assert_ne!(draw(8, 11).plan.to_string(), all[10]);
    }
}
