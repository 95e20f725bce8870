//! One run of chaos: what was drawn is launched, faults strike at their times, and all that can be seen of it is kept.

use crate::{
    api::Queue,
    fault::{After, Injected, Permits, Scene, Setup, Struck, Timed, When, Wrong},
    plan::{Plan, Way},
    stage::{Stage, port_of},
    watch::{Seen, Watch},
    wire::Wire,
};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::{
    cell::Cell,
    ffi::OsString,
    fs::{self, OpenOptions},
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tests::support::{Ended, Launch, Running, Turn, place, processes::Process, program, workspace};

const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Where it cannot be seen that messages flow, they do by then.
const FLOWS_BY: Duration = Duration::from_secs(40);
/// What a broker may take to remove the queues of connections that are gone.
const SETTLES: Duration = Duration::from_secs(6);
/// Two counts of a queue that are this far apart and alike are not of a moment.
const COUNTED_EVERY: Duration = Duration::from_millis(1200);
/// A stream is seen to begin this late.
const SEEN_LATE: Duration = Duration::from_millis(2500);

const ROUTE_FILE: &str = "chaos-route.toml";
const WRONG_PASSWORD: &str = "wrong-password-of-chaos";

/// A fault that has struck.
pub struct Done {
    pub kind: &'static str,
    pub what: String,
    /// Since the launch.
    pub after: Duration,
    /// What it permits.
    pub permits: Permits,
    /// Whether there was so much of the stream left that it cannot have passed by.
    pub certain: bool,
    /// For how long messages had flowed.
    pub flowed: Option<Duration>,
}

/// All that is known of a run.
pub struct Finished {
    pub plan: Plan,
    pub ended: Ended,
    pub limit: Duration,
    pub done: Vec<Done>,
    /// Faults that found nothing to strike.
    pub missed: Vec<String>,
    pub injected: Injected,
    pub seen: Seen,
    /// What the broker still had when all was over.
    pub left: Vec<Queue>,
    pub left_exchanges: Vec<(String, bool)>,
    /// What was done to it, so that the broker's counts can be read.
    pub counted: bool,
    pub secrets: Vec<(&'static str, String)>,
    /// What processes that had not ended did.
    pub diagnosis: String,
    pub after: After,
}

/// A file system in memory, for results. Gone with this value.
struct Disk(TempDir);

impl Disk {
    fn of(bytes: u64) -> Result<Self, String> {
        let dir = place();
        let options = format!("size={bytes}");
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), MsFlags::empty(), Some(options.as_str()))
            .map_err(|error| format!("no file system can be mounted: {error}"))?;
        Ok(Self(dir))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = umount2(self.0.path(), MntFlags::MNT_DETACH);
    }
}

/// Carries it out. An error is that it could not be set up; no fault of the program.
pub fn carry_out(plan: &Plan, faults: &[Timed], stage: &Stage) -> Result<Finished, String> {
    let turn = Turn::take();
    let mut setup = Setup::default();
    for timed in faults.iter().filter(|timed| timed.when == When::Before) {
        timed.fault.prepare(&mut setup, stage)?;
    }
    let wire = match plan.way {
        Way::Wire => Some(Wire::to(stage.port()).map_err(|error| error.to_string())?),
        _ => None,
    };
    let disk = setup.disk_bytes.map(Disk::of).transpose()?;
    let mut secrets = stage.secrets.clone();
    secrets.push(("the wrong password", WRONG_PASSWORD.to_owned()));
    let launch = launch(plan, &setup, stage, wire.as_ref(), disk.as_ref().map(|disk| disk.0.path()))?;
    let watch = Watch::start(stage.api.clone(), secrets.clone());
    let mut running = launch.start_beside(&turn);
    let started = Instant::now();
    let longer: Duration = faults.iter().map(|timed| timed.fault.permits(plan, timed.when).longer).sum();
    let limit = plan.limit() + longer;
    let mut course = Course { plan, started, flows: None, done: Vec::new(), missed: Vec::new(), ends: Vec::new() };
    for timed in faults.iter().filter(|timed| timed.when == When::Before) {
        course.note(timed, timed.fault.to_string());
    }
    let injected = course.follow(faults, &mut running, (stage, wire.as_ref(), &watch), limit);
    let in_time = running.has_ended();
    let diagnosis = if in_time { String::new() } else { diagnosis(&running.processes()) };
    let mut ended = running.end(Duration::ZERO);
    ended.in_time = in_time;
    course.ends.into_iter().for_each(|(_, end)| end());
    if let Some(disk) = &disk {
        read_disk(disk.0.path(), &mut ended);
    }
    drop(wire);
    let (left, left_exchanges, counted) = settled(stage);
    let seen = watch.seen();
    drop(watch);
    let healed = faults.iter().map(|timed| timed.fault.heal(stage));
    let after = if healed.filter(|after| *after == After::Ruined).count() > 0 { After::Ruined } else { After::Whole };
    Ok(Finished {
        plan: plan.clone(),
        ended,
        limit,
        done: course.done,
        missed: course.missed,
        injected,
        seen,
        left,
        left_exchanges,
        counted,
        secrets,
        diagnosis,
        after,
    })
}

