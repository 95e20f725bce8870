//! Starting the program as people do, with a limit on every wait.

use super::{
    Broker, Outcome, place,
    processes::{self, MARK, Process},
    program, service,
    slurm::Cluster,
    within, workspace,
};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    env,
    ffi::{OsStr, OsString},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long after the end of a launch something of it may still be ending.
const GONE_LIMIT: Duration = Duration::from_secs(20);
/// How long the queues of a run that streams may be missing from the list of a busy service.
const QUEUES_LIMIT: Duration = Duration::from_secs(20);
/// What may not leak into a launch from where the tests are started.
const FOREIGN_VARIABLES: [&str; 6] = ["STREAMHARNESS_", "OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_"];
/// What says how a testbed can be built here at all.
const KEPT_VARIABLES: [&str; 2] = ["STREAMHARNESS_NO_NAMESPACES", "STREAMHARNESS_RABBITMQ"];

static TURN: Mutex<()> = Mutex::new(());
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// The right to have a launch.
pub struct Turn(#[expect(dead_code, reason = "dropping it is the use")] MutexGuard<'static, ()>);

impl Turn {
    /// Waits for the launch of another test to end.
    pub fn take() -> Self {
        // A test that failed has nothing to do with the next one.
        Self(TURN.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The words of a command line. None of them has a space.
pub fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// One start of the program, in the making.
pub struct Launch {
    command: Command,
    place: TempDir,
    /// Where stdout goes, where that is not kept.
    stdout: Option<File>,
}

/// Without a launcher: one rank.
pub fn single(arguments: &[&str]) -> Launch {
    Launch::new(&program(), &[], arguments)
}

/// Under `launch/mpirun`.
pub fn mpirun(ranks: usize, arguments: &[&str]) -> Launch {
    Launch::new(
        &workspace().join("launch/mpirun"),
        &["-n".into(), ranks.to_string().into(), program().into()],
        arguments,
    )
}

/// The same, with a rank 0 that comes a second after the others.
pub fn mpirun_with_a_late_rank_0(ranks: usize, arguments: &[&str]) -> Launch {
    let program = program();
    let program = program.to_str().unwrap();
    let others = (ranks - 1).to_string();
    let late = ["-n", "1", "sh", "-c", "sleep 1; exec \"$@\"", "sh", program];
    let words = [&late, arguments, &[":", "-n", &others, program]].concat();
    let before: Vec<OsString> = words.into_iter().map(OsString::from).collect();
    Launch::new(&workspace().join("launch/mpirun"), &before, arguments)
}

/// By `script`, to which `"$0"` is the program and `"$@"` are its arguments.
pub fn by_shell(script: &str, arguments: &[&str]) -> Launch {
    Launch::new(Path::new("sh"), &["-c".into(), script.into(), program().into()], arguments)
}

/// Under `srun` of a local Slurm.
pub fn srun(cluster: &Cluster, ranks: usize, arguments: &[&str]) -> Launch {
    srun_with(cluster, &["-n".into(), ranks.to_string().into(), program().into()], arguments)
}

/// The same, with all words before the program's arguments.
pub fn srun_with(cluster: &Cluster, before: &[OsString], arguments: &[&str]) -> Launch {
    let mut launch = Launch::new(Path::new("srun"), before, arguments);
    launch.command.envs(cluster.variables());
    launch
}

impl Launch {
    /// By any launcher: `start`, the words `before`, and what the program is given.
    pub fn new(start: &Path, before: &[OsString], arguments: &[&str]) -> Self {
        let place = place();
        let temporary = place.path().join("tmp");
        fs::create_dir(&temporary).unwrap();
        let mut command = Command::new(start);
        command.args(before).args(arguments).current_dir(place.path()).env("TMPDIR", temporary);
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy();
            let foreign = FOREIGN_VARIABLES.iter().any(|prefix| name.starts_with(prefix));
            if foreign && !KEPT_VARIABLES.contains(&&*name) {
                command.env_remove(&*name);
            }
        }
        // No testbed, unless the test names one.
        command.env("STREAMHARNESS_TESTBED", place.path().join("no-testbed"));
        Self { command, place, stdout: None }
    }

    /// Through this broker.
    pub fn through(self, broker: &Broker) -> Self {
        let dir = broker.dir().to_owned();
        self.variable("STREAMHARNESS_TESTBED", dir)
    }

    /// With a variable in its environment.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// With a file of this name where it runs.
    pub fn file(self, name: &str, text: &str) -> Self {
        fs::write(self.place.path().join(name), text).unwrap();
        self
    }

    /// With a stdout that is not kept.
    pub fn stdout(mut self, stdout: File) -> Self {
        self.stdout = Some(stdout);
        self
    }

    /// Where it runs.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// Starts it; it runs to its end or that of the value.
    pub fn start(self) -> Running {
        self.start_in(Turn::take())
    }

    /// Starts it, and waits until messages are delivered.
    #[track_caller]
    pub fn streaming(self, limit: Duration) -> Running {
        let mut running = self.start();
        running.streams(limit);
        running
    }

    /// Starts it through the shared service, and waits until messages are delivered. Returns its queues, too.
    #[track_caller]
    pub fn streaming_with_queues(self, limit: Duration) -> (Running, Vec<String>) {
        let turn = Turn::take();
        let before = service().queues();
        let mut running = self.through(service()).start_in(turn);
        running.streams(limit);
        let new = || {
            let queues: Vec<_> = service().queues().into_iter().filter(|queue| !before.contains(queue)).collect();
            (!queues.is_empty()).then_some(queues)
        };
        let queues = within(QUEUES_LIMIT, new).expect("the run has a queue");
        (running, queues)
    }

    /// Starts it, where the test has its turn already.
    pub fn start_in(self, turn: Turn) -> Running {
        self.start_with(Some(turn))
    }

    /// Starts it beside others of the same turn: for what is checked and not measured.
    pub fn start_beside(self, _: &Turn) -> Running {
        self.start_with(None)
    }

    fn start_with(mut self, turn: Option<Turn>) -> Running {
        let mark = format!("{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let (stdout, stderr) = (self.place.path().join("stdout"), self.place.path().join("stderr"));
        self.command
            .env(MARK, &mark)
            .stdin(Stdio::null())
            .stdout(self.stdout.take().unwrap_or_else(|| File::create(stdout).unwrap()))
            .stderr(File::create(stderr).unwrap());
        let shown = shown(&self.command);
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{shown}: {error}"));
        Running { child, mark, shown, started: Instant::now(), place: Some(self.place), _turn: turn }
    }

    /// Runs it to its end, which must come within `limit` and leave no process.
    #[track_caller]
    pub fn run(self, limit: Duration) -> Outcome {
        self.start().wait(limit)
    }
}

/// The command as it can be typed.
fn shown(command: &Command) -> String {
    let words = [command.get_program()].into_iter().chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// A launch that goes on. Dropping it kills all of it.
pub struct Running {
    child: Child,
    mark: String,
    shown: String,
    started: Instant,
    /// Taken when it has ended.
    place: Option<TempDir>,
    _turn: Option<Turn>,
}

impl Running {
    /// The launcher's process, or the program's own where there is none.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// All its processes.
    pub fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// The process of a rank under `mpirun`.
    #[track_caller]
    pub fn rank(&self, rank: usize) -> i32 {
        let found = self.ranks(rank);
        assert_eq!(found.len(), 1, "rank {rank} of {}: {found:?}", self.shown);
        found[0]
    }

    /// The processes of a rank under `mpirun`: one, while it is there.
    pub fn ranks(&self, rank: usize) -> Vec<i32> {
        let wanted = rank.to_string();
        let ranks = self.processes().into_iter().filter(|process| {
            // A testbed and the holder of a route are children of rank 0.
            process.variable("OMPI_COMM_WORLD_RANK") == Some(&wanted)
                && process.arguments.get(1).is_none_or(|word| word != "testbed" && word != "hold")
        });
        ranks.map(|process| process.pid).collect()
    }

    /// The directory of the testbed that it builds for itself, once it does.
    #[track_caller]
    pub fn testbed(&self, limit: Duration) -> PathBuf {
        let supervisor = || self.processes().iter().find_map(|process| process.argument("--dir").map(PathBuf::from));
        within(limit, supervisor).unwrap_or_else(|| panic!("no testbed within {limit:?} {}", self.said()))
    }

    /// Waits until messages are delivered.
    #[track_caller]
    pub fn streams(&mut self, limit: Duration) {
        self.says(" delivered ", limit);
    }

    /// Waits until it says something on stderr.
    #[track_caller]
    pub fn says(&mut self, what: &str, limit: Duration) {
        let heard = within(limit, || {
            let ended = self.has_ended();
            let said = self.stderr().contains(what);
            (ended || said).then_some(said)
        });
        assert_eq!(heard, Some(true), "it ended, or did not say `{what}` within {limit:?} {}", self.said());
    }

    /// Sends a signal to the launcher, or to the program where there is none.
    pub fn signal(&self, signal: Signal) {
        processes::send(self.pid(), signal);
    }

    /// Waits for the end, and that no process is left.
    #[track_caller]
    pub fn wait(self, limit: Duration) -> Outcome {
        let Ended { outcome, in_time, left } = self.end(limit);
        assert!(in_time, "it has not ended within {limit:?} {outcome}");
        assert!(left.is_empty(), "left: {left:#?} {outcome}");
        outcome
    }

    /// Waits for the end, and kills what has not ended by itself.
    pub fn end(mut self, limit: Duration) -> Ended {
        let ended = within(limit, || self.child.try_wait().unwrap());
        let elapsed = self.started.elapsed();
        let gone = || self.processes().is_empty().then_some(());
        let all_gone = ended.is_some() && within(GONE_LIMIT, gone).is_some();
        let left = if all_gone { Vec::new() } else { self.processes() };
        for process in &left {
            processes::send(process.pid, Signal::SIGKILL);
        }
        let status = ended.unwrap_or_else(|| {
            let _ = self.child.kill();
            self.child.wait().unwrap()
        });
        let place = self.place.take().expect("taken once");
        let mut files = BTreeMap::new();
        read_all(place.path(), place.path(), &mut files);
        let mut text = |name| String::from_utf8_lossy(&files.remove(name).unwrap_or_default()).into_owned();
        let (stdout, stderr) = (text("stdout"), text("stderr"));
        let outcome = Outcome { shown: self.shown.clone(), status, stdout, stderr, elapsed, files };
        Ended { outcome, in_time: ended.is_some(), left }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Where it runs.
    pub fn place(&self) -> &Path {
        self.place.as_ref().expect("it goes on").path()
    }

    /// All that it has printed on stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place().join("stderr")).unwrap_or_default()).into_owned()
    }

    fn said(&self) -> String {
        format!("in\n  {}\nstderr:\n{}", self.shown, self.stderr())
    }
}

/// How a launch has ended.
pub struct Ended {
    /// What came of it.
    pub outcome: Outcome,
    /// Whether it ended by itself.
    pub in_time: bool,
    /// Processes that were left, and killed.
    pub left: Vec<Process>,
}

/// Every file below `dir` by its path from `top`.
fn read_all(top: &Path, dir: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            read_all(top, &path, files);
        } else if path.is_file() {
            let name = path.strip_prefix(top).expect("it is below").to_string_lossy().into_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended as a whole already, unless a test failed.
        if self.place.is_some() {
            for process in self.processes() {
                processes::send(process.pid, Signal::SIGKILL);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
