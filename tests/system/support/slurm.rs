//! A Slurm of the tests' own.

use super::{place, processes, within, workspace};
use std::{
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;

const STOP_LIMIT: Duration = Duration::from_secs(60);

/// A local cluster that ends with this value, or with this process however that ends.
pub struct Cluster {
    place: TempDir,
    /// A shell that takes the cluster down when its standard input ends, which the kernel sees to when we are gone.
    keeper: Child,
}

impl Cluster {
    /// Starts one of a single node.
    pub fn start() -> Self {
        Self::of(&[])
    }

    /// Starts one with these options.
    pub fn of(options: &[&str]) -> Self {
        let place = place();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", "cat >/dev/null; exec launch/slurm/local-cluster stop >/dev/null"]);
        // Ctrl-C in a terminal is for us, and the keeper comes after.
        let keeper = scripts(&mut keeper, &place).stdin(Stdio::piped()).process_group(0).spawn().unwrap();
        let cluster = Self { place, keeper };
        cluster.script(&[&["start"], options].concat());
        cluster
    }

    fn dir(place: &TempDir) -> PathBuf {
        place.path().join("slurm")
    }

    fn script(&self, words: &[&str]) -> String {
        let output =
            scripts(&mut Command::new("launch/slurm/local-cluster"), &self.place).args(words).output().unwrap();
        assert!(output.status.success(), "local-cluster {words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a shell gets by `eval "$(launch/slurm/local-cluster env)"`.
    pub fn variables(&self) -> Vec<(String, String)> {
        let lines = self.script(&["env"]);
        let assignments = lines.lines().filter_map(|line| line.strip_prefix("export ")?.split_once('='));
        assignments.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Takes it down; nothing may be left.
    pub fn stop(mut self) {
        drop(self.keeper.stdin.take());
        let ended = within(STOP_LIMIT, || self.keeper.try_wait().unwrap()).expect("the cluster stops");
        assert!(ended.success(), "local-cluster stop: {ended}");
        let dir = Self::dir(&self.place);
        assert!(!dir.exists(), "{} is still there", dir.display());
        let left = processes::of_directory(dir.to_str().unwrap());
        assert!(left.is_empty(), "left: {left:#?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn scripts<'a>(command: &'a mut Command, place: &TempDir) -> &'a mut Command {
    command.current_dir(workspace()).env("STREAMHARNESS_SLURM_DIR", Cluster::dir(place)).env_remove("SLURM_CONF")
}
