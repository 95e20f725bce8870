//! Signals to ranks, to their launcher, or to the whole job.

use crate::{
    fault::{Fault, Permits, Scene, Struck, When},
    plan::Plan,
};
use nix::sys::signal::Signal;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};
use tests::support::processes;

/// A rank that is not heard for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(13);
/// More than it takes to notice that, and to end the others.
const NOTICED: Duration = Duration::from_secs(25);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Whom {
    Rank(usize),
    Launcher,
    Job,
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rank(rank) => write!(f, "rank {rank}"),
            Self::Launcher => f.write_str("the launcher"),
            Self::Job => f.write_str("the whole job"),
        }
    }
}

impl Whom {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        *[Self::Rank(0), Self::Rank(1), Self::Rank(2), Self::Launcher].choose(rng).expect("a choice")
    }

    fn fit(self, plan: &mut Plan) {
        match self {
            Self::Rank(rank) => plan.make_launched(rank + 1),
            Self::Launcher => plan.make_launched(2),
            Self::Job => {}
        }
    }

    fn processes(self, plan: &Plan, scene: &Scene) -> Result<Vec<i32>, String> {
        let found = match self {
            Self::Rank(rank) => scene.rank(plan, rank),
            Self::Launcher => vec![scene.running.pid()],
            Self::Job => scene.running.processes().iter().map(|process| process.pid).collect(),
        };
        if found.is_empty() { Err(format!("{self} is not there")) } else { Ok(found) }
    }
}

fn send(pids: &[i32], signal: Signal) -> Result<(), String> {
    let sent = pids.iter().filter(|pid| processes::send(**pid, signal)).count();
    if sent == 0 { Err("all of it has ended".to_owned()) } else { Ok(()) }
}

struct Send {
    whom: Whom,
    signal: Signal,
}

/// SIGKILL to a rank or to the launcher.
pub fn kill(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Send { whom: Whom::draw(rng), signal: Signal::SIGKILL })
}

/// A signal that asks for the end.
pub fn ask(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    let signal = *[Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1].choose(rng).expect("a choice");
    Box::new(Send { whom: Whom::draw(rng), signal })
}

impl fmt::Display for Send {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.signal, self.whom)
    }
}

impl Fault for Send {
    fn kind(&self) -> &'static str {
        if self.signal == Signal::SIGKILL { "kill" } else { "signal" }
    }

    fn fit(&self, plan: &mut Plan) {
        self.whom.fit(plan);
        if self.signal == Signal::SIGKILL {
            // Long enough for a record to be kept up to date.
            plan.set_duration(Duration::from_secs(8));
        }
    }

    fn permits(&self, _: &Plan, when: When) -> Permits {
        let kills = self.signal == Signal::SIGKILL;
        // Before it streams, nobody waits for an orderly end.
        let early = !when.is_streaming();
        let leads = self.whom != Whom::Rank(1) && self.whom != Whom::Rank(2);
        Permits {
            killed: kills || early || self.whom == Whom::Launcher,
            leaderless: leads && (kills || early || self.whom == Whom::Launcher) || early,
            passes: !kills && !leads,
            longer: if kills { NOTICED } else { Duration::ZERO },
            // Where the launcher kills the others, nobody is left to delete anything.
            kept: kills || early || self.whom == Whom::Launcher,
            ..Permits::ends_with(&[7])
        }
    }

    fn strike(&self, plan: &Plan, scene: &Scene) -> Result<Struck, String> {
        let found = self.whom.processes(plan, scene)?;
        send(&found, self.signal)?;
        Ok(Struck::once(format!("{self} ({found:?})")))
    }
}

struct Suspend {
    whom: Whom,
    time: Duration,
}

/// SIGSTOP, and SIGCONT a while later.
pub fn suspend(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    let whom = *[Whom::Rank(0), Whom::Rank(1), Whom::Launcher, Whom::Job, Whom::Job].choose(rng).expect("a choice");
    let seconds = if rng.random_bool(0.3) { rng.random_range(16..22) } else { rng.random_range(1..10) };
    Box::new(Suspend { whom, time: Duration::from_secs(seconds) })
}

/// SIGSTOP to a rank other than rank 0, for ever.
pub fn hang(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Suspend { whom: Whom::Rank(1), time: Duration::MAX })
}

impl fmt::Display for Suspend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.time {
            Duration::MAX => write!(f, "{} hangs", self.whom),
            time => write!(f, "{} is suspended for {} s", self.whom, time.as_secs()),
        }
    }
}

impl Fault for Suspend {
    fn kind(&self) -> &'static str {
        match self.time {
            Duration::MAX => "hang",
            _ => "suspend",
        }
    }

    fn fit(&self, plan: &mut Plan) {
        self.whom.fit(plan);
        plan.set_timeout(plan.timeout.max(Duration::from_secs(30)));
    }

    fn permits(&self, _: &Plan, _: When) -> Permits {
        let time = if self.time == Duration::MAX { NOTICED } else { self.time };
        // The others take a rank that is away for so long for dead. Rank 0 knows that it slept, and so does a whole job.
        let dead = self.time > SILENCE && matches!(self.whom, Whom::Rank(1..));
        Permits {
            passes: self.time != Duration::MAX,
            longer: time,
            kept: dead,
            killed: dead,
            ..Permits::ends_with(if dead { &[7] } else { &[] })
        }
    }

    fn strike(&self, plan: &Plan, scene: &Scene) -> Result<Struck, String> {
        let found = self.whom.processes(plan, scene)?;
        send(&found, Signal::SIGSTOP)?;
        let what = format!("{self} ({found:?})");
        if self.time == Duration::MAX {
            return Ok(Struck::once(what));
        }
        Ok(Struck::lasting(what, self.time, move || drop(send(&found, Signal::SIGCONT))))
    }
}
