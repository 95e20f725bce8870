//! The control groups of the limits: created before parts start, entered by each part as it starts, removed with the
//! testbed.

use super::{
    CpuLimits, Cpus,
    places::{Version, places},
};
use crate::{Error, Result, secrets};
use serde::{Deserialize, Serialize};
use shortage::FileContext;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Period in which each group may run for its share, as in Kubernetes.
const PERIOD_US: u64 = 100_000;
/// How long killed processes may take to leave their group.
const EMPTY_LIMIT: Duration = Duration::from_secs(5);

/// A part whose CPU is limited, and what it has used up so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Limited {
    /// Its name.
    pub part: String,
    /// Its limit, in cores.
    pub cores: f64,
    /// Periods in which it worked, and those in which it used up its share; `None` if the kernel does not report them.
    pub periods: Option<[u64; 2]>,
}

/// The groups of one testbed, as in `state.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// The testbed's own directory; it contains one for each limited part.
    top: PathBuf,
    version: Version,
    limits: CpuLimits,
}

impl Groups {
    /// Chooses their place, under a unique name. Nothing is created yet, so that the state file can name them first.
    pub fn choose(limits: CpuLimits) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).on("read", Path::new(path));
        let found = places(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        let Some((version, places)) = found else {
            return Err(Error::NoCpuLimits("none is mounted here".to_owned()));
        };
        let name = format!("streamharness-{}", secrets::random_hex(6)?);
        let mut refused = Vec::new();
        for place in places {
            match usable(&place.join(&name), version) {
                Ok(()) => return Ok(Self { top: place.join(&name), version, limits }),
                Err(error) => refused.push(format!("{}: {error}", place.display())),
            }
        }
        Err(Error::NoCpuLimits(refused.join(", ")))
    }

    /// The group below which they are.
    pub fn parent(&self) -> &Path {
        self.top.parent().unwrap_or(&self.top)
    }

    /// Groups below a given directory, for tests.
    #[cfg(test)]
    pub fn at(top: &Path, limits: CpuLimits) -> Self {
        Self { top: top.to_owned(), version: Version::V2, limits }
    }

    #[cfg(test)]
    pub fn is_there(&self) -> bool {
        self.top.exists()
    }

    /// Creates them, each with its limit.
    pub fn make(&self) -> Result<()> {
        let failed = |error: io::Error| Error::NoCpuLimits(format!("{}: {error}", self.top.display()));
        fs::create_dir(&self.top).map_err(failed)?;
        if self.version == Version::V2 {
            fs::write(self.top.join("cgroup.subtree_control"), "+cpu").map_err(failed)?;
        }
        for (part, cpus) in self.limits.iter() {
            let group = self.group(part);
            let quota_us = cpus.of_period_us(PERIOD_US);
            let files = match self.version {
                Version::V1 => {
                    vec![("cpu.cfs_period_us", PERIOD_US.to_string()), ("cpu.cfs_quota_us", quota_us.to_string())]
                }
                Version::V2 => vec![("cpu.max", format!("{quota_us} {PERIOD_US}"))],
            };
            fs::create_dir(&group).map_err(failed)?;
            files.into_iter().try_for_each(|(file, text)| fs::write(group.join(file), text)).map_err(failed)?;
        }
        Ok(())
    }

    /// Their limits.
    pub fn limits(&self) -> &CpuLimits {
        &self.limits
    }

    fn group(&self, part: &str) -> PathBuf {
        self.top.join(part.replace(' ', "-"))
    }

    /// Puts a part into its group before its first instruction, so that all its children are in it too.
    #[expect(unsafe_code, reason = "only the child itself can enter before it has children of its own")]
    pub fn enter_at_start(&self, part: &str, command: &mut Command) -> Result<()> {
        if self.limits.of(part).is_none() {
            return Ok(());
        }
        // Opened here, because the child may be another user by then.
        let path = self.group(part).join("cgroup.procs");
        let mut processes = OpenOptions::new().write(true).open(&path).on("open", &path)?;
        // 0 means the writing process.
        let enter = move || processes.write_all(b"0");
        // SAFETY: one system call; no allocation, no lock.
        unsafe { command.pre_exec(enter) };
        Ok(())
    }

    /// For how long a part's threads were throttled so far; `None` if the kernel does not report it.
    pub fn held_back(&self, part: &str) -> Option<Duration> {
        let text = fs::read_to_string(self.group(part).join("cpu.stat")).ok()?;
        held_back(&text)
    }

    /// Each limited part, with what it has used up so far.
    pub fn limited(&self) -> Vec<Limited> {
        let limited = |(part, cpus): (&str, Cpus)| Limited {
            part: part.to_owned(),
            cores: cpus.cores(),
            periods: self.periods(part),
        };
        self.limits.iter().map(limited).collect()
    }

    /// In how many periods a part has worked so far, and in how many of these it used up its share; `None` if the kernel does
    /// not report it.
    fn periods(&self, part: &str) -> Option<[u64; 2]> {
        let text = fs::read_to_string(self.group(part).join("cpu.stat")).ok()?;
        Some([number(&text, "nr_periods")?, number(&text, "nr_throttled")?])
    }

    /// Removes them. Their processes must have ended; missing groups are ignored.
    pub fn remove(&self) -> Result<()> {
        let mut left: Vec<PathBuf> = self.limits.iter().map(|(part, _)| self.group(part)).collect();
        left.push(self.top.clone());
        let end = Instant::now() + EMPTY_LIMIT;
        while let Some(group) = left.first() {
            match fs::remove_dir(group) {
                Ok(()) => drop(left.remove(0)),
                Err(error) if error.kind() == ErrorKind::NotFound => drop(left.remove(0)),
                // A killed process leaves its group only when it has really ended.
                Err(error) if error.kind() == ErrorKind::ResourceBusy && Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Ok(Err(error).on("remove", group)?),
            }
        }
        Ok(())
    }
}

