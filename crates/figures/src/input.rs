//! Reads files that a user names: regular files only, up to a limit.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

/// Ten times the size of a profile with every key and a comment on each.
const PROFILE_MAX: u64 = 1 << 20;
/// Ten times the size of a day's series, or of the buckets of all latencies.
const RESULT_MAX: u64 = 256 << 20;

/// The text of a profile, or of another file that people write by hand.
///
/// # Errors
///
/// The system's error, or that the file is not regular, too large, or not UTF-8.
pub fn profile(path: impl AsRef<Path>) -> io::Result<String> {
    text(bytes(path.as_ref(), PROFILE_MAX)?)
}

/// The text of a run's file.
///
/// # Errors
///
/// As [`profile()`].
pub fn result(path: impl AsRef<Path>) -> io::Result<String> {
    text(result_bytes(path)?)
}

/// The same for binary files.
///
/// # Errors
///
/// As [`profile()`], without the check for UTF-8.
pub fn result_bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    bytes(path.as_ref(), RESULT_MAX)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not valid UTF-8"))
}

fn bytes(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    // So that it does not wait for a writer of a pipe.
    let file = OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_char_device() || kind.is_block_device() => "a device",
            () => "a socket",
        };
        return Err(io::Error::other(format!("it is {what}, not a file")));
    }
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        return Err(io::Error::other(format!("it is larger than {} MiB", most >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_no_file_or_too_large_is_refused_at_once() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(path("large"), vec![b' '; PROFILE_MAX as usize + 1]).unwrap();
        fs::write(path("binary"), [0xff, 0xfe]).unwrap();
        fs::write(path("good"), "messages = 1").unwrap();
        for (path, reason) in [
            (path("pipe"), "it is a pipe, not a file"),
            ("/dev/zero".into(), "it is a device, not a file"),
            (place.path().to_owned(), "it is a directory, not a file"),
            (path("large"), "it is larger than 1 MiB"),
            (path("binary"), "it is not valid UTF-8"),
        ] {
            assert_eq!(profile(&path).unwrap_err().to_string(), reason, "{}", path.display());
        }
        assert_eq!(profile(path("good")).unwrap(), "messages = 1");
    }
}
