//! The mechanism that keeps parts from outliving their supervisor.

use super::Sandbox;
use crate::Result;
use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
    sys::prctl::set_child_subreaper,
    unistd::{getegid, geteuid},
};
use shortage::{FileContext, SystemContext};
use std::{
    fmt, fs,
    path::Path,
    process::{Command, Stdio},
};

/// One of these is chosen once per testbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// A PID namespace, made as root. When its first process ends, the kernel kills all others.
    PidNamespace,
    /// The same inside a user namespace, made without any privilege.
    UserNamespace,
    /// No namespace: the kernel kills each part when its parent ends. A daemon started by a part would survive a SIGKILL of
    /// the supervisor; RabbitMQ starts none as long as our epmd replies.
    ParentDeathSignal,
}

impl Isolation {
    /// The strongest mechanism that works here. A process cannot leave namespaces after a partial failure (a container
    /// may allow `unshare` and then forbid mounting /proc), so each is tried in a process of its own.
    pub fn choose(program: &Path) -> Self {
        // For tests, and for machines on which namespaces work but must not be used.
        if std::env::var("STREAMHARNESS_NO_NAMESPACES").is_ok_and(|value| value == "1") {
            return Self::ParentDeathSignal;
        }
        // Root needs no user namespace, and in one it could not change to the user the broker runs as.
        let candidate = if geteuid().is_root() { Self::PidNamespace } else { Self::UserNamespace };
        let works = Command::new(program)
            .args(["testbed", "sandbox-check", candidate.word()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if works { candidate } else { Self::ParentDeathSignal }
    }

    /// Puts this process's future children into the namespaces. Must be called before there is a second thread.
    pub(super) fn enter(self) -> Result<()> {
        let namespaces = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
        match self {
            Self::PidNamespace => unshare(namespaces).when("create a PID namespace")?,
            Self::UserNamespace => {
                let (uid, gid) = (geteuid(), getegid());
                unshare(namespaces | CloneFlags::CLONE_NEWUSER).when("create a user namespace")?;
                for (file, text) in [
                    ("/proc/self/setgroups", "deny".to_owned()),
                    ("/proc/self/uid_map", format!("0 {uid} 1")),
                    ("/proc/self/gid_map", format!("0 {gid} 1")),
                ] {
                    fs::write(file, text).on("write", Path::new(file))?;
                }
            }
            Self::ParentDeathSignal => return Ok(set_child_subreaper(true).when("become the reaper of orphans")?),
        }
        // Slave, not private: what the host unmounts disappears here too, so a testbed never keeps a disk busy.
        Ok(mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_SLAVE, None::<&str>)
            .when("separate the mounts of the sandbox")?)
    }

    pub fn has_namespaces(self) -> bool {
        self != Self::ParentDeathSignal
    }

    /// The mechanism of namespaces that has this word.
    pub fn of_word(word: &str) -> Self {
        if word == Self::UserNamespace.word() { Self::UserNamespace } else { Self::PidNamespace }
    }

    /// Its word on command lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::PidNamespace => "pid",
            Self::UserNamespace => "user",
            Self::ParentDeathSignal => "none",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PidNamespace => "PID namespace",
            Self::UserNamespace => "user and PID namespace",
            Self::ParentDeathSignal => {
                "parent-death signals, without namespaces (weaker: what detaches itself from its part outlives a SIGKILL of the \
                 supervisor)"
            }
        })
    }
}

/// The body of `testbed sandbox-check`: enters the sandbox and leaves it by ending.
pub fn check(word: &str) -> Result<()> {
    let program = std::env::current_exe().when("find this program's own file")?;
    Sandbox::enter(Isolation::of_word(word), &program)?.end()
}
