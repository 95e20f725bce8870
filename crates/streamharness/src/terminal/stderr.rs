//! All output to stderr: each line is one write, and a closed reader (`2>&1 | head`) does not end a run or a testbed.

use measure::foreign;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt,
    io::{self, Write},
    panic::{self, PanicHookInfo},
    thread,
};

/// Writes `line` with the program's name. Quoted lines are indented, so that they are not mistaken for the program's
/// own.
pub fn say(line: impl fmt::Display) {
    let _ = write(&mut io::stderr(), &line.to_string(), "");
}

/// Reports every panic as one line: the default report is written in pieces, which mix with those of other ranks.
pub fn report_panics() {
    panic::set_hook(Box::new(|panicked| {
        let trace = Backtrace::capture();
        let trace = if trace.status() == BacktraceStatus::Captured { format!("{trace}\n") } else { String::new() };
        let _ = write(&mut io::stderr(), &sentence(panicked), &trace);
    }));
}

fn sentence(panicked: &PanicHookInfo<'_>) -> String {
    let thread = thread::current();
    let place = panicked.location().map_or_else(String::new, |place| format!(" at {place}"));
    let payload = panicked.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let why = text.unwrap_or("no reason is given");
    format!(
        "thread '{}' panicked{place}: {why}; this is a fault of streamharness: report it with what was typed, and with \
         what RUST_BACKTRACE=1 adds",
        thread.name().unwrap_or("unnamed")
    )
}

/// One write for the whole `line`: pieces would mix if several ranks share a terminal.
fn write(stderr: &mut impl Write, line: &str, more: &str) -> io::Result<()> {
    let line = foreign::sentence(line).replace('\n', "\n    ");
    stderr.write_all(format!("streamharness: {line}\n{more}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        env,
        os::{fd::OwnedFd, unix::net::UnixDatagram},
        process::{Command, Stdio},
        time::Duration,
    };

    /// Set if a test runs again as a process of its own.
    const AGAIN: &str = "STREAMHARNESS_TEST_PANICS";

    /// Counts writes.
    #[derive(Default)]
    struct Counting(Vec<String>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_one_write_whatever_it_quotes() {
        let mut counting = Counting::default();
        write(&mut counting, "its log says:\nfirst\nsecond", "").unwrap();
        assert_eq!(counting.0, ["streamharness: its log says:\n    first\n    second\n"]);
    }

    #[test]
    fn a_panic_is_one_write_too() {
        if env::var_os(AGAIN).is_some() {
            report_panics();
            panic!("first\nsecond");
        }
        let (_, module) = module_path!().split_once("::").unwrap();
        let this = format!("{module}::a_panic_is_one_write_too");
        // Of a datagram socket each write is one message.
        let (stderr, reader) = UnixDatagram::pair().unwrap();
        reader.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut again = Command::new(env::current_exe().unwrap());
        again.args(["--exact", &this, "--nocapture"]);
        again.env(AGAIN, "1").env_remove("RUST_BACKTRACE").stdout(Stdio::null()).stderr(OwnedFd::from(stderr));
        let status = again.status().unwrap();
        drop(again);
        assert_eq!(status.code(), Some(101));
        let mut bytes = [0; 4096];
        let read = reader.recv(&mut bytes).unwrap();
        let line = String::from_utf8_lossy(&bytes[..read]);
        let begin = format!("streamharness: thread '{this}' panicked at ");
        assert!(line.starts_with(&begin) && line.contains(": first\n    second; this is a fault"), "{line}");
        assert!(line.ends_with("RUST_BACKTRACE=1 adds\n"), "{line}");
        reader.set_nonblocking(true).unwrap();
        assert!(reader.recv(&mut bytes).map_or(true, |more| more == 0), "nothing more: {:?}", &bytes[..80]);
    }
}
