//! The user of the parts: never host root.

use crate::{Error, Result};
use nix::unistd::{Gid, Uid, User, getegid, geteuid};
use shortage::FileContext;
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Command,
};

/// The user and group of every part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub name: String,
    uid: u32,
    gid: u32,
    /// Whether we are root and have to change to this user.
    drops: bool,
}

impl Identity {
    /// The caller; for root, the user who called sudo, otherwise `rabbitmq`, otherwise `nobody`.
    pub fn choose() -> Result<Self> {
        let (uid, gid) = (geteuid(), getegid());
        if !uid.is_root() {
            let name = user_name(uid);
            return Ok(Self { name, uid: uid.as_raw(), gid: gid.as_raw(), drops: false });
        }
        let sudo = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
        let caller = sudo("SUDO_UID").zip(sudo("SUDO_GID")).map(|(uid, gid)| (Uid::from_raw(uid), Gid::from_raw(gid)));
        let named = ["rabbitmq", "nobody"].into_iter().filter_map(|name| User::from_name(name).ok().flatten());
        caller
            .into_iter()
            .chain(named.map(|user| (user.uid, user.gid)))
            .find(|(uid, _)| !uid.is_root())
            .map(|(uid, gid)| Self { name: user_name(uid), uid: uid.as_raw(), gid: gid.as_raw(), drops: true })
            .ok_or(Error::NoUnprivilegedUser)
    }

    /// Makes `command` run as this user.
    pub fn apply(&self, command: &mut Command) {
        if self.drops {
            command.uid(self.uid).gid(self.gid);
        }
    }

    /// Makes this user the owner of a file or directory.
    pub fn own(&self, path: &Path) -> Result<()> {
        if self.drops {
            chown(path, Some(self.uid), Some(self.gid)).on("change the owner of", path)?;
        }
        Ok(())
    }

    /// Refuses a directory that this user cannot reach; the error names the directory that blocks it.
    pub fn can_reach(&self, dir: &Path) -> Result<()> {
        self.closed(dir)?.map_or(Ok(()), |closed| {
            let reason = format!("{} is closed to the user {}, as whom the broker runs", closed.display(), self.name);
            Err(Error::Directory { path: dir.to_owned(), reason })
        })
    }

    /// The same for a program.
    pub fn can_start(&self, program: &Path) -> Result<()> {
        self.closed(program)?.map_or(Ok(()), |closed| {
            let (program, closed) = (program.to_owned(), closed.to_owned());
            Err(Error::ClosedProgram { program, user: self.name.clone(), closed })
        })
    }

    /// The first of a path and the directories above it that is closed to this user.
    fn closed<'a>(&self, path: &'a Path) -> Result<Option<&'a Path>> {
        if !self.drops {
            return Ok(None);
        }
        for ancestor in path.ancestors() {
            let meta = fs::metadata(ancestor).on("look at", ancestor)?;
            let bit = match () {
                () if meta.uid() == self.uid => 0o100,
                () if meta.gid() == self.gid => 0o010,
                () => 0o001,
            };
            if meta.permissions().mode() & bit == 0 {
                return Ok(Some(ancestor));
            }
        }
        Ok(None)
    }
}

fn user_name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_is_never_root() {
        assert_ne!(Identity::choose().unwrap().uid, 0);
    }

    #[test]
    fn a_directory_or_program_behind_a_closed_directory_is_refused_by_name() {
        let outer = tempfile::tempdir().unwrap();
        let inner = outer.path().join("inner");
        fs::create_dir(&inner).unwrap();
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Identity { name: "stranger".into(), uid: 54321, gid: 54321, drops: true };
        let error = stranger.can_reach(&inner).unwrap_err().to_string();
        assert!(error.contains(&format!("{} is closed to the user stranger", outer.path().display())), "{error}");
        let program = inner.join("erl");
        fs::write(&program, "").unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let error = stranger.can_start(&program).unwrap_err().to_string();
        assert!(error.contains(&format!("as the user stranger: {} is closed", outer.path().display())), "{error}");
        fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o711)).unwrap();
        stranger.can_reach(outer.path()).unwrap();
    }
}
