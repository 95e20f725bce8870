//! What a run of chaos does before anything goes wrong: a small random plan, drawn from the seed and nothing else.

use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};

/// The service that a run streams through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Where {
    /// A broker of one node.
    Alone,
    /// A cluster of three.
    Cluster,
    /// A cluster of three in a facility network, with every route.
    Network,
}

/// The way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A testbed's route, by its architecture.
    Testbed(&'static str),
    /// By address and password, through a wire that faults can work on.
    Wire,
    /// By address and password, in TLS.
    Address,
}

/// How long producers go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    Messages(u64),
    Time(Duration),
}

/// One launch, ready to be typed.
#[derive(Debug, Clone)]
pub struct Plan {
    pub ranks: usize,
    /// Whether a launcher starts it: one rank does without.
    pub launched: bool,
    pub service: Where,
    pub way: Way,
    pub length: Length,
    pub timeout: Duration,
    /// Runs of the one launch, by `--repeat`.
    pub repeat: u32,
    /// Whether it is a sweep of two points.
    pub sweep: bool,
    pub pattern: &'static str,
    pub queue_type: &'static str,
    pub confirms: bool,
    pub acks_auto: bool,
    /// All other settings, by the keys of a profile.
    pub settings: Vec<(&'static str, String)>,
    /// Faults that the run itself causes.
    pub faults: Vec<String>,
}

/// Passes after a launch begins and before it streams, on a machine that is busy.
const START: Duration = Duration::from_secs(60);
/// A run that is over winds down within this: what is documented, and room for a busy machine.
const WIND_DOWN: Duration = Duration::from_secs(40);
/// A part that a fault has killed serves again within this, or the fault fails.
const UNDONE: Duration = Duration::from_secs(60);
/// The window is followed by a tenth of it, at most this.
const COOLDOWN: Duration = Duration::from_secs(1);

const PATTERNS: [&str; 6] =
    ["work-sharing", "work-sharing", "work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"];

impl Plan {
    /// Draws one.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let ranks = *[1, 1, 2, 3, 3, 3, 4, 4, 5, 6].choose(rng).expect("a choice");
        let pattern = one_of(rng, &PATTERNS);
        let broadcast = pattern.starts_with("broadcast");
        let queue_type = one_of(rng, &["classic", "classic", "classic", "quorum", "stream"]);
        let service = if rng.random_bool(0.3) { Where::Cluster } else { Where::Alone };
        let way = way(rng);
        let (producers, consumers) =
            if broadcast { (1, rng.random_range(1..=3)) } else { (rng.random_range(1..=3), rng.random_range(1..=3)) };
        let rate: u32 = *[50, 100, 200, 500, 1000].choose(rng).expect("a choice");
        let length = if rng.random_bool(0.5) {
            Length::Time(Duration::from_secs(rng.random_range(2..=6)))
        } else {
            Length::Messages(u64::from(rate) * rng.random_range(1..=4))
        };
        // Messages that wait for each other may need all of it on a busy machine.
        let least = if matches!(length, Length::Time(_)) { 10 } else { 25 };
        let timeout = Duration::from_secs(rng.random_range(least..=least + 8));
        let stream = queue_type == "stream";
        let acks =
            one_of(rng, if stream { &["each", "multiple:8"] } else { &["auto", "each", "multiple:8", "multiple:64"] });
        let confirms = one_of(rng, &["none", "each", "batch:16", "window:50", "batch:64"]);
        let verify = one_of(rng, &["all", "all", "sampled", "every:3", "off"]);
        let mut settings = vec![
            ("pattern", pattern.to_owned()),
            ("producers", producers.to_string()),
            ("consumers", consumers.to_string()),
            ("load.rate", format!("{rate}/s")),
            ("timeout", format!("{}s", timeout.as_secs())),
            ("verify", verify.to_owned()),
            ("seed", rng.random_range(1..1000).to_string()),
            ("service.queue_type", queue_type.to_owned()),
            ("service.confirms", confirms.to_owned()),
            ("service.acks", acks.to_owned()),
            ("service.client", one_of(rng, &["native", "native", "lapin"]).to_owned()),
            ("service.prefetch", one_of(rng, &["64", "100", "500"]).to_owned()),
            ("service.queues", rng.random_range(1..=3).to_string()),
        ];
        settings.push(match length {
            Length::Messages(messages) => ("messages", messages.to_string()),
            Length::Time(time) => ("duration", format!("{}s", time.as_secs())),
        });
        settings.extend(bodies(rng));
        settings.extend(extra(rng, length));
        let (repeat, sweep) = match rng.random_range(0..12) {
            0 => (2, false),
            1 => (1, true),
            _ => (1, false),
        };
        Self {
            ranks,
            launched: ranks > 1 || rng.random_bool(0.3),
            service,
            way,
            length,
            timeout,
            repeat,
            sweep,
            pattern,
            queue_type,
            confirms: confirms != "none",
            acks_auto: acks == "auto",
            settings,
            faults: Vec::new(),
        }
    }

