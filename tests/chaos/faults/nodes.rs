//! Nodes of the broker that die, freeze, stop, or run out of memory.

use crate::{
    fault::{After, Fault, Permits, Scene, Struck, When},
    plan::{Plan, Where},
    stage::Stage,
};
use nix::sys::signal::Signal;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::{fmt, process::Command, time::Duration};
use tests::support::processes;

/// The Erlang virtual machine of a node.
const MACHINE: &str = "beam.smp";
/// Pauses up to this long are no failure.
const SHORT: Duration = Duration::from_secs(6);
/// What rabbitmqctl may take on a busy machine.
const COMMAND: Duration = Duration::from_secs(20);

fn node(scene: &Scene, index: usize) -> Result<i32, String> {
    let mut nodes = scene.parts(MACHINE);
    nodes.retain(|node| node.variable("RABBITMQ_NODENAME").is_some());
    nodes.sort_by_key(|node| node.variable("RABBITMQ_NODENAME").map(str::to_owned));
    nodes.get(index % nodes.len().max(1)).map(|node| node.pid).ok_or_else(|| "no node runs".to_owned())
}

struct Kill(usize);

/// SIGKILL to a node.
pub fn kill(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Kill(rng.random_range(0..3)))
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node of the broker is killed")
    }
}

impl Fault for Kill {
    fn kind(&self) -> &'static str {
        "node killed"
    }

    fn fit(&self, _: &mut Plan) {}

    fn permits(&self, plan: &Plan, _: When) -> Permits {
        let cluster = plan.service == Where::Cluster;
        let ends = Permits { kept: true, uncounted: true, ..Permits::ends_with(&[3, 7]) };
        if cluster {
            Permits { lost: true, ..Permits::passes_or(&[4]).and(&Permits { passes: true, ..ends }) }
        } else {
            ends
        }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let node = node(scene, self.0)?;
        processes::send(node, Signal::SIGKILL);
        Ok(Struck::once(format!("node {} (pid {node}) is killed", self.0)))
    }

    fn heal(&self, _: &Stage) -> After {
        After::Ruined
    }
}

struct Freeze(usize, Duration);

/// SIGSTOP to a node, and SIGCONT a while later.
pub fn freeze(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Freeze(rng.random_range(0..3), Duration::from_secs(rng.random_range(1..=12))))
}

impl fmt::Display for Freeze {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a node of the broker is frozen for {} s", self.1.as_secs())
    }
}

impl Fault for Freeze {
    fn kind(&self) -> &'static str {
        "node frozen"
    }

    fn fit(&self, plan: &mut Plan) {
        plan.set_timeout(plan.timeout.max(self.1 + Duration::from_secs(15)));
    }

    fn permits(&self, _: &Plan, when: When) -> Permits {
        let short = self.1 <= SHORT && when.is_streaming();
        Permits { kept: true, longer: self.1, ..Permits::passes_or(if short { &[] } else { &[3, 7] }) }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let node = node(scene, self.0)?;
        processes::send(node, Signal::SIGSTOP);
        Ok(Struck::lasting(format!("node {} (pid {node}) is frozen", self.0), self.1, move || {
            processes::send(node, Signal::SIGCONT);
        }))
    }
}

struct StopApp;

/// `rabbitmqctl stop_app`.
pub fn stop_app(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(StopApp)
}

impl fmt::Display for StopApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the broker stops in order")
    }
}

impl Fault for StopApp {
    fn kind(&self) -> &'static str {
        "node stopped"
    }

    fn fit(&self, plan: &mut Plan) {
        plan.service = Where::Alone;
        plan.set_duration(Duration::from_secs(8));
    }

    fn permits(&self, _: &Plan, _: When) -> Permits {
        Permits { kept: true, uncounted: true, longer: COMMAND, ..Permits::ends_with(&[3, 7]) }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        run(scene.stage.broker.controller(), &["stop_app"])?;
        Ok(Struck::once("the broker has stopped"))
    }

    fn heal(&self, stage: &Stage) -> After {
        match run(stage.broker.controller(), &["start_app"]) {
            Ok(()) => After::Whole,
            Err(_) => After::Ruined,
        }
    }
}

struct MemoryAlarm(Duration);

/// A node in alarm for memory stops all that publish.
pub fn memory_alarm(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(MemoryAlarm(Duration::from_secs(rng.random_range(1..=5))))
}

impl fmt::Display for MemoryAlarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a memory alarm of {} s", self.0.as_secs())
    }
}

const WATERMARK: &str = "set_vm_memory_high_watermark";

impl Fault for MemoryAlarm {
    fn kind(&self) -> &'static str {
        "memory alarm"
    }

    fn fit(&self, plan: &mut Plan) {
        plan.set_timeout(plan.timeout.max(Duration::from_secs(25)));
        plan.set_duration(Duration::from_secs(6));
    }

    fn permits(&self, _: &Plan, _: When) -> Permits {
        Permits { longer: COMMAND, ..Permits::passes_or(&[7]) }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        run(scene.stage.broker.controller(), &[WATERMARK, "absolute", "1MB"])?;
        let end = scene.stage.broker.controller();
        Ok(Struck::lasting("a memory alarm is raised", self.0, move || drop(run(end, &[WATERMARK, "0.6"]))))
    }

    fn heal(&self, stage: &Stage) -> After {
        match run(stage.broker.controller(), &[WATERMARK, "0.6"]) {
            Ok(()) => After::Whole,
            Err(_) => After::Ruined,
        }
    }
}

/// Carries out a command of rabbitmqctl.
pub fn run(mut controller: Command, words: &[&str]) -> Result<(), String> {
    let output = controller.args(words).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("rabbitmqctl {words:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
