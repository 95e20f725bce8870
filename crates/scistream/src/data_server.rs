//! One data server: a stunnel or an HAProxy as our child, from its files to its end.

use crate::{Error, Kind, Result, Role, Uid, config::DataServerConfig, listening, trouble::Trouble};
use nix::{
    sys::{
        prctl::set_pdeathsig,
        resource::{Resource, getrlimit},
        signal::{Signal, kill},
    },
    unistd::{Pid, getpid, getppid},
};
use shortage::{FileContext, SystemContext};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

/// How long a data server may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Most bytes of a log that are read at once.
const LOOK_BYTES_MAX: u64 = 1 << 20;

/// What to start.
#[derive(Debug, Clone)]
pub struct Setup {
    pub kind: Kind,
    pub role: Role,
    pub uid: Uid,
    pub listeners: Vec<SocketAddr>,
    pub targets: Vec<String>,
    /// Directory for its files.
    pub dir: PathBuf,
    /// The number in the names of its files: the uid is the key and must not be in them.
    pub number: u64,
}

/// A data server that listens. Killed when dropped.
#[derive(Debug)]
pub struct DataServer {
    child: Child,
    files: [PathBuf; 2],
    log: PathBuf,
    /// Bytes of the log that were read.
    looked_at: u64,
}

impl DataServer {
    /// Starts it and returns when it listens on every port.
    pub async fn start(setup: &Setup) -> Result<Self> {
        let program = setup.kind.find()?;
        let file = |extension: &str| setup.dir.join(format!("{}.{extension}", setup.number));
        let (config, key, log) = (file("conf"), file("key"), file("log"));
        let (_, open_files) = getrlimit(Resource::RLIMIT_NOFILE).when("read the limit of open files")?;
        let text = DataServerConfig {
            kind: setup.kind,
            role: setup.role,
            listeners: &setup.listeners,
            targets: &setup.targets,
            key: &key,
            log: &log,
            open_files,
        }
        .render();
        write_private(&config, &text)?;
        if setup.kind != Kind::Haproxy {
            write_private(&key, &setup.uid.key_line())?;
        }
        // Directly to a file: no pipe can fill up.
        let console = OpenOptions::new().create(true).append(true).mode(0o600).open(&log).on("create", &log)?;
        // A reused directory has logs of other tunnels.
        let looked_at = console.metadata().on("look at", &log)?.len();
        let mut command = Command::new(program);
        if setup.kind == Kind::Haproxy {
            // `-db`: in the foreground. As a daemon it would outlive its parent.
            command.args(["-db", "-f"]);
        }
        command
            .arg(&config)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(console.try_clone().on("open", &log)?)
            .stderr(console)
            // A terminal's Ctrl-C is for us; we end it in order.
            .process_group(0)
            .kill_on_drop(true);
        die_with_parent(&mut command);
        let child = command.spawn().when("start a data server")?;
        let mut server = Self { child, files: [config, key], log, looked_at };
        match server.listens(setup).await {
            Ok(()) => Ok(server),
            Err(how) => {
                let log = last_lines(&server.log);
                server.stop().await;
                Err(Error::DataServer { program: setup.kind.program(), how, log })
            }
        }
    }

    async fn listens(&mut self, setup: &Setup) -> std::result::Result<(), String> {
        let ports: Vec<u16> = setup.listeners.iter().map(SocketAddr::port).collect();
        let limit = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = self.ended() {
                return Err(status.to_string());
            }
            if self.child.id().is_some_and(|pid| listening::listens(pid, &ports)) {
                return Ok(());
            }
            if Instant::now() > limit {
                return Err(format!("it does not listen after {} s", START_LIMIT.as_secs()));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Problems in its log since the last call, and its end if it has ended.
    pub fn troubles(&mut self) -> Vec<Trouble> {
        let mut lines = String::new();
        // An unreadable log has no problems; the connections continue.
        let read = File::open(&self.log).and_then(|mut log| {
            log.seek(SeekFrom::Start(self.looked_at))?;
            let mut bytes = Vec::new();
            log.take(LOOK_BYTES_MAX).read_to_end(&mut bytes)?;
            let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            lines.push_str(&String::from_utf8_lossy(&bytes[..whole]));
            Ok(if whole == 0 { bytes.len() } else { whole })
        });
        self.looked_at += read.unwrap_or_default() as u64;
        let ended = self.ended().map(|how| Trouble::Ended(how.to_string()));
        lines.lines().filter_map(Trouble::of_line).chain(ended).collect()
    }

    /// Ends it, reaps it and removes its files, except the log.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            // Not reaped yet, so the pid is still its own.
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGTERM);
            if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
                let _ = self.child.start_kill();
                let _ = timeout(STOP_LIMIT, self.child.wait()).await;
            }
        }
        for file in &self.files {
            let _ = fs::remove_file(file);
        }
    }
}

/// Creates the directory of a control server: its files hold keys.
pub fn create_private_dir(dir: &Path) -> Result<()> {
    Ok(DirBuilder::new().recursive(true).mode(0o700).create(dir).on("create", dir)?)
}

/// Writes a file that is never readable by anyone else, not even for a moment.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let _ = fs::remove_file(path);
    let file: std::io::Result<File> = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    Ok(file.and_then(|mut file| file.write_all(text.as_bytes())).on("write", path)?)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() { "(none)".to_owned() } else { lines[lines.len().saturating_sub(4)..].join(" | ") }
}

/// Has the kernel kill the child when this process ends, for whatever reason.
#[expect(unsafe_code, reason = "only the child itself can request this, between fork and exec")]
fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    let request = move || {
        set_pdeathsig(Signal::SIGKILL)?;
        // We may have ended before the request.
        if getppid() == parent { Ok(()) } else { Err(nix::errno::Errno::ESRCH.into()) }
    };
    // SAFETY: two system calls; no allocation, no lock.
    unsafe { command.pre_exec(request) };
}
