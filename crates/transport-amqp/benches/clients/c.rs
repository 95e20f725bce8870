//! The client in C: compiling it, and a run of its producers and consumers.

use crate::{
    Measured,
    settings::{ACKS, Setting},
};
use engine::envelope::Envelope;
use serde::Deserialize;
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{self, Child, ChildStdout, Command, Stdio},
};
use testbed::Testbed;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/clients/rabbitmq.c");
const KIB_OF_MIB: f64 = 1024.0;

/// Compiles it into a directory. `None` without the library, after a line on how to get it.
pub fn compile(into: &Path) -> Option<PathBuf> {
    let has_library = Command::new("pkg-config").args(["--exists", "librabbitmq"]).status();
    if !has_library.is_ok_and(|status| status.success()) {
        eprintln!("without the client in C: install it with `apt-get install librabbitmq-dev` to compare with it");
        return None;
    }
    fs::create_dir_all(into).unwrap_or_else(|error| panic!("{}: {error}", into.display()));
    let program = into.join("rabbitmq");
    let mut cc = Command::new("cc");
    cc.args(["-std=c11", "-D_DEFAULT_SOURCE", "-O2", "-Wall", "-Wextra", SOURCE, "-lrabbitmq", "-o"]).arg(&program);
    assert!(cc.status().is_ok_and(|status| status.success()), "{cc:?} fails");
    Some(program)
}

/// What one process prints. Instants are those of the machine's monotonic clock.
#[derive(Debug, Deserialize)]
struct Printed {
    first_s: f64,
    last_s: f64,
    cpu_s: f64,
    max_rss_kib: f64,
}

/// One run: consumers first, then producers, and all of them start at once.
pub fn measure(program: &Path, setting: &Setting, testbed: &Testbed) -> Measured {
    let run = |role: &str, pair: u64| {
        let queue = format!("streamharness.bench.{}.{pair}", process::id());
        let mut command = Command::new(program);
        command.arg(role).arg(url(testbed, setting.tls)).arg(queue);
        command.args([setting.messages / setting.pairs, setting.bytes].map(|number| number.to_string()));
        command.args(arguments(role, setting)).envs(testbed.env());
        Process::start(command)
    };
    let mut consumers: Vec<Process> = (0..setting.pairs).map(|pair| run("consumer", pair)).collect();
    let mut producers: Vec<Process> = (0..setting.pairs).map(|pair| run("producer", pair)).collect();
    consumers.iter_mut().chain(&mut producers).for_each(Process::go);
    let [producers, consumers] =
        [producers, consumers].map(|processes| processes.into_iter().map(Process::end).collect::<Vec<Printed>>());
    let us = |of: &[Printed]| of.iter().map(|one| one.cpu_s).sum::<f64>() * 1e6 / setting.messages as f64;
    let mib = |of: &[Printed]| of.iter().map(|one| one.max_rss_kib).fold(0.0, f64::max) / KIB_OF_MIB;
    let first_s = consumers.iter().map(|one| one.first_s).fold(f64::INFINITY, f64::min);
    let last_s = consumers.iter().map(|one| one.last_s).fold(0.0, f64::max);
    Measured {
        messages_per_second: setting.messages as f64 / (last_s - first_s),
        producer_us: us(&producers),
        consumer_us: us(&consumers),
        producer_mib: mib(&producers),
        consumer_mib: mib(&consumers),
    }
}

fn url(testbed: &Testbed, tls: bool) -> String {
    let route = testbed.route(if tls { "dts" } else { "dts-plain" }).expect("a testbed has both");
    route.producer_urls[0].clone()
}

fn arguments(role: &str, setting: &Setting) -> Vec<String> {
    if role == "consumer" {
        return vec![setting.prefetch.to_string(), ACKS.to_string()];
    }
    let envelope = Envelope { run: 1, producer: 0, sequence: 0, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 };
    let (most, resume) = setting.confirms.limits();
    vec![envelope.encode().as_str().to_owned(), most.to_string(), resume.to_string()]
}

/// A process that ends with this value.
struct Process {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Process {
    /// Returns once it is connected.
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = BufReader::new(child.stdout.take().expect("stdout is a pipe"));
        let mut process = Self { child, lines };
        assert_eq!(process.line(), "ready\n", "{command:?} does not connect");
        process
    }

    fn go(&mut self) {
        let stdin = self.child.stdin.as_mut().expect("stdin is a pipe");
        stdin.write_all(b"\n").expect("the client waits for it");
    }

    fn end(mut self) -> Printed {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("the client in C printed `{line}`: {error}"))
    }

    /// The next line; the client ends itself if it takes too long.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("the client prints text");
        line
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It closes its connection and ends, unless this is the end of a bench that failed.
        if std::thread::panicking() {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
