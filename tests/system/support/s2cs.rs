//! SciStream control servers of the tests' own, started as a facility would start them.

use super::{place, processes, program, within};
use nix::sys::signal::Signal;
use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tempfile::TempDir;

const START_LIMIT: Duration = Duration::from_secs(30);
const END_LIMIT: Duration = Duration::from_secs(20);

/// A control server that is killed with this value.
pub struct ControlServer {
    place: TempDir,
    child: Child,
    host: String,
    port: u16,
}

impl ControlServer {
    /// Starts one of this type with `ports` ports for its proxies.
    pub fn start(kind: &str, ports: u16) -> Self {
        Self::start_at("127.0.0.1", kind, ports, &[])
    }

    /// Starts one that listens on `host`.
    pub fn start_at(host: &str, kind: &str, ports: u16, more: &[&str]) -> Self {
        let place = place();
        let first = free_ports(1 + ports);
        let mut command = Command::new(program());
        command
            .args(["s2cs", "--listen", &format!("{host}:{first}"), "--type", kind])
            .args(["--ports", &format!("{}-{}", first + 1, first + ports), "--dir", "s2cs"])
            .args(more)
            .current_dir(place.path())
            .stdin(Stdio::null())
            .stderr(File::create(place.path().join("log")).unwrap());
        let server = Self { child: command.spawn().unwrap(), host: host.to_owned(), port: first, place };
        within(START_LIMIT, || server.log().contains(" listens on ").then_some(())).expect("it says that it listens");
        server
    }

    /// What its operator sees.
    pub fn log(&self) -> String {
        fs::read_to_string(self.place.path().join("log")).unwrap()
    }

    /// Its directory.
    pub fn dir(&self) -> PathBuf {
        self.place.path().join("s2cs")
    }

    /// Where it takes requests.
    pub fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The certificate that its clients are given.
    pub fn certificate(&self) -> PathBuf {
        self.dir().join("server.pem")
    }

    /// The processes that it has started.
    pub fn proxies(&self) -> Vec<processes::Process> {
        let own = self.child.id() as i32;
        let of_directory = processes::of_directory(self.dir().to_str().unwrap());
        of_directory.into_iter().filter(|process| process.pid != own).collect()
    }

    /// Ends it by this signal; afterwards none of its processes may be left.
    #[track_caller]
    pub fn end(mut self, signal: Signal) {
        processes::send(self.child.id() as i32, signal);
        within(END_LIMIT, || self.child.try_wait().unwrap()).expect("it ends");
        let gone = || self.proxies().is_empty().then_some(());
        assert!(within(END_LIMIT, gone).is_some(), "left after {signal}: {:#?}", self.proxies());
    }

    /// `streamharness s2uc WHAT` with this server.
    pub fn ask(&self, what: &str, uid_file: &Path, rest: &[&str]) -> Output {
        let mut command = Command::new(program());
        command
            .args(["s2uc", what, "--s2cs", &self.address(), "--server-cert"])
            .arg(self.certificate())
            .arg("--uid-file")
            .arg(uid_file)
            .args(rest);
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// The same, which must succeed: the addresses that it prints.
    #[track_caller]
    pub fn gives(&self, what: &str, uid_file: &Path, rest: &[&str]) -> Vec<String> {
        let output = self.ask(what, uid_file, rest);
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        // Its proxies end with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first of `count` ports that are free, below those which the system hands out by itself.
pub fn free_ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(9000);
    let free = |first: &u16| (*first..first + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    std::iter::repeat_with(|| NEXT.fetch_add(count, Ordering::Relaxed)).find(free).unwrap()
}
