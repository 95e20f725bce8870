//! Small files that are named on the command line or in the environment, read within limits of time and size.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::mpsc,
    time::Duration,
};

/// More than all authorities of a system.
const BYTES_MAX: u64 = 16 << 20;
/// Limit on reading a pipe without a writer, or a file on an unreachable server.
const LIMIT: Duration = Duration::from_secs(10);

/// The contents of a file, which may be a pipe.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, LIMIT)
}

fn read_within(path: &Path, limit: Duration) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    let (sender, receiver) = mpsc::channel();
    // If this thread waits for ever, it is left behind; the process ends without it.
    shortage::thread("file", move || {
        let _ = sender.send(read_some(&path));
    })?;
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing came within {} s", limit.as_secs()));
    receiver.recv_timeout(limit).unwrap_or_else(|_| Err(late())).map_err(explained)
}

/// Names a limit of the system as the cause.
fn explained(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), shortage::explain(&error))
}

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {} MiB", BYTES_MAX >> 20))),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_not_read_for_ever() {
        assert_eq!(read(Path::new("/dev/zero")).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_is_not_waited_for_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert_eq!(read_within(&path, Duration::ZERO).unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
