//! Errors of the system: what was tried, and for a shortage of threads or files the limit and what to type.
//!
//! ```
//! let error = std::io::Error::from_raw_os_error(24); // EMFILE
//! assert!(shortage::explain(&error).contains("ulimit -n"));
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod context;

pub use context::{FileContext, FileError, SystemContext, SystemError};

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
};
use std::{io, os::unix::net::UnixStream, thread};

/// Number of files that is enough for a rank, its MPI library and its connections.
pub const FILES_PLENTY: u64 = 1024;

/// Most pairs of files that a runtime needs. It panics if it gets none for its signals.
const PAIRS_OF_RUNTIME: usize = 6;

/// A runtime for one thread, made by `build` if there are enough files: otherwise it would panic. Starts no thread,
/// because a process that has left its PID namespace cannot.
///
/// # Errors
///
/// The error of `build` or of opening files, with what to type.
pub fn runtime<T>(build: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let room: io::Result<Vec<_>> = (0..PAIRS_OF_RUNTIME).map(|_| UnixStream::pair()).collect();
    drop(room.map_err(explained)?);
    build().map_err(explained)
}

/// Starts a thread; unlike `std::thread::spawn` it does not panic if there is none.
///
/// # Errors
///
/// The system's error, with what to type.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(explained)
}

/// An error of the system, with the remedy if a limit causes it.
pub fn explained(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), explain(&error))
}

/// The text of an error of the system, with the remedy if a limit causes it.
pub fn explain(error: &io::Error) -> String {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
    let limit = |resource| getrlimit(resource).map_or_else(|_| "?".to_owned(), |(soft, _)| soft.to_string());
    match errno {
        Errno::EMFILE => format!(
            "{error}: this process may open {} files, which is too few; raise the limit with `ulimit -n {FILES_PLENTY}`",
            limit(Resource::RLIMIT_NOFILE)
        ),
        Errno::ENFILE => format!("{error}: this host has no more; an administrator can raise `fs.file-max`"),
        Errno::EAGAIN => format!(
            "{error}: this user may have {} processes and threads (`ulimit -u`), or its control group has no more \
             (`pids.max`); raise it, or start fewer ranks on this host",
            limit(Resource::RLIMIT_NPROC)
        ),
        Errno::ENOMEM => format!("{error}: start fewer ranks on this host, or give the job more memory"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_the_system_is_named_with_what_to_type() {
        let sentence = |errno: Errno| explain(&io::Error::from_raw_os_error(errno as i32));
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let expected = [&files.to_string(), "`ulimit -n 1024`"];
        assert!(expected.iter().all(|part| sentence(Errno::EMFILE).contains(*part)), "{}", sentence(Errno::EMFILE));
        assert!(sentence(Errno::EAGAIN).contains("`ulimit -u`"), "{}", sentence(Errno::EAGAIN));
        assert_eq!(sentence(Errno::EIO), io::Error::from_raw_os_error(Errno::EIO as i32).to_string());
    }
}
