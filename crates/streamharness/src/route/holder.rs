//! A process beside rank 0 that holds what a run has asked for, and releases it when rank 0 is gone, by whatever signal.

use crate::{
    route::{cluster, tunnel},
    terminal::exit::{Exit, Failure},
};
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::{SigHandler, Signal, signal},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{BufRead, BufReader, ErrorKind, Stdin, Write, stdin},
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::CommandExt},
    },
    process::{Child, Command},
    time::{Duration, Instant},
};

/// How long a holder may take to release.
pub const RELEASE_LIMIT: Duration = Duration::from_secs(65);
/// When to look after what needs no looking after.
pub const NEVER: Duration = Duration::from_secs(24 * 3600);

/// What a holder is asked for. Holds secrets, and travels in memory only.
#[derive(Serialize, Deserialize)]
pub enum Order {
    /// A SciStream tunnel.
    Tunnel(Box<tunnel::Order>),
    /// A managed service.
    Cluster(Box<cluster::Order>),
}

/// What a holder says: what it has opened, or why not, with the exit code.
type Outcome<Told> = Result<Told, (u8, String)>;

/// A process that holds something. Dropping this has it release that; so does the end of this process, by whatever signal.
#[derive(Debug)]
pub struct Holder {
    /// The holder has the other end. The kernel closes ours when we die; no child of ours inherits it.
    socket: UnixStream,
    process: Child,
}

impl Holder {
    /// Starts one, and waits at most `limit` for what it has opened.
    pub fn start<Told: DeserializeOwned>(order: &Order, limit: Duration) -> Result<(Self, Told), Failure> {
        let unusual = |error: std::io::Error| Failure::new(Exit::Route, format!("the route has no holder: {error}"));
        let (mut socket, theirs) = UnixStream::pair().map_err(unusual)?;
        let program = std::env::current_exe().map_err(unusual)?;
        // In a group of its own: a terminal or a launcher that ends the run must not end it before it has released.
        let mut process = Command::new(program);
        process.arg("hold").process_group(0);
        process.stdin(OwnedFd::from(theirs.try_clone().map_err(unusual)?)).stdout(OwnedFd::from(theirs));
        let process = process.spawn().map_err(unusual)?;
        let text = serde_json::to_string(order).expect("an order is plain data");
        writeln!(socket, "{text}").map_err(unusual)?;
        socket.set_read_timeout(Some(limit)).map_err(unusual)?;
        let holder = Self { socket, process };
        let mut said = String::new();
        BufReader::new(&holder.socket).read_line(&mut said).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let who = match order {
                    Order::Tunnel(_) => "the S2CS",
                    Order::Cluster(_) => "the S3M service",
                };
                Failure::new(Exit::Route, format!("{who} did not reply within {} s: ask its operator", limit.as_secs()))
            }
            _ => unusual(error),
        })?;
        let outcome: Outcome<Told> = serde_json::from_str(&said)
            .map_err(|_| Failure::new(Exit::Route, "the route's holder ended without a word: start the run again"))?;
        let told = outcome.map_err(|(code, sentence)| Failure::new(Exit::from_code(code), sentence))?;
        Ok((holder, told))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let end = Instant::now() + RELEASE_LIMIT;
        // One that takes longer goes on by itself, and says what came of it.
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Rank 0, as a holder sees it.
pub struct Asker(BufReader<Stdin>);

impl Asker {
    /// Waits a little, and not longer if nobody wants the outcome any more: then false.
    pub fn waits(&self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(self.0.get_ref().as_fd(), PollFlags::POLLIN)];
            match poll(&mut fds, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)) {
                Ok(0) if left.is_zero() => return true,
                // Nothing follows the order, so whatever is to be read there is the end.
                Ok(1..) => return false,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Says what has been opened, and has it released once that is not wanted any more. Until then `tend` does what is to
    /// be done to keep it, and says when it wants to be asked again.
    pub fn hold<Told: Serialize, Held>(
        self,
        opened: Result<(Told, Held), Failure>,
        mut tend: impl FnMut(&mut Held) -> Duration,
        release: impl FnOnce(Held) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let (outcome, held): (Outcome<Told>, _) = match opened {
            Ok((told, held)) => (Ok(told), Some(held)),
            Err(failure) => (Err((failure.exit as u8, failure.sentence)), None),
        };
        let text = serde_json::to_string(&outcome).expect("an outcome is plain data");
        // Whoever asked may be gone; then what follows releases at once.
        let _ = writeln!(std::io::stdout(), "{text}");
        let Some(mut held) = held else { return Ok(Exit::Pass) };
        while self.waits(tend(&mut held)) {}
        release(held).map(|()| Exit::Pass)
    }
}

/// The holder's body: opens what standard input asks for, says so, and releases it when that closes.
pub fn hold() -> Result<Exit, Failure> {
    // They are meant for the run, whose end is what we wait for.
    for one in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGPIPE] {
        ignore(one);
    }
    let mut asker = Asker(BufReader::new(stdin()));
    let mut line = String::new();
    let order: Option<Order> = asker.0.read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
    let Some(order) = order else {
        let sentence = "hold is for a run's own use: use s2uc or s3m";
        return Err(Failure::new(Exit::Usage, sentence));
    };
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    match order {
        Order::Tunnel(order) => {
            let opened = runtime.block_on(order.open());
            asker.hold(opened, |_| NEVER, |tunnel| runtime.block_on(order.release(tunnel)))
        }
        Order::Cluster(order) => {
            let opened = order.open(&runtime, &asker);
            asker.hold(opened, |held| order.tend(held), |held| order.release(&held))
        }
    }
}

#[expect(unsafe_code, reason = "ignoring a signal runs no handler; the call is unsafe for those that do")]
fn ignore(one: Signal) {
    // SAFETY: no handler is installed.
    let _ = unsafe { signal(one, SigHandler::SigIgn) };
}
