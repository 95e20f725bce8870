//! The testbed's private directory: its layout, and when it may be removed.

use crate::{Error, Result, identity::Identity, lock, options::private_parent};
use shortage::{FileContext, FileError};
use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

pub fn log_dir(dir: &Path) -> PathBuf {
    dir.join("log")
}
pub fn password_file(dir: &Path) -> PathBuf {
    dir.join("password")
}
pub fn tls_dir(dir: &Path) -> PathBuf {
    dir.join("tls")
}
pub fn ca_file(dir: &Path) -> PathBuf {
    tls_dir(dir).join("ca.pem")
}

/// The absolute path of `dir`, created if new. Refuses a directory that contains anything except a testbed, because it
/// will be removed completely.
pub fn prepare(dir: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(dir).on("resolve", dir)?;
    let refuse = |reason: &str| Err(Error::Directory { path: path.clone(), reason: reason.to_owned() });
    // It is used in shell scripts, in Erlang terms and in rabbitmq.conf, where `#` starts a comment.
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,=".contains(c);
    if !path.to_str().is_some_and(|text| text.chars().all(plain)) {
        return refuse("its name may hold ASCII letters, digits and /._-+@:,= only");
    }
    let mut created = create_with_parent(&path);
    // The removal of another testbed may just have removed the empty parent.
    for _ in 0..10 {
        match created {
            Err(Error::File(FileError { ref source, .. })) if source.kind() == io::ErrorKind::NotFound => {}
            _ => break,
        }
        created = create_with_parent(&path);
    }
    created?;
    let is_empty = fs::read_dir(&path).on("list", &path)?.next().is_none();
    if !is_empty && !lock::path(&path).exists() {
        return refuse("it holds other files");
    }
    Ok(path)
}

fn create_with_parent(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        if is_private_parent(parent) {
            create_private(parent)?;
        }
        fs::create_dir_all(parent).on("create", parent)?;
    }
    create_private(path)
}

/// By its name, not by our uid, which differs inside a user namespace.
fn is_private_parent(path: &Path) -> bool {
    let prefix = private_parent().to_string_lossy().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    path.to_str().and_then(|path| path.strip_prefix(&prefix)).is_some_and(|uid| uid.parse::<u32>().is_ok())
}

/// A directory of ours that others may pass through but not list; under /tmp its name is easy to guess, so a directory
/// of another user is refused.
fn create_private(path: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Ok(Err(error).on("create", path)?),
        _ => {}
    }
    let meta = fs::symlink_metadata(path).on("look at", path)?;
    let reason = if !meta.is_dir() {
        "it is not a directory"
    } else if meta.uid() != nix::unistd::geteuid().as_raw() {
        "it belongs to another user"
    } else if meta.permissions().mode() & 0o022 != 0 {
        "others can write to it"
    } else {
        return Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o711)).on("set the mode of", path)?);
    };
    Err(Error::Directory { path: path.to_owned(), reason: reason.to_owned() })
}

/// Creates a directory, readable by `owner` only if one is given, else by all.
pub fn create(path: &Path, owner: Option<&Identity>) -> Result<()> {
    let mode = if owner.is_some() { 0o700 } else { 0o755 };
    DirBuilder::new().mode(0o700).create(path).on("create", path)?;
    // Set separately, since a umask would remove the broker's access.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).on("set the mode of", path)?;
    owner.map_or(Ok(()), |owner| owner.own(path))
}

/// Removes the contents of a testbed's `dir`, except its lock, which the caller holds, and the logs with `keep_logs`.
pub fn empty(dir: &Path, keep_logs: bool) -> Result<()> {
    for entry in fs::read_dir(dir).on("list", dir)? {
        let path = entry.on("list", dir)?.path();
        if path == lock::path(dir) || (keep_logs && path == log_dir(dir)) {
            continue;
        }
        let removed =
            if path.is_dir() && !path.is_symlink() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.on("remove", &path)?;
    }
    Ok(())
}

/// Removes `dir` completely. The lock is last: while its file exists, the directory is known to be a testbed's.
pub fn remove(dir: &Path) -> Result<()> {
    empty(dir, false)?;
    let lock = lock::path(dir);
    fs::remove_file(&lock).on("remove", &lock)?;
    fs::remove_dir(dir).on("remove", dir)?;
    if let Some(parent) = dir.parent().filter(|parent| is_private_parent(parent)) {
        // Fails, as intended, if it contains anything else.
        let _ = fs::remove_dir(parent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_somebodys_files_is_refused_and_untouched() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("data");
        fs::create_dir(&dir).unwrap();
        fs::write(dir.join("thesis.tex"), "precious").unwrap();
        let error = prepare(&dir).unwrap_err().to_string();
        assert!(error.contains("it holds other files"), "{error}");
        assert!(dir.join("thesis.tex").exists());
    }

    #[test]
    fn a_name_that_would_break_the_brokers_configuration_is_refused() {
        for name in ["with space", "with#hash", "quote'", "ümlaut"] {
            let outer = tempfile::tempdir().unwrap();
            let dir = outer.path().join(name);
            assert!(matches!(prepare(&dir), Err(Error::Directory { .. })), "{name}");
            assert!(!dir.exists());
        }
    }

    #[test]
    fn a_symbolic_link_planted_at_the_directorys_name_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        let target = outer.path().join("target");
        fs::create_dir(&target).unwrap();
        let dir = outer.path().join("testbed");
        std::os::unix::fs::symlink(&target, &dir).unwrap();
        assert!(matches!(prepare(&dir), Err(Error::Directory { .. })));
    }

    #[test]
    fn only_the_users_own_directory_under_tmp_is_removed_with_its_last_testbed() {
        assert!(is_private_parent(&private_parent()));
        for path in ["/tmp", "/tmp/streamharness-x", "/tmp/streamharness-0/testbed", "/home/streamharness-0"] {
            assert!(!is_private_parent(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn an_earlier_testbeds_directory_is_taken_over_and_removed_whole() {
        let outer = tempfile::tempdir().unwrap();
        let dir = prepare(&outer.path().join("testbed")).unwrap();
        let lock = lock::take(&dir).unwrap();
        create(&log_dir(&dir), None).unwrap();
        fs::write(dir.join("state.json"), "{").unwrap();
        assert_eq!(prepare(&dir).unwrap(), dir);
        empty(&dir, true).unwrap();
        assert!(log_dir(&dir).exists() && !dir.join("state.json").exists());
        remove(&dir).unwrap();
        assert!(!dir.exists());
        drop(lock);
    }
}
