//! By what a fault is carried out: the testbed's supervisor, the service's own interfaces, signals to ranks of this host, or a
//! command that the profile gives.

use crate::{
    route::{
        own::{self, OwnTestbed},
        source::{Source, running_testbed},
    },
    terminal::exit::{Exit, Failure},
};
use management::{Access, Client};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use profile::{Action, Fault, Part, Plan, Profile, QueueType, Rate, Side};
use std::{
    collections::BTreeMap,
    fs,
    io::Read,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use testbed::{Deed, Disturbance, InForce, Progress, Testbed};

/// How long a command of the profile may take.
const COMMAND_LIMIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The fault as a command gets it: `kill node 2`.
const FAULT_VARIABLE: &str = "STREAMHARNESS_FAULT";
/// Whether a command is to begin it or to end it.
const STEP_VARIABLE: &str = "STREAMHARNESS_FAULT_STEP";

/// What faults of a run are carried out by.
pub struct Means {
    testbed: Option<Testbed>,
    /// The route's name in the testbed.
    route: String,
    /// By verb and object, if the service is the user's own and no testbed.
    commands: BTreeMap<String, String>,
    management: Option<Access>,
    /// The cluster that was provisioned for the run.
    cluster: Option<String>,
    vhost: String,
    /// Quorum queues that all share, in their order.
    queues: Vec<String>,
    /// Process of each rank.
    pids: Vec<u32>,
}

/// A fault that has begun.
pub enum Done {
    /// By the supervisor.
    Testbed(InForce, bool),
    /// A rank is stopped.
    Rank { _stopped: Rank },
    /// By a command, which is run again to undo it.
    Command(Action, String, bool),
    /// It was over at once.
    Over,
}

/// A rank that is stopped; dropping this lets it continue.
pub struct Rank(Pid);

impl Drop for Rank {
    fn drop(&mut self) {
        // Ranks end after rank 0, so the number is still that of the rank.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

/// Refuses faults that cannot be carried out where this run streams, before anything is started. `own` is the launch's own testbed,
/// if it is there already, and `hosts` has the host of each rank.
pub fn check(profile: &Profile, plan: &Plan, own: Option<&Testbed>, hosts: &[u32], owns: bool) -> Result<(), Failure> {
    if plan.faults.is_empty() {
        return Ok(());
    }
    let refuse = |fault: &Fault, why: String| Err(Failure::new(Exit::Profile, format!("fault `{fault}`: {why}")));
    let source = Source::of(profile)?;
    let running = match own {
        Some(testbed) => Some(testbed.clone()),
        None => of_source(&source, running_testbed()?),
    };
    let known = hosts.iter().max().map_or(1, |last| *last as usize + 1);
    let to_be_built = running.is_none() && matches!(source, Source::Testbed(_));
    for fault in &plan.faults {
        if let Action::Suspend(rank) = fault.action {
            if hosts[rank as usize] != 0 {
                let why = format!(
                    "rank {rank} is on another host than rank 0, whose signals do not reach it: suspend one of its host"
                );
                return refuse(fault, why);
            }
            continue;
        }
        if running.is_none() && !to_be_built {
            if !owns {
                let why = "the service is not a testbed of this run's own; if you own it and nobody else is harmed, say so with \
                           --i-own-this-service and give a command for it in [fault_commands]";
                return refuse(fault, why.to_owned());
            }
            if command_for(&profile.fault_commands, &fault.action).is_none() {
                let why = format!("[fault_commands] has no command for `{}`: add one", fault.action);
                return refuse(fault, why);
            }
            continue;
        }
        let means = Means::of(profile, plan, running.clone());
        match (means.deed(&fault.action), &running) {
            (Some(deed), Some(testbed)) => {
                testbed.check_deed(&deed).or_else(|error| refuse(fault, error.to_string()))?;
            }
            (Some(deed), None) => {
                let nodes = if known > 1 { own::brokers(profile.route.service_hosts, known)? } else { 1 };
                fits_a_new_testbed(&deed, nodes).or_else(|why| refuse(fault, why))?;
            }
            (None, _) => {}
        }
    }
    Ok(())
}

/// A testbed that the launch builds itself is on loopback.
fn fits_a_new_testbed(deed: &Deed, nodes: usize) -> Result<(), String> {
    let node = match deed {
        Deed::Kill(part) | Deed::Stop(part) => part.strip_prefix("node ").and_then(|node| node.parse().ok()),
        Deed::Alarm { node, .. } => Some(*node),
        Deed::MoveLeaders { .. } => Some(2),
        Deed::Link(..) => {
            return Err("the testbed that this launch builds is on loopback and has no links: start one with \
                        `streamharness testbed up --network facility`, and run within it (testbed exec)"
                .to_owned());
        }
    };
    if node.is_some_and(|node| node > nodes) {
        return Err(format!(
            "the testbed that this launch builds has {nodes} node(s): start one with `streamharness testbed up --nodes 3`"
        ));
    }
    Ok(())
}

/// The running testbed, if it is what a run connects to.
fn of_source(source: &Source<'_>, running: Option<Testbed>) -> Option<Testbed> {
    let testbed = running?;
    match source {
        Source::Testbed(_) => Some(testbed),
        Source::Environment(name, urls) => {
            let its_own = testbed.env().into_iter().find(|(known, _)| known == name)?.1 == urls.join(",");
            its_own.then_some(testbed)
        }
        _ => None,
    }
}

/// The most specific command for an action: `kill node 2`, else `kill node`.
fn command_for<'a>(commands: &'a BTreeMap<String, String>, action: &Action) -> Option<&'a String> {
    let text = action.to_string();
    let mut words: Vec<&str> = text.split(' ').collect();
    while !words.is_empty() {
        if let Some(command) = commands.get(&words.join(" ")) {
            return Some(command);
        }
        words.pop();
    }
    None
}

impl Means {
    /// What this run has, once its route is open.
    pub fn new(profile: &Profile, plan: &Plan, own: &OwnTestbed, pids: &[u32]) -> Result<Self, Failure> {
        let testbed = match own.testbed() {
            Some(testbed) => Some(testbed.clone()),
            None => of_source(&Source::of(profile)?, running_testbed()?),
        };
        Ok(Self { pids: pids.to_vec(), ..Self::of(profile, plan, testbed) })
    }

    fn of(profile: &Profile, plan: &Plan, testbed: Option<Testbed>) -> Self {
        let is_quorum = |queue: &&profile::QueuePlan| queue.kind == QueueType::Quorum;
        Self {
            commands: if testbed.is_none() { profile.fault_commands.clone() } else { BTreeMap::new() },
            testbed,
            route: profile.route.testbed.clone().unwrap_or_default(),
            management: None,
            cluster: None,
            vhost: "/".to_owned(),
            queues: plan.service.queues.iter().filter(is_quorum).map(|queue| queue.name.clone()).collect(),
            pids: Vec::new(),
        }
    }

    /// The service's own interfaces, by which connections are closed and a cluster is deleted.
    pub fn with_service(mut self, management: Option<Access>, cluster: Option<String>) -> Self {
        if let Some(access) = &management {
            self.vhost.clone_from(&access.vhost);
        }
        Self { management, cluster, ..self }
    }

    /// Begins a fault.
    pub fn begin(&self, action: &Action) -> Result<Done, String> {
        if let Action::Suspend(rank) = action {
            return self.suspend(*rank);
        }
        if let Some(command) = command_for(&self.commands, action) {
            run(command, action, "begin")?;
            return Ok(Done::Command(action.clone(), command.clone(), needs_undoing(action)));
        }
        let Some(testbed) = &self.testbed else { return Err("there is no command for it".to_owned()) };
        match (self.deed(action), action) {
            (Some(deed), _) => {
                let in_force = testbed.disturb(deed).map_err(|error| error.to_string())?;
                Ok(Done::Testbed(in_force, needs_undoing(action)))
            }
            (None, Action::CloseConnections) => self.close_connections(testbed).map(|()| Done::Over),
            (None, _) => self.expire_cluster(testbed).map(|()| Done::Over),
        }
    }

    /// What the testbed's supervisor has to do; `None` if it is done by the service's own interface.
    fn deed(&self, action: &Action) -> Option<Deed> {
        let part = |part: &Part| match part {
            Part::Proxy(side) => testbed::proxy_part(&self.route, *side == Side::Producer),
            Part::ControlServer(side) => testbed::control_server_part(&self.route, *side == Side::Producer),
            part => part.to_string(),
        };
        let link = |host: &String, what| Some(Deed::Link(host.clone(), what));
        match action {
            Action::Kill(of) | Action::Restart(of) => Some(Deed::Kill(part(of))),
            Action::Stop(of) => Some(Deed::Stop(part(of))),
            Action::Cut(host) => link(host, Disturbance::Cut),
            Action::SlowTo(host, Rate::Bits(bits)) => link(host, Disturbance::Rate(*bits as u64)),
            Action::SlowBy(host, delay) => link(host, Disturbance::Delay(*delay)),
            Action::Drop(host, millionths) => link(host, Disturbance::Drop(*millionths)),
            Action::Alarm(resource, node) => {
                Some(Deed::Alarm { node: node.get() as usize, resource: resource.word().to_owned() })
            }
            Action::MoveLeader(which) => {
                let queues = match *which as usize {
                    0 => self.queues.clone(),
                    number => self.queues.get(number - 1).cloned().into_iter().collect(),
                };
                Some(Deed::MoveLeaders { vhost: self.vhost.clone(), queues })
            }
            Action::CloseConnections | Action::ExpireCluster | Action::Suspend(_) | Action::SlowTo(..) => None,
        }
    }

    fn suspend(&self, rank: u32) -> Result<Done, String> {
        let pid = self.pids.get(rank as usize).ok_or_else(|| format!("rank {rank} is not known"))?;
        let pid = Pid::from_raw(*pid as i32);
        kill(pid, Signal::SIGSTOP).map_err(|error| format!("rank {rank} cannot be stopped: {error}"))?;
        Ok(Done::Rank { _stopped: Rank(pid) })
    }

    /// By the API of any node: another fault may have one down.
    fn close_connections(&self, testbed: &Testbed) -> Result<(), String> {
        let access = self.management.clone().ok_or("the service's management API is not known")?;
        let mut failed = None;
        for url in testbed.management_urls() {
            let client = Client::for_deeds(Access { url, ..access.clone() });
            match client.and_then(|client| client.close_connections("a fault of the run's plan")) {
                Ok(0) => return Err("the service reported no connection to close".to_owned()),
                Ok(_) => return Ok(()),
                Err(error) => failed = Some(error.to_string()),
            }
        }
        Err(failed.unwrap_or_else(|| "the service has no node".to_owned()))
    }

    fn expire_cluster(&self, testbed: &Testbed) -> Result<(), String> {
        let cluster = self.cluster.as_ref().ok_or("no cluster was provisioned for the run")?;
        let access =
            testbed.route(&self.route).and_then(|route| route.s3m).ok_or("the testbed has no S3M interface")?;
        let token = fs::read_to_string(&access.token_file).map_err(|error| error.to_string())?;
        let ca = access.ca.as_ref().map(fs::read_to_string).transpose().map_err(|error| error.to_string())?;
        let client = s3m::Client::new(&access.url, s3m::PREFIX, token.trim(), ca.as_deref());
        client.and_then(|client| client.delete(cluster)).map_err(|error| error.to_string())
    }
}

/// Whether something has to be done for it to be over.
fn needs_undoing(action: &Action) -> bool {
    !matches!(action, Action::CloseConnections | Action::ExpireCluster | Action::MoveLeader(_))
}

impl Done {
    /// Whether it has to be undone.
    pub fn needs_undoing(&self) -> bool {
        match self {
            Self::Testbed(_, needs) | Self::Command(_, _, needs) => *needs,
            Self::Rank { .. } => true,
            Self::Over => false,
        }
    }

    /// Whether what was begun last, the fault or its undoing, is complete.
    pub fn is_complete(&self) -> Result<bool, String> {
        match self {
            Self::Testbed(in_force, _) => {
                in_force.look().map(|progress| progress == Progress::Complete).map_err(|error| error.to_string())
            }
            Self::Rank { .. } | Self::Command(..) | Self::Over => Ok(true),
        }
    }

    /// Begins to undo it.
    pub fn undo(&mut self) -> Result<(), String> {
        match self {
            Self::Testbed(in_force, _) => in_force.undo().map_err(|error| error.to_string()),
            Self::Command(action, command, _) => run(command, action, "end"),
            Self::Rank { .. } => {
                *self = Self::Over;
                Ok(())
            }
            Self::Over => Ok(()),
        }
    }
}

/// Runs a command of the profile within its limit.
fn run(command: &str, action: &Action, step: &str) -> Result<(), String> {
    let fail = |why: String| format!("the command for `{action}` ({step}) {why}");
    let mut child = Command::new("/bin/sh")
        .args(["-c", command])
        .env(FAULT_VARIABLE, action.to_string())
        .env(STEP_VARIABLE, step)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| fail(format!("cannot be started: {error}")))?;
    let end = Instant::now() + COMMAND_LIMIT;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => {
                let mut said = String::new();
                let _ = child.stderr.take().map(|stderr| stderr.take(64 * 1024).read_to_string(&mut said));
                let last = said.lines().last().unwrap_or("it printed no reason").to_owned();
                return Err(fail(format!("failed ({status}): {last}")));
            }
            Ok(None) if Instant::now() < end => thread::sleep(LOOK_EVERY),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(fail(format!("was not done after {} s", COMMAND_LIMIT.as_secs())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> Action {
        format!("at 1s: {text}").parse::<Fault>().unwrap().action
    }

    #[test]
    fn the_most_specific_command_is_taken() {
        let of = |commands: &[&str], text: &str| {
            let commands = commands.iter().map(|key| ((*key).to_owned(), format!("do {key}"))).collect();
            command_for(&commands, &action(text)).cloned()
        };
        assert_eq!(of(&["kill node", "kill node 2"], "kill node 2").as_deref(), Some("do kill node 2"));
        assert_eq!(of(&["kill node", "kill node 2"], "kill node 1").as_deref(), Some("do kill node"));
        assert_eq!(of(&["kill node"], "restart node 1"), None);
    }

    #[test]
    fn a_command_learns_what_it_is_for_and_its_failure_is_told_with_its_last_line() {
        let restart = action("restart node 2");
        let asks = "test \"$STREAMHARNESS_FAULT $STREAMHARNESS_FAULT_STEP\" = 'restart node 2 begin'";
        assert_eq!(run(asks, &restart, "begin"), Ok(()));
        let error = run("echo one >&2; echo two >&2; exit 3", &restart, "end").unwrap_err();
        assert!(
            error.starts_with("the command for `restart node 2` (end) failed") && error.ends_with(": two"),
            "{error}"
        );
    }

    #[test]
    fn a_testbed_that_a_launch_builds_has_one_node_and_no_links() {
        assert_eq!(fits_a_new_testbed(&Deed::Kill("node 1".into()), 1), Ok(()));
        for (deed, expected) in [
            (Deed::Kill("node 2".into()), "--nodes 3"),
            (Deed::MoveLeaders { vhost: "/".into(), queues: vec![] }, "--nodes 3"),
            (Deed::Link("dsn1".into(), Disturbance::Cut), "--network facility"),
        ] {
            let error = fits_a_new_testbed(&deed, 1).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
