//! The lock file whose holder is the testbed: held means alive, free means stale.

use crate::Result;
use shortage::FileContext;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::ErrorKind,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long another process's probe (`status`, `find`) may hold the lock before it counts as held by a testbed.
const PATIENCE: Duration = Duration::from_millis(300);

pub fn path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

/// Takes the lock, creating its file. `None` if a testbed holds it.
pub fn take(dir: &Path) -> Result<Option<File>> {
    let path = path(dir);
    let patience_ends = Instant::now() + PATIENCE;
    loop {
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path).on("open", &path)?;
        match file.try_lock() {
            Ok(()) if is_removed(&file, &path)? => {}
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() >= patience_ends => return Ok(None),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(20)),
            Err(TryLockError::Error(source)) => return Ok(Err(source).on("lock", &path)?),
        }
    }
}

/// The removal of a testbed unlinks the locked file, perhaps between our open and our lock: a lock on such a file
/// excludes nobody.
fn is_removed(file: &File, path: &Path) -> Result<bool> {
    Ok(file.metadata().on("look at", path)?.nlink() == 0)
}

/// Whether a testbed (or a process that starts or removes one) holds the lock. An error if that is unknown: a file that
/// cannot be opened may still exist.
pub fn is_held(dir: &Path) -> Result<bool> {
    let path = path(dir);
    let file = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        opened => opened.on("open", &path)?,
    };
    Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_seen_and_not_taken_twice() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_held(dir.path()).unwrap());
        let held = take(dir.path()).unwrap().unwrap();
        assert!(is_held(dir.path()).unwrap());
        assert!(take(dir.path()).unwrap().is_none());
        drop(held);
        // What other tests start has a copy of the file until it runs a program of its own.
        let end = Instant::now() + Duration::from_secs(10);
        while is_held(dir.path()).unwrap() {
            assert!(Instant::now() < end, "it is held for ever");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_lock_that_cannot_be_looked_at_is_no_free_lock() {
        let dir = tempfile::tempdir().unwrap();
        // A file in place of the directory: an error that is not absence.
        let place = dir.path().join("file");
        std::fs::write(&place, "").unwrap();
        let sentence = is_held(&place).unwrap_err().to_string();
        assert!(sentence.starts_with("cannot open ") && sentence.contains("file/lock"), "{sentence}");
        assert!(!is_held(&dir.path().join("nothing")).unwrap());
    }

    #[test]
    fn a_lock_on_a_removed_file_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        let old = take(dir.path()).unwrap().unwrap();
        assert!(!is_removed(&old, &path).unwrap());
        std::fs::remove_file(&path).unwrap();
        assert!(is_removed(&old, &path).unwrap());
        assert!(take(dir.path()).unwrap().is_some());
        drop(old);
    }
}
