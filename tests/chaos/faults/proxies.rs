//! Proxies of a testbed's routes that die or freeze.

use crate::{
    fault::{After, Fault, Permits, Scene, Struck, When},
    plan::{Plan, Way},
    stage::Stage,
};
use nix::sys::signal::Signal;
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};
use tests::support::processes;

struct Proxies {
    architecture: &'static str,
    /// For how long they freeze; none is that they die.
    time: Option<Duration>,
}

impl Proxies {
    fn draw(rng: &mut ChaCha8Rng, time: Option<Duration>) -> Box<dyn Fault> {
        let architecture = ["prs-haproxy", "prs-stunnel", "mss"].choose(rng).expect("a choice");
        Box::new(Self { architecture, time })
    }

    fn program(&self) -> &'static str {
        if self.architecture == "prs-stunnel" { "stunnel" } else { "haproxy" }
    }
}

/// SIGKILL to all of a kind.
pub fn kill(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Proxies::draw(rng, None)
}

/// SIGSTOP to all of a kind, and SIGCONT a while later.
pub fn freeze(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    let time = Duration::from_secs(rng.random_range(1..=8));
    Proxies::draw(rng, Some(time))
}

impl fmt::Display for Proxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let program = self.program();
        match self.time {
            None => write!(f, "each {program} of the testbed is killed"),
            Some(time) => write!(f, "each {program} of the testbed is frozen for {} s", time.as_secs()),
        }
    }
}

impl Fault for Proxies {
    fn kind(&self) -> &'static str {
        if self.time.is_none() { "proxies killed" } else { "proxies frozen" }
    }

    fn fit(&self, plan: &mut Plan) {
        plan.way = Way::Testbed(self.architecture);
        let least = self.time.unwrap_or_default() + Duration::from_secs(15);
        plan.set_timeout(plan.timeout.max(least));
    }

    fn permits(&self, _: &Plan, when: When) -> Permits {
        let early: &[u8] = if when.is_streaming() { &[] } else { &[3] };
        match self.time {
            None => Permits { kept: true, ..Permits::ends_with(&[3, 7]) },
            Some(time) => Permits { longer: time, kept: !when.is_streaming(), ..Permits::passes_or(early) },
        }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let program = self.program();
        let is_one = |arguments: &[String]| {
            arguments.first().is_some_and(|word| word.rsplit('/').next().is_some_and(|name| name.starts_with(program)))
        };
        let found = scene.parts(program).into_iter().filter(|part| is_one(&part.arguments));
        let pids: Vec<i32> = found.map(|part| part.pid).collect();
        if pids.is_empty() {
            return Err(format!("no {program} runs"));
        }
        let what = format!("{self} ({pids:?})");
        let send = move |signal| {
            for pid in &pids {
                processes::send(*pid, signal);
            }
        };
        let Some(time) = self.time else {
            send(Signal::SIGKILL);
            return Ok(Struck::once(what));
        };
        send(Signal::SIGSTOP);
        Ok(Struck::lasting(what, time, move || send(Signal::SIGCONT)))
    }

    fn heal(&self, _: &Stage) -> After {
        if self.time.is_none() { After::Ruined } else { After::Whole }
    }
}
