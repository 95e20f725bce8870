//! Real brokers, started three times: what is left when a testbed ends, in whatever way.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// The driver, which Cargo builds beside the tests.
fn driver() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/testbed");
    assert!(program.exists(), "no {}: run the whole `cargo test -p testbed`, which builds it", program.display());
    program
}

/// A directory that the broker's user can reach, removed with its contents at the end of the test.
fn place() -> tempfile::TempDir {
    let dir = tempfile::Builder::new().prefix("streamharness-test-").tempdir_in("/tmp").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    dir
}

fn run(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(driver());
    command.args(arguments).env("STREAMHARNESS_TESTBED", dir).envs(variables.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs the driver, which limits its own waits, and returns what it printed, on either stream.
#[track_caller]
fn succeed(dir: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let output = run(dir, arguments, variables);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// Every process that works in `dir`, by its arguments or its environment: also those that no state file knows.
fn processes_of(dir: &Path) -> Vec<String> {
    let needle = dir.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let holds = |file: &str| {
            let bytes = fs::read(entry.path().join(file)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).replace('\0', " ")
        };
        let arguments = holds("cmdline");
        if arguments.contains(needle) || holds("environ").contains(needle) {
            found.push(format!("{} {arguments}", entry.file_name().display()));
        }
    }
    found
}

/// What `state.json` lists: the supervisor's pid and all ports.
fn listed(dir: &Path) -> (i32, Vec<u16>) {
    let state: serde_json::Value = serde_json::from_slice(&fs::read(dir.join("state.json")).unwrap()).unwrap();
    let parts = state["parts"].as_array().unwrap();
    let ports =
        parts.iter().flat_map(|part| part["ports"].as_array().unwrap()).map(|port| port[1].as_u64().unwrap() as u16);
    (parts[0]["process"]["pid"].as_i64().unwrap() as i32, ports.collect())
}

fn kill_9(pid: i32) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[track_caller]
fn assert_gone_within(limit: Duration, dir: &Path, ports: &[u16]) {
    let end = Instant::now() + limit;
    loop {
        let processes = processes_of(dir);
        let taken: Vec<&u16> =
            ports.iter().filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, **port)).is_err()).collect();
        if processes.is_empty() && taken.is_empty() {
            return;
        }
        assert!(Instant::now() < end, "left: {processes:#?}, ports {taken:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_killed_supervisor_leaves_no_process_and_the_next_up_and_down_leave_nothing_at_all() {
    let place = place();
    let dir = &place.path().join("testbed");

    succeed(dir, &["up", "--nodes", "1"], &[]);
    let status = succeed(dir, &["status"], &[]);
    assert!(status.lines().any(|line| line.starts_with("node 1") && line.ends_with("running")), "{status}");
    assert!(succeed(dir, &["up", "--nodes", "1"], &[]).contains("already up"));
    let other = run(dir, &["up", "--nodes", "2"], &[]);
    assert!(!other.status.success(), "a testbed with another number of nodes is up already");
    let password = fs::read_to_string(dir.join("password")).unwrap();
    let seen = succeed(dir, &["env"], &[]) + &status + &processes_of(dir).join("\n");
    assert!(!seen.contains(&password), "the password is for files only");
    let exec = run(
        dir,
        &["exec", "--", "sh", "-c", "test -r $STREAMHARNESS_PASSWORD_FILE -a -r $STREAMHARNESS_CA && exit 7"],
        &[],
    );
    assert_eq!(exec.status.code(), Some(7));

    let (supervisor, ports) = listed(dir);
    assert!(processes_of(dir).len() >= 4, "supervisor, epmd, broker and its helpers");
    kill_9(supervisor);
    assert_gone_within(Duration::from_secs(20), dir, &ports);
    assert!(!run(dir, &["status"], &[]).status.success());

    // Again, without namespaces: as in a container that allows none.
    let again = succeed(dir, &["up", "--nodes", "1"], &[("STREAMHARNESS_NO_NAMESPACES", "1")]);
    assert!(again.contains("removing the remains"), "{again}");
    let (_, ports) = listed(dir);
    succeed(dir, &["down"], &[]);
    assert_gone_within(Duration::ZERO, dir, &ports);
    assert!(!dir.exists());
    succeed(dir, &["down"], &[]);
}

/// Killed whatever happens to the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_ephemeral_testbed_is_gone_soon_after_its_owner_is_killed() {
    let mut owner = Command::new(driver());
    owner.args(["hold", "--nodes", "1"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut owner = Killed(owner.spawn().unwrap());
    let mut line = String::new();
    BufReader::new(owner.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut text = String::new();
        owner.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        panic!("no ephemeral testbed: {text}");
    }
    let dir = Path::new(line.trim());
    let (_, ports) = listed(dir);
    assert!(!processes_of(dir).is_empty());

    kill_9(owner.0.id() as i32);
    assert_gone_within(Duration::from_secs(20), dir, &ports);
    let end = Instant::now() + Duration::from_secs(20);
    while dir.exists() {
        assert!(Instant::now() < end, "{} is still there", dir.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_testbed_that_cannot_start_reports_what_to_do_and_keeps_only_its_logs() {
    let place = place();
    let dir = &place.path().join("testbed");
    let output = run(dir, &["up", "--nodes", "1"], &[("STREAMHARNESS_RABBITMQ", "/nowhere")]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("apt-get install rabbitmq-server, or run launch/setup"), "{text}");
    assert!(!dir.join("password").exists() && !dir.join("state.json").exists());
    assert!(dir.join("log/supervisor.log").exists());
    assert!(processes_of(dir).is_empty());
    succeed(dir, &["down"], &[]);
    assert!(!dir.exists());
}