/// What has happened so far.
struct Course<'a> {
    plan: &'a Plan,
    started: Instant,
    /// Since when messages flow.
    flows: Option<Instant>,
    done: Vec<Done>,
    missed: Vec<String>,
    /// Faults that last, with their ends.
    ends: Vec<(Instant, Box<dyn FnOnce()>)>,
}

impl Course<'_> {
    /// Has each fault strike at its time, until the run ends or its limit passes.
    fn follow(
        &mut self,
        faults: &[Timed],
        running: &mut Running,
        (stage, wire, watch): (&Stage, Option<&Wire>, &Watch),
        limit: Duration,
    ) -> Injected {
        let mut waiting: Vec<&Timed> = faults.iter().filter(|timed| timed.when != When::Before).collect();
        let mut injected = Injected::default();
        while !running.has_ended() && self.started.elapsed() < limit {
            let now = Instant::now();
            if self.flows.is_none()
                && (running.stderr().contains(" delivered ") || watch.streams() || self.started.elapsed() > FLOWS_BY)
            {
                self.flows = Some(now);
            }
            let due = |timed: &Timed| match timed.when {
                When::Before => false,
                When::Launched(after) => self.started + after <= now,
                When::Streaming(after) => self.flows.is_some_and(|flows| flows + after <= now),
            };
            if let Some(at) = waiting.iter().position(|timed| due(timed)) {
                let timed = waiting.remove(at);
                let scene = Scene { running, stage, wire, injected: Cell::new(injected) };
                let struck = timed.fault.strike(self.plan, &scene);
                injected = scene.injected.get();
                self.take_in(timed, struck);
            }
            while let Some(at) = self.ends.iter().position(|(at, _)| *at <= Instant::now()) {
                (self.ends.swap_remove(at).1)();
            }
            sleep(LOOK_EVERY);
        }
        self.missed.extend(waiting.iter().map(|timed| format!("{}: it had ended before", timed.fault)));
        injected
    }

    fn take_in(&mut self, timed: &Timed, struck: Result<Struck, String>) {
        match struck {
            Ok(Struck { what, end }) => {
                self.ends.extend(end.map(|(after, end)| (Instant::now() + after, end)));
                self.note(timed, what);
            }
            Err(why) => self.missed.push(format!("{}: {why}", timed.fault)),
        }
    }

    fn note(&mut self, timed: &Timed, what: String) {
        let flowed = self.flows.map(|flows| flows.elapsed());
        let certain = match timed.when {
            When::Before => true,
            _ => flowed.unwrap_or_default() + SEEN_LATE < self.plan.streams(),
        };
        let permits = timed.fault.permits(self.plan, timed.when);
        self.done.push(Done {
            kind: timed.fault.kind(),
            what,
            after: self.started.elapsed(),
            permits,
            certain,
            flowed,
        });
    }
}

