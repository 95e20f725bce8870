//! The directories of testbeds that end with their owner: a new one, and the remains of those that were killed.

use crate::{Error, Result, lock, place, secrets, stop};
use shortage::{FileContext, FileError};
use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
};

const PREFIX: &str = "ephemeral-";

/// How often other starts may take a new directory for remains.
const TRIES: u32 = 20;

/// A new directory in `parent`, and its lock.
pub fn directory(parent: &Path) -> Result<(PathBuf, File)> {
    for _ in 0..TRIES {
        let dir = place::prepare(&parent.join(format!("{PREFIX}{}", secrets::random_hex(6)?)))?;
        // Between the making of its lock file and our lock it looks like remains, and another start may remove it.
        match lock::take(&dir) {
            Ok(Some(lock)) => return Ok((dir, lock)),
            Ok(None) => {}
            Err(Error::File(FileError { ref source, .. })) if source.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Busy(parent.to_owned()))
}

/// Removes the files of testbeds whose owner and supervisor were both killed.
pub fn clear_stale(parent: &Path) -> Result<()> {
    for entry in fs::read_dir(parent).on("list", parent)?.flatten() {
        let path = entry.path();
        let is_ephemeral = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // A directory without a lock file is being prepared by another process.
        if is_ephemeral
            && lock::path(&path).exists()
            && lock::is_held(&path).is_ok_and(|held| !held)
            && let Ok(Some(lock)) = lock::take(&path)
        {
            // What cannot be removed now, the next start tries again.
            let _ = stop::remove_stale(&path, &lock);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn starts_at_the_same_time_do_not_take_each_others_new_directories_for_remains() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path();
        let start = || {
            (0..40).for_each(|_| {
                let (dir, lock) = directory(parent).unwrap();
                clear_stale(parent).unwrap();
                assert!(lock::is_held(&dir).unwrap(), "{} was removed by another start", dir.display());
                drop(lock);
            });
        };
        std::thread::scope(|scope| (0..8).for_each(|_| drop(scope.spawn(start))));
        // What other tests start has a copy of a lock until it runs a program of its own.
        let end = Instant::now() + Duration::from_secs(10);
        while fs::read_dir(parent).unwrap().count() > 0 {
            assert!(Instant::now() < end, "what was left is not removed");
            clear_stale(parent).unwrap();
        }
    }
}
