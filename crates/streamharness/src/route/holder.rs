//! A process beside rank 0 that holds the tunnel or cluster of a run, and releases it when rank 0 is gone, even by SIGKILL.

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
/// The pause before the next look at something that needs no looking after.
pub const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The kinds of resources that a holder can hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Held {
    /// A SciStream tunnel.
    Tunnel,
    /// A managed service.
    Cluster,
    /// A load balancer of EJFAT.
    LoadBalancer,
}

/// The report of a holder: what it has opened, or an exit code and the reason.
type Report<Opened> = Result<Opened, (u8, String)>;

/// A process that holds something. Dropping this has it release that; so does the end of this process, by any signal.
#[derive(Debug)]
pub struct Holder {
    /// The holder has the other end. The kernel closes ours when we die; no child of ours inherits it.
    socket: UnixStream,
    process: Child,
}

impl Holder {
    /// Starts one, and waits at most `limit` for its report. The order holds secrets, and travels in memory only.
    pub fn start<Opened: DeserializeOwned>(
        held: Held,
        order: &impl Serialize,
        limit: Duration,
    ) -> Result<(Self, Opened), Failure> {
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
        let mut line = String::new();
        BufReader::new(&holder.socket).read_line(&mut line).map_err(|error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let peer = match held {
                    Held::Tunnel => "the S2CS",
                    Held::Cluster => "the S3M service",
                    Held::LoadBalancer => "the EJFAT control plane",
                };
                Failure::new(
                    Exit::Route,
                    format!("{peer} did not reply within {} s: ask its operator", limit.as_secs()),
                )
            }
            _ => unusual(error),
        })?;
        let report: Report<Opened> = serde_json::from_str(&line)
            .map_err(|_| Failure::new(Exit::Route, "the route's holder exited without a reply: start the run again"))?;
        let opened = report.map_err(|(code, sentence)| Failure::new(Exit::from_code(code), sentence))?;
        Ok((holder, opened))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.socket.shutdown(Shutdown::Both);
        let end = Instant::now() + RELEASE_LIMIT;
        // A holder that takes longer goes on by itself, and reports on stderr.
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Rank 0, as a holder sees it.
pub struct Parent(BufReader<Stdin>);

impl Parent {
    /// The parent on standard input, with its order if it sends one.
    pub fn connect() -> (Self, Option<(Held, Value)>) {
        let mut parent = Self(BufReader::new(stdin()));
        let mut line = String::new();
        let order = parent.0.read_line(&mut line).ok().and_then(|_| serde_json::from_str(&line).ok());
        (parent, order)
    }

    /// Waits for `pause`; returns false at once when the parent is gone.
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

    /// Reports what has been opened, and releases it once the parent is gone. Until then `tend` keeps it alive, and returns
    /// the pause until its next call.
    pub fn hold<Opened: Serialize, Resource>(
        self,
        opened: Result<(Opened, Resource), Failure>,
        mut tend: impl FnMut(&mut Resource) -> Duration,
        release: impl FnOnce(Resource) -> Result<(), Failure>,
    ) -> Result<Exit, Failure> {
        let (report, held): (Report<Opened>, _) = match opened {
            Ok((opened, held)) => (Ok(opened), Some(held)),
            Err(failure) => (Err((failure.exit as u8, failure.sentence)), None),
        };
        let text = serde_json::to_string(&report).expect("a report is plain data");
        // The parent may be gone; then the loop below ends at once.
        let _ = writeln!(std::io::stdout(), "{text}");
        let Some(mut held) = held else { return Ok(Exit::Pass) };
        while self.waits(tend(&mut held)) {}
        release(held).map(|()| Exit::Pass)
    }
}