fn launch(
    plan: &Plan,
    setup: &Setup,
    stage: &Stage,
    wire: Option<&Wire>,
    out: Option<&Path>,
) -> Result<Launch, String> {
    let shell = |command: &str| -> Vec<OsString> {
        ["sh", "-c", &format!("{command}; exec \"$@\""), "sh"].into_iter().map(OsString::from).collect()
    };
    let mut words: Vec<OsString> = Vec::new();
    words.extend(setup.shell.iter().flat_map(|command| shell(command)));
    if plan.launched {
        words.extend([workspace().join("launch/mpirun").into(), "-n".into(), plan.ranks.to_string().into()]);
    }
    words.extend(setup.rank_shell.iter().flat_map(|command| shell(command)));
    words.push(program().into());
    let route = route(plan, setup, stage, wire)?;
    let architecture = match plan.way {
        Way::Testbed(name) => name,
        Way::Wire | Way::Address => ROUTE_FILE,
    };
    let mut arguments = if plan.sweep { vec!["sweep".to_owned(), "chaos.toml".to_owned()] } else { Vec::new() };
    arguments.extend(["--set".to_owned(), format!("arch={architecture}")]);
    arguments.extend(plan.flags());
    if plan.repeat > 1 {
        arguments.extend(["--repeat".to_owned(), plan.repeat.to_string(), "--idle".to_owned(), "200ms".to_owned()]);
    }
    if let Some(out) = out {
        arguments.extend(["--out".to_owned(), out.display().to_string()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut launch = Launch::new(Path::new(&words[0]), &words[1..], &arguments).file("chaos.toml", &plan.experiment());
    launch = match plan.way {
        Way::Testbed(_) => launch.through(&stage.broker),
        Way::Wire | Way::Address if setup.wrong == Some(Wrong::Password) => {
            launch.file(ROUTE_FILE, &route).variable("STREAMHARNESS_PASSWORD", WRONG_PASSWORD)
        }
        Way::Wire | Way::Address => {
            launch.file(ROUTE_FILE, &route).variable("STREAMHARNESS_PASSWORD_FILE", stage.broker.password_file())
        }
    };
    if let Some(path) = setup.stdout {
        launch = launch.stdout(OpenOptions::new().write(true).open(path).map_err(|error| error.to_string())?);
    }
    Ok(launch)
}

/// The file of a route that is given by its address.
fn route(plan: &Plan, setup: &Setup, stage: &Stage, wire: Option<&Wire>) -> Result<String, String> {
    let broker = &stage.broker;
    let text = match (plan.way, wire) {
        (Way::Testbed(_), _) => String::new(),
        (_, Some(wire)) => format!("tls = false\nurls = ['amqp://bench@127.0.0.1:{}']\n", wire.port()),
        (_, None) => {
            // A certificate of its own, and nobody's authority.
            let other = broker.dir().join("s2cs-haproxy-producer/server.pem");
            let ca = if setup.wrong == Some(Wrong::Authority) { other.display().to_string() } else { broker.ca() };
            let port = if setup.wrong == Some(Wrong::Port) { 1 } else { port_of(&broker.url()) };
            format!("tls = true\nurls = ['amqps://bench@localhost:{port}']\nca = '{ca}'\n")
        }
    };
    Ok(format!("[route]\n{text}"))
}

/// What is in the results' own file system counts as if it were where the program ran.
fn read_disk(dir: &Path, ended: &mut Ended) {
    for entry in walk(dir) {
        if let (Ok(name), Ok(bytes)) = (entry.strip_prefix(dir), fs::read(&entry)) {
            ended.outcome.files.insert(format!("results/disk/{}", name.display()), bytes);
        }
    }
}

fn walk(dir: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// What the broker has once it has come to rest, and whether that could be counted.
fn settled(stage: &Stage) -> (Vec<Queue>, Vec<(String, bool)>, bool) {
    let end = Instant::now() + SETTLES;
    let mut before = None;
    while Instant::now() < end {
        let now = stage.api.queues().ok();
        let none = now.as_ref().is_some_and(Vec::is_empty) && stage.api.exchanges().is_ok_and(|left| left.is_empty());
        if none {
            return (Vec::new(), Vec::new(), true);
        }
        before = now;
        sleep(COUNTED_EVERY);
    }
    let now = stage.api.queues().ok();
    let counted = now.is_some() && now == before;
    (now.unwrap_or_default(), stage.api.exchanges().unwrap_or_default(), counted)
}

/// What the kernel says about processes that do not end.
fn diagnosis(processes: &[Process]) -> String {
    let text =
        |process: &Process, name: &str| fs::read_to_string(format!("/proc/{}/{name}", process.pid)).unwrap_or_default();
    let one = |process: &Process| {
        let state: String = text(process, "status").lines().take(3).map(|line| format!("{line}; ")).collect();
        format!("{} {:?}\n  {state}\n  {}\n", process.pid, process.arguments, text(process, "wchan"))
    };
    processes.iter().map(one).collect()
}
