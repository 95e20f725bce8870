//! The events that the supervisor waits for, and its messages to the caller.

use crate::{
    Result,
    message::{Message, log, send},
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shortage::SystemContext;
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use std::{
    io::Read,
    os::{fd::AsFd, unix::net::UnixStream},
    time::Duration,
};

/// What it waits for.
pub struct Events {
    /// The caller: receives messages while the testbed starts; its end means that the testbed is no longer needed.
    pub caller: Option<UnixStream>,
    /// Becomes readable on a signal to stop.
    stop: UnixStream,
    /// Becomes readable when a child ends.
    child: UnixStream,
    /// Becomes readable when the links are to be counted.
    count: UnixStream,
    /// Becomes readable when a run requests a fault.
    fault: UnixStream,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    Stop,
    Orphaned,
    ChildEnded,
    Count,
    Fault,
}

impl Events {
    /// Signals arrive as bytes in a stream, not through a blocked mask: the mask would be inherited by every part.
    pub fn open(caller: UnixStream) -> Result<Self> {
        let (stop, stop_sender) = UnixStream::pair().when("create a stream")?;
        let (child, child_sender) = UnixStream::pair().when("create a stream")?;
        for signal in [SIGTERM, SIGINT, SIGHUP] {
            let sender = stop_sender.try_clone().when("create a stream")?;
            signal_hook::low_level::pipe::register(signal, sender).when("handle signals")?;
        }
        signal_hook::low_level::pipe::register(SIGCHLD, child_sender).when("handle signals")?;
        let (count, count_sender) = UnixStream::pair().when("create a stream")?;
        signal_hook::low_level::pipe::register(SIGUSR1, count_sender).when("handle signals")?;
        let (fault, fault_sender) = UnixStream::pair().when("create a stream")?;
        signal_hook::low_level::pipe::register(SIGUSR2, fault_sender).when("handle signals")?;
        fault.set_nonblocking(true).when("create a stream")?;
        count.set_nonblocking(true).when("create a stream")?;
        stop.set_nonblocking(true).when("create a stream")?;
        child.set_nonblocking(true).when("create a stream")?;
        Ok(Self { caller: Some(caller), stop, child, count, fault })
    }

    pub fn send(&self, message: &Message) {
        if let Some(caller) = &self.caller {
            send(caller, message);
        }
    }

    pub fn progress(&self, line: &str) {
        log(line);
        self.send(&Message::Progress(line.to_owned()));
    }

    /// Waits for something to happen, at most `limit`.
    pub fn listen(&mut self, limit: Option<Duration>) -> Heard {
        let timeout = limit.map_or(PollTimeout::NONE, |limit| PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX));
        let (stop, child, count, fault, caller) = {
            let mut fds = vec![
                PollFd::new(self.stop.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.child.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.count.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.fault.as_fd(), PollFlags::POLLIN),
            ];
            fds.extend(self.caller.as_ref().map(|caller| PollFd::new(caller.as_fd(), PollFlags::POLLIN)));
            // Interrupted or failed: no event; the caller repeats the call.
            let _ = poll(&mut fds, timeout);
            let heard = |index: usize| fds.get(index).and_then(PollFd::any).unwrap_or(false);
            (heard(0), heard(1), heard(2), heard(3), heard(4))
        };
        if child {
            // Many signals may have become many bytes; one look at the children covers them all.
            while matches!(self.child.read(&mut [0; 64]), Ok(64)) {}
        }
        if count {
            while matches!(self.count.read(&mut [0; 64]), Ok(64)) {}
        }
        if fault {
            while matches!(self.fault.read(&mut [0; 64]), Ok(64)) {}
        }
        // The caller never sends anything, so any readable state is its end.
        match (stop, caller, child, count, fault) {
            (true, ..) => Heard::Stop,
            (_, true, ..) => Heard::Orphaned,
            // First, since the counting is not lost by it: dead parts are found at any later look.
            (_, _, _, true, _) => Heard::Count,
            (_, _, true, ..) => Heard::ChildEnded,
            // Requests wait in their directory, which is read at any later look.
            (.., true) => Heard::Fault,
            _ => Heard::Nothing,
        }
    }
}
