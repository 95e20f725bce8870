//! Starts a testbed: a permanent one, or one that ends with its owner.

use crate::{
    Error, Options, Result, lock,
    message::{Message, receive},
    options::private_parent,
    place,
    rabbitmq::extra::BrokerExtras,
    running::{Testbed, find},
    secrets, stop,
};
use shortage::{FileContext, SystemContext};
use std::{
    fs::{self, File},
    io::BufReader,
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command},
    time::{Duration, Instant},
};

/// Time that the supervisor may need beyond the start limit to report the failure and to clean up.
const GRACE: Duration = Duration::from_secs(20);

/// How long an ephemeral testbed may take to be gone.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

/// Prefix of the names of ephemeral testbeds' directories.
const EPHEMERAL_PREFIX: &str = "ephemeral-";

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
    let (testbed, _socket, _supervisor) = launch(options, &dir, lock, false, progress)?;
    Ok(testbed)
}

fn already_up(options: &Options, dir: &Path, progress: &mut dyn FnMut(&str)) -> Result<Testbed> {
    let testbed = find(dir)?.ok_or_else(|| Error::Busy(dir.to_owned()))?;
    let dead = testbed.dead_parts()?;
    if testbed.nodes() != options.nodes {
        Err(Error::OtherOptions { path: dir.to_owned(), running: testbed.nodes(), requested: options.nodes })
    } else if !testbed.has_network(options.network) {
        Err(Error::OtherNetwork(dir.to_owned()))
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
    options.check()?;
    let parent = private_parent();
    let dir = place::prepare(&parent.join(format!("{EPHEMERAL_PREFIX}{}", secrets::random_hex(6)?)))?;
    clear_stale_ephemerals(&parent)?;
    let lock = lock::take(&dir)?.ok_or_else(|| Error::Busy(dir.clone()))?;
    let (testbed, socket, supervisor) = launch(options, &dir, lock, true, progress)?;
    Ok(Ephemeral { testbed, socket, supervisor, closed: false })
}

/// Removes the files of testbeds whose owner and supervisor were both killed.
fn clear_stale_ephemerals(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).on("list", parent)?.flatten() {
        let path = entry.path();
        let is_ephemeral = entry.file_name().to_string_lossy().starts_with(EPHEMERAL_PREFIX);
        // A directory without a lock file is being prepared by another process.
        if is_ephemeral && lock::path(&path).exists() && lock::is_held(&path).is_ok_and(|held| !held) {
            // Another process may be doing the same; the loser has nothing left to do.
            let _ = stop::down(&path, &mut |_| ());
        }
    }
    Ok(())
}

impl Ephemeral {
    /// The running testbed.
    pub fn testbed(&self) -> &Testbed {
        &self.testbed
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

/// Starts the supervisor and waits for its report. It inherits the held lock, so that the directory never seems
/// abandoned in between.
fn launch(
    options: &Options,
    dir: &Path,
    lock: File,
    ephemeral: bool,
    progress: &mut dyn FnMut(&str),
) -> Result<(Testbed, UnixStream, Child)> {
    if fs::read_dir(dir).on("list", dir)?.count() > 1 {
        progress("removing the remains of an earlier testbed");
        stop::clear_stale(dir, &lock)?;
    }
    place::create(&place::log_dir(dir), None)?;
    options.broker.leave(dir)?;
    let log = log_file(dir);
    let (ours, theirs) = UnixStream::pair().when("create a stream")?;
    let mut supervisor = Command::new(&options.program)
        .args(["testbed", "supervise", "--dir"])
        .arg(dir)
        .args(["--nodes", &options.nodes.to_string()])
        .args(["--start-limit-s", &options.start_limit.as_secs().to_string()])
        .args(["--routes", &options.routes.names().join(",")])
        .args(["--network", &options.network.to_string()])
        .args(["--cpu-limits", &options.cpu_limits.words().join(",")])
        .args(ephemeral.then_some("--ephemeral"))
        .stdin(lock)
        .stdout(OwnedFd::from(theirs))
        .stderr(File::create(&log).on("create", &log)?)
        .current_dir("/")
        .spawn()
        .when("start the testbed's supervisor")?;
    // `Command` is gone by now, and with it our copies of the lock and of the supervisor's end of the socket.

    let deadline = Instant::now() + options.start_limit + GRACE;
    let mut messages = BufReader::new(ours.try_clone().when("create a stream")?);
    let failure = loop {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        ours.set_read_timeout(Some(left)).when("set a time limit")?;
        match receive(&mut messages) {
            Some(Message::Progress(line)) => progress(&line),
            Some(Message::Ready) => match find(dir)? {
                Some(testbed) => return Ok((testbed, ours, supervisor)),
                None => break Error::Busy(dir.to_owned()),
            },
            Some(Message::Failed(sentence)) => break Error::Start(sentence),
            None => {
                let text = fs::read_to_string(&log).unwrap_or_default();
                let last = text.lines().last().map(|line| format!(" but this: {line}"));
                break Error::SupervisorLost(last.unwrap_or_default());
            }
        }
    };
    let _ = ours.shutdown(Shutdown::Both);
    await_end(&mut supervisor);
    Err(failure)
}

fn log_file(dir: &Path) -> PathBuf {
    place::log_dir(dir).join("supervisor.log")
}
