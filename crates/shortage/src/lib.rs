//! What the system lacks where it refuses a thread or a file: a sentence that names the limit and what to type.
//!
//! ```
//! let error = std::io::Error::from_raw_os_error(24); // EMFILE
//! assert!(shortage::explain(&error).contains("ulimit -n"));
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]

use nix::{
    errno::Errno,
    sys::resource::{Resource, getrlimit},
};
use std::{io, os::unix::net::UnixStream, thread};

/// Files that are plenty for a rank, its MPI library and its connections.
const FILES_PLENTY: u64 = 1024;

/// Pairs of files that a runtime takes at most. It panics where it gets none for its signals.
const PAIRS_OF_RUNTIME: usize = 6;

/// A runtime for one thread, made by `build` if there are files enough for it: it panics where it finds none. The error says
/// what to do. Starts no thread, which a process that has left its PID namespace cannot.
pub fn runtime<T>(build: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let room: io::Result<Vec<_>> = (0..PAIRS_OF_RUNTIME).map(|_| UnixStream::pair()).collect();
    drop(room.map_err(explained)?);
    build().map_err(explained)
}

/// Starts a thread, which `std::thread::spawn` panics at where there is none. The error says what to do.
pub fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = thread::Builder::new().name(name.to_owned()).spawn(work);
    started.map(drop).map_err(explained)
}

/// An error of the system's with what to do about it, where a limit of the system is behind it.
pub fn explained(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), explain(&error))
}

/// What to do about an error of the system's, where a limit of the system is behind it.
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
        let said = |errno: Errno| explain(&io::Error::from_raw_os_error(errno as i32));
        let (files, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let expected = [&files.to_string(), "`ulimit -n 1024`"];
        assert!(expected.iter().all(|part| said(Errno::EMFILE).contains(*part)), "{}", said(Errno::EMFILE));
        assert!(said(Errno::EAGAIN).contains("`ulimit -u`"), "{}", said(Errno::EAGAIN));
        assert_eq!(said(Errno::EIO), io::Error::from_raw_os_error(Errno::EIO as i32).to_string());
    }
}