/// Checks that a group of this path supports a limit. Leaves nothing behind except an enabled controller.
fn usable(group: &Path, version: Version) -> io::Result<()> {
    if version == Version::V2 {
        hand_down(group.parent().unwrap_or(group))?;
    }
    fs::create_dir(group)?;
    let file = group.join(if version == Version::V1 { "cpu.cfs_quota_us" } else { "cpu.max" });
    let opened: io::Result<File> = OpenOptions::new().write(true).open(file);
    fs::remove_dir(group)?;
    opened.map(drop)
}

/// Enables the controller for groups below this one.
fn hand_down(parent: &Path) -> io::Result<()> {
    // The kernel would accept it for a group with processes, and then let no process into the groups below. Only the
    // topmost group, which has no type, may do both.
    let occupied = !fs::read_to_string(parent.join("cgroup.procs"))?.is_empty();
    if occupied && parent.join("cgroup.type").exists() {
        return Err(io::Error::other("it holds processes"));
    }
    let file = parent.join("cgroup.subtree_control");
    let has_it = fs::read_to_string(&file)?.split_whitespace().any(|controller| controller == "cpu");
    if has_it { Ok(()) } else { fs::write(file, "+cpu") }
}

/// Reads `throttled_time 7` (ns) of version 1 or `throttled_usec 7` of version 2.
fn held_back(stat: &str) -> Option<Duration> {
    let first = number(stat, "throttled_time").map(Duration::from_nanos);
    first.or_else(|| number(stat, "throttled_usec").map(Duration::from_micros))
}

/// The number of that name.
fn number(stat: &str, name: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Routes, network::NetworkChoice};
    use std::process::Stdio;

    #[test]
    fn both_versions_report_how_long_a_group_was_throttled() {
        let first = "nr_periods 9\nnr_throttled 4\nthrottled_time 1500000000\n";
        let second = "usage_usec 5\nnr_periods 9\nnr_throttled 4\nthrottled_usec 1500000\n";
        assert_eq!(held_back(first), Some(Duration::from_millis(1500)));
        assert_eq!(held_back(second), held_back(first));
        assert_eq!(held_back("usage_usec 5\n"), None);
    }

    #[test]
    fn a_part_and_what_it_starts_get_no_more_than_their_limit() {
        let limits = CpuLimits::read(["node=0.2"], 2, &Routes::default(), &NetworkChoice::Loopback).unwrap();
        let groups = match Groups::choose(limits) {
            Ok(groups) => groups,
            Err(error) => return eprintln!("skipped: {error}"),
        };
        groups.make().unwrap();
        // A grandchild, since data servers are children of a part.
        let mut command = Command::new("sh");
        command.args(["-c", "sh -c 'while :; do :; done' & echo $!; wait"]).stdout(Stdio::piped());
        command.process_group(0);
        groups.enter_at_start("node 2", &mut command).unwrap();
        let mut child = command.spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        while groups.held_back("node 2").unwrap().is_zero() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (held_back, free) = (groups.held_back("node 2").unwrap(), groups.held_back("node 1").unwrap());
        let [worked, used_up] = groups.periods("node 2").unwrap();
        nix::sys::signal::killpg(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::Signal::SIGKILL)
            .unwrap();
        child.wait().unwrap();
        groups.remove().unwrap();
        assert!(!held_back.is_zero() && free.is_zero(), "{held_back:?}, {free:?}");
        assert!(0 < used_up && used_up <= worked, "{used_up} of {worked}");
        assert!(!groups.top.exists());
        groups.remove().unwrap();
    }
}
