//! Owns processes so that none of them outlives this one.

mod isolation;
mod reaper;

use crate::{
    Error, Result,
    network::{Facility, Hosts, Network, Tools},
    process::{Proc, Process},
};
use nix::{
    errno::Errno,
    sys::{
        prctl::set_pdeathsig,
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, getpid, getppid},
};
use shortage::SystemContext;
use std::{
    io::{self, BufRead, BufReader},
    os::unix::{net::UnixStream, process::CommandExt},
    path::Path,
    process::{ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

pub use isolation::{Isolation, check};
pub use reaper::reap_until_orphaned;

/// How long killed processes may take to be gone.
const END_LIMIT: Duration = Duration::from_secs(10);

const REAPER: &str = "reaper";

/// The parts started so far. Belongs to a process without other threads and without other children.
#[derive(Debug)]
pub struct Sandbox {
    isolation: Isolation,
    proc: Proc,
    parts: Vec<Running>,
    network: Option<Network>,
    /// Open as long as this value exists.
    held: Vec<UnixStream>,
    /// When this closes, the reaper ends and the namespace with it.
    _lifeline: Option<ChildStdin>,
}

#[derive(Debug)]
struct Running {
    name: String,
    process: Process,
    /// What it was started with, to start it again.
    command: Option<Command>,
    /// How it ended, once it has.
    ended: Option<String>,
}

impl Sandbox {
    /// Every later `start` happens inside. `program` is where the reaper is started from.
    pub fn enter(isolation: Isolation, program: &Path) -> Result<Self> {
        // The host's /proc, before the reaper mounts the sandbox's own over it.
        let proc = Proc::open()?;
        isolation.enter()?;
        let mut sandbox = Self { isolation, proc, parts: Vec::new(), network: None, held: Vec::new(), _lifeline: None };
        if isolation.has_namespaces() {
            let mut reaper = Command::new(program);
            reaper.args(["testbed", "reaper"]).stdin(Stdio::piped()).stdout(Stdio::piped());
            // Outside the group of the supervisor, whom a terminal or a batch system may signal as a whole.
            let mut child = reaper.process_group(0).spawn().when("start the sandbox's reaper")?;
            let mut word = String::new();
            if let Some(stdout) = child.stdout.take() {
                BufReader::new(stdout).read_line(&mut word).when("hear from the sandbox's reaper")?;
            }
            sandbox._lifeline = child.stdin.take();
            if word != "ready\n" {
                let _ = child.wait();
                Err(io::Error::other("its first process ended at once")).when("set up a sandbox")?;
            }
            sandbox.adopt(REAPER, child.id());
        }
        Ok(sandbox)
    }

    /// Starts a part. It is killed when this process ends, even where there is no namespace.
    pub fn start(&mut self, name: &str, mut command: Command) -> Result<Process> {
        command.process_group(0);
        die_with_parent(&mut command, (!self.isolation.has_namespaces()).then(getpid));
        let pid = self.spawn(name, &mut command)?;
        let process = self.adopt(name, pid);
        if let Some(running) = self.parts.last_mut() {
            running.command = Some(command);
        }
        Ok(process)
    }

    fn spawn(&self, name: &str, command: &mut Command) -> Result<u32> {
        let mut spawn = || Ok(command.spawn().when("start a part of the testbed")?.id());
        match &self.network {
            // It starts in its namespace: as another user it could not enter it itself.
            Some(network) => network.at_place_of(name, spawn),
            None => spawn(),
        }
    }

    /// Starts a part that has ended again, as it was started before.
    pub fn start_again(&mut self, name: &str) -> Result<Process> {
        let gone = || Error::Fault(format!("{name} was not started here, or has not ended"));
        let ended = |running: &Running| running.name == name && running.ended.is_some();
        let place = self.parts.iter().position(ended).ok_or_else(gone)?;
        let mut command = self.parts.remove(place).command.ok_or_else(gone)?;
        let pid = self.spawn(name, &mut command)?;
        let process = self.adopt(name, pid);
        if let Some(running) = self.parts.last_mut() {
            running.command = Some(command);
        }
        Ok(process)
    }

    /// How a part has ended, as far as `reap` knows; `None` while it runs.
    pub fn has_ended(&self, name: &str) -> Option<&str> {
        self.ended().find(|(ended, _)| *ended == name).map(|(_, how)| how)
    }

    /// Forgets a part that has ended.
    pub fn forget(&mut self, name: &str) {
        self.parts.retain(|running| running.name != name || running.ended.is_none());
    }

    /// Whether a process still is the one that it was.
    pub fn is_there(&self, process: Process) -> bool {
        self.proc.is_alive(process)
    }

    /// Sends a signal to a process that may be a child of a part. False if it has ended.
    pub fn signal_process(&self, process: Process, signal: Signal) -> bool {
        self.proc.signal(process, signal)
    }

    /// Gives the sandbox a network of its own; parts that start later start in it.
    pub fn build_network(&mut self, hosts: Hosts, facility: Facility, tools: Tools) -> Result<&mut Network> {
        if !self.isolation.has_namespaces() {
            return Err(Error::NoNamespaces);
        }
        let network = Network::build(&self.proc, hosts, facility, tools)?;
        Ok(self.network.insert(network))
    }

    /// Keeps the stream that a part ends with.
    pub fn hold(&mut self, stream: UnixStream) {
        self.held.push(stream);
    }

    /// The network, where there is one.
    pub fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    fn adopt(&mut self, name: &str, pid: u32) -> Process {
        let pid = pid as i32;
        // A part that has already ended is a zombie, without a start time; `reap` will report it.
        let process = self.proc.process(pid).unwrap_or(Process { pid, start_ticks: 0 });
        self.parts.push(Running { name: name.to_owned(), process, command: None, ended: None });
        process
    }

    /// This process itself, as `state.json` should name it.
    pub fn this_process(&self) -> Option<Process> {
        self.proc.process(getpid().as_raw())
    }

    /// The children of a part, in the order of their start.
    pub fn children(&self, part: Process) -> Vec<Process> {
        self.proc.children(part.pid).into_iter().filter_map(|pid| self.proc.process(pid)).collect()
    }

    /// Sends a signal to a part. False if it has ended.
    pub fn signal(&self, part: &str, signal: Signal) -> bool {
        let running = self.parts.iter().find(|running| running.name == part && running.ended.is_none());
        running.is_some_and(|running| self.proc.signal(running.process, signal))
    }

    /// The reaper, where there is one.
    pub fn reaper(&self) -> Option<Process> {
        self.parts.iter().find(|part| part.name == REAPER).map(|part| part.process)
    }

    /// Collects whatever has ended. Returns false when there is no child left.
    pub fn reap(&mut self) -> bool {
        loop {
            let (pid, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, format!("exit code {code}")),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, format!("killed by {signal}")),
                Err(Errno::ECHILD) => return false,
                Err(Errno::EINTR) => continue,
                Ok(_) | Err(_) => return true,
            };
            if let Some(part) = self.parts.iter_mut().find(|part| part.process.pid == pid.as_raw()) {
                part.ended = Some(how);
            }
        }
    }

    /// Parts that have ended, as far as `reap` knows, and how.
    pub fn ended(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parts.iter().filter_map(|part| Some((part.name.as_str(), part.ended.as_deref()?)))
    }

    /// Parts that have not.
    pub fn alive(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter(|part| part.ended.is_none()).map(|part| part.name.as_str())
    }

    /// Kills every part and all their descendants, and waits until they are gone.
    ///
    /// SIGKILL, not a clean stop: all the data are about to be removed, and a clean stop of a broker takes six seconds.
    pub fn end(mut self) -> Result<()> {
        let limit = Instant::now() + END_LIMIT;
        // Orphans become children of the reaper or, as we are their subreaper, of us: so this repeats until none is
        // left.
        while self.reap() {
            let known = self.parts.iter().filter(|part| part.ended.is_none()).map(|part| part.process.pid);
            for pid in self.proc.children(getpid().as_raw()).into_iter().chain(known) {
                // Unreaped children only: none of these pids can belong to another process.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if Instant::now() > limit {
                let alive: Vec<&str> = self.alive().collect();
                Err(io::Error::other(format!("still there: {}", alive.join(", ")))).when("end all parts")?;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

/// Has the kernel kill the child when we end. Called in the child and after the change of user, which would clear it.
#[expect(unsafe_code, reason = "only the child itself can request this, between fork and exec")]
fn die_with_parent(command: &mut Command, parent: Option<Pid>) {
    let request = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // We may have ended before the request. Within a namespace the parent has no number, and the reaper sees to it.
        match parent {
            Some(parent) if getppid() != parent => Err(Errno::ESRCH.into()),
            _ => Ok(()),
        }
    };
    // SAFETY: two system calls; no allocation, no lock.
    unsafe { command.pre_exec(request) };
}
