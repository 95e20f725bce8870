//! A fault: something that is done to a run on purpose, how it is carried out, and which endings it permits.

use crate::{faults, plan::Plan, stage::Stage, wire::Wire};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::{cell::Cell, fmt, time::Duration};
use tests::support::{Running, processes::Process};

/// When a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Before the launch, or by how it is launched.
    Before,
    /// So long after the launch.
    Launched(Duration),
    /// So long after messages flow.
    Streaming(Duration),
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("from the start"),
            Self::Launched(after) => write!(f, "{:.1} s after the launch", after.as_secs_f64()),
            Self::Streaming(after) => write!(f, "{:.1} s into the stream", after.as_secs_f64()),
        }
    }
}

/// What may come of a run because of a fault. Without any fault it passes, delivers all, and leaves nothing.
#[derive(Debug, Clone, Default)]
pub struct Permits {
    /// Exit codes besides 0.
    pub codes: Vec<u8>,
    /// Whether a run that streamed on for long after it may pass.
    pub passes: bool,
    /// Its launcher or a rank is killed: the launcher ends by a signal or with a code of its own.
    pub killed: bool,
    /// Rank 0 is killed, or all are.
    pub leaderless: bool,
    /// The service destroys messages: they are truly lost.
    pub lost: bool,
    /// Bytes are changed on their way: anything may come of a message, if it is counted.
    pub damaged: bool,
    /// Queues cannot be deleted.
    pub kept: bool,
    /// Results cannot be written.
    pub unwritten: bool,
    /// What it prints cannot be read.
    pub silent: bool,
    /// Totals of the broker begin anew.
    pub uncounted: bool,
    /// For how much longer it may take.
    pub longer: Duration,
}

impl Permits {
    /// It ends with one of these.
    pub fn ends_with(codes: &[u8]) -> Self {
        Self { codes: codes.to_vec(), ..Self::default() }
    }

    /// It ends with one of these, or passes.
    pub fn passes_or(codes: &[u8]) -> Self {
        Self { passes: true, ..Self::ends_with(codes) }
    }

    /// What is permitted where both strike.
    pub fn and(mut self, other: &Self) -> Self {
        self.codes.extend(&other.codes);
        // One of them keeps it from passing.
        self.passes &= other.passes;
        self.killed |= other.killed;
        self.leaderless |= other.leaderless;
        self.lost |= other.lost;
        self.damaged |= other.damaged;
        self.kept |= other.kept;
        self.unwritten |= other.unwritten;
        self.silent |= other.silent;
        self.uncounted |= other.uncounted;
        self.longer += other.longer;
        self
    }
}

/// Messages that were put among those of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Injected {
    /// Without an envelope of the run.
    pub foreign: u64,
    /// With one, and a lie in it.
    pub forged: u64,
}

/// What a fault works on.
pub struct Scene<'a> {
    pub running: &'a Running,
    pub stage: &'a Stage,
    pub wire: Option<&'a Wire>,
    pub injected: Cell<Injected>,
}

impl Scene<'_> {
    /// The processes of a rank of the run: itself, where there is no launcher.
    pub fn rank(&self, plan: &Plan, rank: usize) -> Vec<i32> {
        if plan.launched { self.running.ranks(rank) } else { vec![self.running.pid()] }
    }

    /// The testbed's processes with this word in their command line.
    pub fn parts(&self, word: &str) -> Vec<Process> {
        let dir = self.stage.broker.dir().display().to_string();
        let mut parts = tests::support::processes::of_directory(&dir);
        parts.retain(|part| part.arguments.iter().any(|argument| argument.contains(word)));
        parts
    }
}

/// What has been done.
pub struct Struck {
    /// In words.
    pub what: String,
    /// What ends it, and when.
    pub end: Option<(Duration, Box<dyn FnOnce()>)>,
}

impl Struck {
    /// Something that needs no end.
    pub fn once(what: impl Into<String>) -> Self {
        Self { what: what.into(), end: None }
    }

    /// Something that lasts.
    pub fn lasting(what: impl Into<String>, time: Duration, end: impl FnOnce() + 'static) -> Self {
        Self { what: what.into(), end: Some((time, Box::new(end))) }
    }
}

/// How a launch differs because of a fault.
#[derive(Debug, Default)]
pub struct Setup {
    /// A command of the shell that each rank begins with.
    pub rank_shell: Option<String>,
    /// The same for the launcher.
    pub shell: Option<String>,
    /// Where stdout goes.
    pub stdout: Option<&'static str>,
    /// Another port, password or authority than the right one.
    pub wrong: Option<Wrong>,
    /// The size of a file system for the results.
    pub disk_bytes: Option<u64>,
}

/// What is wrong about an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Password,
    Port,
    Authority,
}

/// How the service is after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// As before, once it has been cleaned.
    Whole,
    /// To be built anew.
    Ruined,
}

impl When {
    /// Whether messages flow by then.
    pub fn is_streaming(self) -> bool {
        matches!(self, Self::Streaming(_))
    }
}

/// One kind of fault with its choices made.
pub trait Fault: fmt::Display {
    /// The name of its kind, for the summary.
    fn kind(&self) -> &'static str;

    /// Makes a plan one that it can strike.
    fn fit(&self, plan: &mut Plan);

    /// What it permits, if it strikes then.
    fn permits(&self, plan: &Plan, when: When) -> Permits;

    /// When it strikes, if the seed does not say otherwise.
    fn strikes_before(&self) -> bool {
        false
    }

    /// Changes how the program is launched.
    fn prepare(&self, _setup: &mut Setup, _stage: &Stage) -> Result<(), String> {
        Ok(())
    }

    /// Strikes. An error is that there was nothing to strike.
    fn strike(&self, _plan: &Plan, _scene: &Scene) -> Result<Struck, String> {
        Ok(Struck::once("done"))
    }

    /// Makes good what it did to the service.
    fn heal(&self, _stage: &Stage) -> After {
        After::Whole
    }
}

/// A fault and its time.
pub struct Timed {
    pub fault: Box<dyn Fault>,
    pub when: When,
}

/// Draws one of several by their weights.
pub fn weighted<T: Copy>(rng: &mut ChaCha8Rng, all: &[(T, u32)]) -> T {
    let mut left = rng.random_range(0..all.iter().map(|(_, weight)| weight).sum());
    let drawn = all.iter().find(|(_, weight)| {
        let here = left < *weight;
        left = left.saturating_sub(*weight);
        here
    });
    drawn.expect("below the sum of all weights").0
}

/// Draws none, one or two faults, and fits the plan to them.
pub fn draw(rng: &mut ChaCha8Rng, plan: &mut Plan) -> Vec<Timed> {
    let count = match rng.random_range(0..20) {
        0 => 0,
        1..=3 => 2,
        _ => 1,
    };
    let mut drawn: Vec<Timed> = Vec::new();
    for _ in 0..count {
        let kind = weighted(rng, &faults::KINDS);
        let fault = kind(rng);
        if drawn.iter().any(|other| other.fault.kind() == fault.kind()) {
            continue;
        }
        fault.fit(plan);
        let when = if fault.strikes_before() {
            When::Before
        } else if rng.random_bool(0.12) {
            When::Launched(Duration::from_millis(rng.random_range(0..2500)))
        } else {
            let most = plan.streams().as_millis() as u64 * 9 / 10;
            When::Streaming(Duration::from_millis(rng.random_range(0..most.max(200))))
        };
        drawn.push(Timed { fault, when });
    }
    drawn
}
