//! One network namespace, which exists as long as its descriptor or a process in it: it has no name that could remain.

use crate::{Result, process::Proc};
use nix::sched::{CloneFlags, setns, unshare};
use shortage::SystemContext;
use std::{
    fs::File,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    process::Stdio,
};

#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// A new namespace, which this process enters.
    pub fn create(proc: &Proc) -> Result<Self> {
        unshare(CloneFlags::CLONE_NEWNET).when("create a network namespace")?;
        Ok(Self(proc.open_file("self/ns/net")?))
    }

    /// Moves this process (it has no other threads) into it.
    pub fn enter(&self) -> Result<()> {
        Ok(setns(&self.0, CloneFlags::CLONE_NEWNET).when("enter a network namespace")?)
    }

    /// The number by which `/proc/PID/ns/net` names it.
    pub fn inode(&self) -> Result<u64> {
        let file = File::from(self.0.try_clone().when("look at a network namespace")?);
        Ok(file.metadata().when("look at a network namespace")?.ino())
    }

    pub fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// For a child, to which it is then `/proc/self/fd/0`.
    pub fn as_stdin(&self) -> Result<Stdio> {
        Ok(Stdio::from(self.0.try_clone().when("hand a network namespace on")?))
    }
}