    /// Takes another value for a setting.
    pub fn set(&mut self, key: &'static str, value: impl Into<String>) {
        let value = value.into();
        match self.settings.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.settings.push((key, value)),
        }
    }

    /// Takes another limit on streaming.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
        self.set("timeout", format!("{}s", timeout.as_secs()));
    }

    /// Streams for this long.
    pub fn set_duration(&mut self, time: Duration) {
        self.length = Length::Time(time);
        self.settings.retain(|(key, _)| *key != "messages");
        self.set("duration", format!("{}s", time.as_secs()));
    }

    /// A single run, as some faults need it.
    pub fn make_single(&mut self) {
        (self.repeat, self.sweep) = (1, false);
    }

    /// Started by a launcher, on so many ranks at least.
    pub fn make_launched(&mut self, ranks: usize) {
        self.launched = true;
        self.ranks = self.ranks.max(ranks);
    }

    /// How many runs the launch has.
    pub fn runs(&self) -> u32 {
        if self.sweep { 2 } else { self.repeat }
    }

    /// For how long one of them streams, if nothing happens.
    pub fn streams(&self) -> Duration {
        match self.length {
            Length::Time(time) => time + COOLDOWN,
            Length::Messages(messages) => {
                let rate = self.settings.iter().find(|(key, _)| *key == "load.rate").map_or("1", |(_, rate)| rate);
                let rate: f64 = rate.trim_end_matches("/s").parse().unwrap_or(1.0);
                Duration::from_secs_f64(messages as f64 / rate)
            }
        }
    }

    /// When it must have ended, whatever is done to it.
    pub fn limit(&self) -> Duration {
        let streaming = match self.length {
            Length::Time(time) => time + COOLDOWN + Duration::from_secs(1) + self.timeout,
            Length::Messages(_) => self.timeout,
        };
        let undone = if self.faults.is_empty() { Duration::ZERO } else { UNDONE };
        START + undone + (streaming + WIND_DOWN) * self.runs()
    }

    /// Settings as `--set` takes them, and faults.
    pub fn flags(&self) -> Vec<String> {
        let settings = self.settings.iter().flat_map(|(key, value)| ["--set".to_owned(), format!("{key}={value}")]);
        let faults = self.faults.iter().flat_map(|fault| ["--fault".to_owned(), fault.clone()]);
        settings.chain(faults).collect()
    }

    /// The experiment of two points, where it is a sweep.
    pub fn experiment(&self) -> String {
        "about = 'chaos'\nrepetitions = 1\n[base]\n[axes]\n'service.heartbeat_s' = [20, 25]\n".to_owned()
    }
}

pub fn one_of(rng: &mut ChaCha8Rng, from: &[&'static str]) -> &'static str {
    from.choose(rng).expect("a choice")
}

fn way(rng: &mut ChaCha8Rng) -> Way {
    match rng.random_range(0..10) {
        0..=3 => Way::Testbed("dts-plain"),
        4 => Way::Testbed("dts"),
        5 => Way::Testbed(one_of(rng, &["prs-haproxy", "prs-stunnel"])),
        6 => Way::Testbed("mss"),
        7 => Way::Address,
        _ => Way::Wire,
    }
}

/// What messages are.
pub fn bodies(rng: &mut ChaCha8Rng) -> Vec<(&'static str, String)> {
    match rng.random_range(0..4) {
        0 => vec![
            ("workload", "generic".to_owned()),
            ("message.event_bytes", one_of(rng, &["128B", "800B", "4KiB"]).to_owned()),
            ("message.ring", "256KiB".to_owned()),
        ],
        _ => vec![("workload", "dstream".to_owned()), ("message.events", rng.random_range(1..=4).to_string())],
    }
}

/// A setting that few runs have.
fn extra(rng: &mut ChaCha8Rng, length: Length) -> Option<(&'static str, String)> {
    let extra = [
        ("service.persistent", "true"),
        ("service.connections", "2"),
        ("layout", "cyclic"),
        ("warmup", "1s"),
        ("load.arrivals", "poisson"),
        ("message.fill", "fresh"),
    ];
    if !rng.random_bool(0.4) {
        return None;
    }
    let (key, value) = *extra.choose(rng).expect("a choice");
    (key != "warmup" || matches!(length, Length::Time(_))).then(|| (key, value.to_owned()))
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let launcher = if self.launched { "mpirun" } else { "alone" };
        write!(f, "{} rank(s) {launcher}, {:?}, {:?}", self.ranks, self.service, self.way)?;
        if self.sweep {
            f.write_str(", sweep")?;
        }
        if self.repeat > 1 {
            write!(f, ", --repeat {}", self.repeat)?;
        }
        for (key, value) in &self.settings {
            write!(f, " {key}={value}")?;
        }
        for fault in &self.faults {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}
