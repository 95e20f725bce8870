//! Starts a testbed: a permanent one, or one that ends with its owner.

use crate::{
    Error, Options, Result, cores, fresh, lock,
    message::{Message, receive},
    options::private_parent,
    place, ports,
    rabbitmq::extra::BrokerExtras,
    running::{Testbed, find},
    stop,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use shortage::{FileContext, SystemContext};
use std::{
    fs::{self, File},
    io::{self, BufReader},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// Time that the supervisor may need beyond the start limit to report the failure and to clean up.
const GRACE: Duration = Duration::from_secs(20);

/// How long an ephemeral testbed may take to be gone.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

/// Starts a testbed that stays until [`crate::down`], and returns when it is ready. A testbed that is already up is
/// used if its nodes and routes match. `progress` gets one line at a time.
///
/// # Errors
///
/// [`Error`] if another testbed is up there, or if the start fails or takes too long; then nothing is left.
pub fn up(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Testbed> {
    options.check()?;
    let dir = place::prepare(&options.dir)?;
    let Some(lock) = lock::take(&dir)? else { return already_up(options, &dir, progress) };
    let starting = Starting::launch(options, &dir, lock, false, progress)?;
    Ok(starting.finish(progress)?.stays())
}

fn already_up(options: &Options, dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<Testbed> {
    let testbed = find(dir)?.ok_or_else(|| Error::Busy(dir.to_owned()))?;
    let dead = testbed.dead_parts()?;
    if testbed.nodes() != options.nodes {
        Err(Error::OtherOptions { path: dir.to_owned(), running: testbed.nodes(), requested: options.nodes })
    } else if !testbed.has_network(&options.network) {
        Err(Error::OtherNetwork(dir.to_owned()))
    } else if let Some(range) = options.ports.filter(|range| !testbed.stays_within(*range)) {
        Err(Error::OtherPorts { path: dir.to_owned(), range })
    } else if testbed.cpu_limits() != options.cpu_limits {
        Err(Error::OtherCpuLimits(dir.to_owned()))
    } else if BrokerExtras::left(dir) != options.broker {
        Err(Error::OtherBroker(dir.to_owned()))
    } else if let Some(missing) = options.routes.names().into_iter().find(|route| !testbed.has(route)) {
        Err(Error::NoRoute { path: dir.to_owned(), route: missing })
    } else if !dead.is_empty() {
        Err(Error::Damaged { path: dir.to_owned(), parts: dead.join(", ") })
    } else {
        progress(&format!("already up in {}", dir.display()));
        Ok(testbed)
    }
}

/// A testbed that ends with this value, or with this process, whatever its end.
#[derive(Debug)]
pub struct Ephemeral {
    testbed: Testbed,
    /// The supervisor holds the other end. The kernel closes ours when we die; no child of ours inherits it.
    socket: UnixStream,
    supervisor: Child,
    closed: bool,
}

/// Starts a testbed in a new private directory (`options.dir` is not used) that is removed with its owner.
///
/// # Errors
///
/// [`Error`] if the start fails or takes too long; then nothing is left.
pub fn ephemeral(options: &Options, progress: &mut dyn FnMut(&str)) -> Result<Ephemeral> {
    begin(options)?.finish(progress)
}

impl Ephemeral {
    /// The running testbed.
    pub fn testbed(&self) -> &Testbed {
        &self.testbed
    }

    /// Whether its supervisor has ended, and with it all parts.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.supervisor.try_wait(), Ok(None))
    }

    /// The running testbed, which does not end with this process.
    fn stays(mut self) -> Testbed {
        self.closed = true;
        self.testbed.clone()
    }

    /// Removes it and waits until nothing is left.
    ///
    /// # Errors
    ///
    /// [`Error::LeftBehind`] if something could not be removed.
    pub fn close(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        self.closed = true;
        let _ = self.socket.shutdown(Shutdown::Both);
        await_end(&mut self.supervisor);
        // Still present only if the supervisor was killed.
        stop::down(self.testbed.dir(), &mut |_| ()).map(drop)
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        if !self.closed {
            // An error cannot be reported here; the next ephemeral testbed removes the remains.
            let _ = self.end();
        }
    }
}

/// Waits for a supervisor that is ending; kills it, with its sandbox, if it does not end.
fn await_end(supervisor: &mut Child) {
    let limit = Instant::now() + CLOSE_LIMIT;
    while matches!(supervisor.try_wait(), Ok(None)) {
        if Instant::now() > limit {
            let _ = supervisor.kill();
            let _ = supervisor.wait();
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A testbed that is starting. Dropping it ends the start and removes what there is.
#[derive(Debug)]
pub struct Starting {
    dir: PathBuf,
    /// `None` once somebody else owns the supervisor.
    supervisor: Option<Child>,
    socket: UnixStream,
    messages: BufReader<UnixStream>,
    deadline: Instant,
}

/// Begins to start a testbed that ends with the result, in a new private directory (`options.dir` is not used).
///
/// # Errors
///
/// [`Error`] if its supervisor cannot be started.
pub fn begin(options: &Options) -> Result<Starting> {
    options.check()?;
    let parent = private_parent();
    let (dir, lock) = fresh::directory(&parent)?;
    fresh::clear_stale(&parent)?;
    Starting::launch(options, &dir, lock, true, &mut |_| ())
}

impl Starting {
    /// Starts the supervisor. It inherits the held lock, so that the directory never seems abandoned in between.
    fn launch(
        options: &Options,
        dir: &Path,
        lock: File,
        ephemeral: bool,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        if fs::read_dir(dir).on("list", dir)?.count() > 1 {
            progress("removing the remains of an earlier testbed");
            stop::clear_stale(dir, &lock)?;
        }
        place::create(&place::log_dir(dir), None)?;
        options.broker.leave(dir)?;
        options.shared.as_ref().map_or(Ok(()), |shared| shared.leave(dir))?;
        let log = log_file(dir);
        let (socket, theirs) = UnixStream::pair().when("create a stream")?;
        let supervisor = Command::new(&options.program)
            .args(["testbed", "supervise", "--dir"])
            .arg(dir)
            .args(["--nodes", &options.nodes.to_string()])
            .args(["--start-limit-s", &options.start_limit.as_secs().to_string()])
            .args(["--routes", &options.routes.names().join(",")])
            .args(["--network", &options.network.to_string()])
            .args(["--cpu-limits", &options.cpu_limits.words().join(",")])
            .args(ephemeral.then_some("--ephemeral"))
            .env(ports::RANGE_VARIABLE, options.ports.map(|range| range.to_string()).unwrap_or_default())
            .stdin(lock)
            .stdout(OwnedFd::from(theirs))
            .stderr(File::create(&log).on("create", &log)?)
            .current_dir("/")
            .spawn()
            .when("start the testbed's supervisor")?;
        cores::leave(&options.cores_of_others, &supervisor);
        // `Command` is gone by now, and with it our copies of the lock and of the supervisor's end of the socket.
        let messages = BufReader::new(socket.try_clone().when("create a stream")?);
        let deadline = Instant::now() + options.start_limit + GRACE;
        Ok(Self { dir: dir.to_owned(), supervisor: Some(supervisor), socket, messages, deadline })
    }

    /// Waits for its reports, at most `limit`. Returns the testbed once it is ready.
    ///
    /// # Errors
    ///
    /// [`Error`] if the start fails or takes too long; then nothing is left.
    pub fn poll(&mut self, limit: Duration, progress: &mut dyn FnMut(&str)) -> Result<Option<Ephemeral>> {
        let end = Instant::now() + limit;
        while self.heard_within(end.min(self.deadline).saturating_duration_since(Instant::now()))? {
            match receive(&mut self.messages) {
                Some(Message::Progress(line)) => progress(&line),
                Some(Message::Ready) => {
                    let Some(testbed) = find(&self.dir)? else { return Err(Error::Busy(self.dir.clone())) };
                    let socket = self.socket.try_clone().when("create a stream")?;
                    let supervisor = self.supervisor.take().expect("it is ready once");
                    return Ok(Some(Ephemeral { testbed, socket, supervisor, closed: false }));
                }
                Some(Message::Failed(sentence)) => return Err(self.ended(Error::Start(sentence))),
                None => return Err(self.lost()),
            }
        }
        if Instant::now() >= self.deadline { Err(self.lost()) } else { Ok(None) }
    }

    /// Waits until it is up.
    fn finish(mut self, progress: &mut dyn FnMut(&str)) -> Result<Ephemeral> {
        loop {
            if let Some(ephemeral) = self.poll(GRACE, progress)? {
                return Ok(ephemeral);
            }
        }
    }

    /// Whether a message, or the end, has arrived. The supervisor writes each message at once.
    fn heard_within(&self, limit: Duration) -> Result<bool> {
        if !self.messages.buffer().is_empty() {
            return Ok(true);
        }
        let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(io::Error::from(error)).when("hear from the testbed's supervisor")?,
        }
    }

    fn lost(&mut self) -> Error {
        let text = fs::read_to_string(log_file(&self.dir)).unwrap_or_default();
        let last = text.lines().last().map(|line| format!(" but this: {line}"));
        self.ended(Error::SupervisorLost(last.unwrap_or_default()))
    }

    fn ended(&mut self, failure: Error) -> Error {
        self.end();
        failure
    }

    fn end(&mut self) {
        if let Some(mut supervisor) = self.supervisor.take() {
            let _ = self.socket.shutdown(Shutdown::Both);
            await_end(&mut supervisor);
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        self.end();
    }
}

fn log_file(dir: &Path) -> PathBuf {
    place::log_dir(dir).join("supervisor.log")
}
