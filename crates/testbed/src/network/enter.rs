//! Enters a running testbed's network from outside, through the supervisor's descriptors.

use super::NetworkState;
use crate::{Error, Result, process::Process};
use nix::sched::{CloneFlags, setns};
use std::{
    fs::{self, File},
    os::unix::fs::MetadataExt,
    path::PathBuf,
};

/// Access to a network.
#[derive(Debug, Clone, Copy)]
pub struct Access<'a> {
    pub supervisor: Process,
    pub network: &'a NetworkState,
}

impl Access<'_> {
    /// Whether this process is already on a host of ranks.
    pub fn is_inside(self) -> bool {
        let producers = self.network.producers.map(|producers| producers.namespace);
        namespace_of("self")
            .is_some_and(|inode| self.network.namespaces.first().into_iter().chain(&producers).any(|one| *one == inode))
    }

    /// Moves the calling thread, and threads that it starts later, to the host of the producers or to that of the others.
    /// The process is already inside.
    pub fn enter_site(self, of_producers: bool) -> Result<()> {
        let closed = |source: std::io::Error| Error::Enter { source };
        let producers = self.network.producers.filter(|_| of_producers);
        let descriptor = producers.map_or(self.network.clients_fd, |producers| producers.fd);
        let path = format!("/proc/{}/fd/{descriptor}", self.supervisor.pid);
        setns(File::open(path).map_err(closed)?, CloneFlags::CLONE_NEWNET).map_err(|errno| closed(errno.into()))
    }

    /// Moves this process, which must have no other threads, to the clients' host. If a plain user created the network,
    /// it belongs to a user namespace, in which that user is number 0.
    pub fn enter(self) -> Result<()> {
        let closed = |source: std::io::Error| Error::Enter { source };
        let proc = PathBuf::from(format!("/proc/{}", self.supervisor.pid));
        // Both are opened before either is entered: from inside, the supervisor's descriptors are not accessible.
        let clients = File::open(proc.join(format!("fd/{}", self.network.clients_fd))).map_err(closed)?;
        let user = File::open(proc.join("ns/user")).map_err(closed)?;
        let own = fs::metadata("/proc/self/ns/user").map_err(closed)?.ino();
        if user.metadata().map_err(closed)?.ino() != own {
            setns(&user, CloneFlags::CLONE_NEWUSER).map_err(|errno| closed(errno.into()))?;
        }
        setns(&clients, CloneFlags::CLONE_NEWNET).map_err(|errno| closed(errno.into()))
    }
}

impl NetworkState {
    /// Processes that are still in one of the namespaces and keep it alive, each with its name.
    pub fn occupants(&self) -> Vec<String> {
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        numbers
            .filter(|pid| namespace_of(&pid.to_string()).is_some_and(|inode| self.namespaces.contains(&inode)))
            .map(|pid| {
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                format!("{} (pid {pid}) in the testbed's network", name.trim_end())
            })
            .collect()
    }
}

/// The number of a process's network namespace.
fn namespace_of(process: &str) -> Option<u64> {
    fs::metadata(format!("/proc/{process}/ns/net")).ok().map(|meta| meta.ino())
}
