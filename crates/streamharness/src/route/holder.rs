//! A process beside rank 0 that holds what a run has asked for, and releases it when rank 0 is gone, by whatever signal.

use crate::terminal::exit::{Exit, Failure};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
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

/// What a holder can hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Held {
    /// A SciStream tunnel.
    Tunnel,
    /// A managed service.
    Cluster,
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
    /// Starts one, and waits at most `limit` for what it has opened. The order holds secrets, and travels in memory only.
    pub fn start<Told: DeserializeOwned>(
        held: Held,
        order: &impl Serialize,
        limit: Duration,
    ) -> Result<(Self, Told), Failure> {
        let unusual = |error: std::io::Error| Failure::new(Exit::Route, format!("the route has no holder: {error}"));
        let (mut socket, theirs) = UnixStream::pair().map_err(unusual)?;
        let program = std::env::current_exe().map_err(unusual)?;
        // In a group of its own: a terminal or a launcher that ends the run must not end it before it has released.
        let mut process = Command::new(program);
        process.arg("hold").process_group(0);
        process.stdin(OwnedFd::from(theirs.try_clone().map_err(unusual)?)).stdout(OwnedFd::from(theirs));
        let process = process.spawn().map_err(unusual)?;
        let text = serde_json::to_string(&(held, order)).expect("an order is plain data");
        writeln!(socket, "{text}").map_err(unusual)?;
        socket.set_read_timeout(Some(limit)).map_err(unusual)?;
        let holder = Self { socket, process };
        let mut said = String::new();
        BufReader::new(&holder.socket).read_line(&mut said).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let who = match held {
                    Held::Tunnel => "the S2CS",
                    Held::Cluster => "the S3M service",
                };
                Failure::new(Exit::Route, format!("{who} did not reply within {} s: ask its operator", limit.as_secs()))
            }
            _ => unusual(error),
        })?;
        let outcome: Outcome<Told> = serde_json::from_str(&said)
            .map_err(|_| Failure::new(Exit::Route, "the route's holder exited without a reply: start the run again"))?;
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
    /// With what it orders on standard input, if it does.
    pub fn ask() -> (Self, Option<(Held, Value)>) {
        let mut asker = Self(BufReader::new(stdin()));
        let mut line = String::new();
        let order = asker.0.read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
        (asker, order)
    }

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
    pub fn hold<Told: Serialize, Open>(
        self,
        opened: Result<(Told, Open), Failure>,
        mut tend: impl FnMut(&mut Open) -> Duration,
        release: impl FnOnce(Open) -> Result<(), Failure>,
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
