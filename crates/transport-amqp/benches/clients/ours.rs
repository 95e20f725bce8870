//! The harness as a client: an MPI launch of the whole program, by its record.

use crate::{
    Measured,
    settings::{ACKS, Setting},
};
use serde_json::Value;
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use testbed::Testbed;

const MIB: f64 = (1 << 20) as f64;

/// A release build of the program.
pub struct Program {
    path: PathBuf,
    results: PathBuf,
}

impl Program {
    /// That of `BENCH_PROGRAM`, otherwise one that is built now. Its results go to a directory that is removed.
    pub fn find(results: PathBuf) -> Self {
        let path = env::var_os("BENCH_PROGRAM").map_or_else(build, PathBuf::from);
        let path = path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { path, results }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One run.
    pub fn measure(&self, setting: &Setting, client: &str, checks: bool, testbed: &Testbed) -> Measured {
        let _ = fs::remove_dir_all(&self.results);
        let Setting { workload, messages, confirms, prefetch, pairs, .. } = setting;
        let mut command = Command::new(workspace().join("launch/mpirun"));
        command.arg("-n").arg((2 * pairs).to_string()).arg(&self.path);
        command.args(["--arch", if setting.tls { "dts" } else { "dts-plain" }, "--workload", workload]);
        for (flag, value) in [("producers", pairs), ("consumers", pairs), ("queues", pairs), ("messages", messages)] {
            command.arg(format!("--{flag}={value}"));
        }
        command.arg(format!("--confirms={confirms}")).arg(format!("--prefetch={prefetch}"));
        command.arg(format!("--acks=multiple:{ACKS}")).arg(format!("--set=service.client={client}"));
        command.args((!checks).then_some("--verify=off")).arg("--out").arg(&self.results);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("STREAMHARNESS_")) {
            command.env_remove(name);
        }
        command.env("STREAMHARNESS_TESTBED", testbed.dir()).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
        let record = fs::read(self.results.join("record.json")).expect("a run leaves its record");
        read(&serde_json::from_slice(&record).expect("a record is JSON"), setting)
    }
}

fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--package", "streamharness"]).current_dir(workspace());
    assert!(cargo.status().is_ok_and(|status| status.success()), "{cargo:?} fails");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    target.join("release/streamharness")
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The figures of a record.
fn read(record: &Value, setting: &Setting) -> Measured {
    let number = |value: &Value, name: &str| value[name].as_f64().unwrap_or_else(|| panic!("the record has no {name}"));
    let sent = &record["totals"]["sent"];
    let bytes = number(sent, "bytes") / number(sent, "messages");
    assert_eq!(bytes, setting.bytes as f64, "{}: correct the size of its messages in settings.rs", setting.workload);
    let of = |role: &str| {
        let ranks = record["ranks"].as_array().expect("a record has ranks").iter();
        let ranks: Vec<&Value> = ranks.filter(|rank| rank["role"] == role).collect();
        let cpu_s: f64 = ranks.iter().map(|rank| number(rank, "cpu_s")).sum();
        let rss = ranks.iter().map(|rank| number(rank, "max_rss_bytes")).fold(0.0, f64::max);
        (cpu_s * 1e6 / setting.messages as f64, rss / MIB)
    };
    let ((producer_us, producer_mib), (consumer_us, consumer_mib)) = (of("producer"), of("consumer"));
    let messages_per_second = number(&record["throughput"], "messages_per_second");
    Measured { messages_per_second, producer_us, consumer_us, producer_mib, consumer_mib }
}
