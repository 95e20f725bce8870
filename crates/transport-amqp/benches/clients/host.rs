//! The load from others during a measurement.

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{SysconfVar, sysconf};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

/// Positions in the first line of `/proc/stat`: user, nice, system, steal. Work in interrupts belongs to nobody.
const BUSY: [usize; 4] = [1, 2, 3, 8];
/// Positions in `/proc/PID/stat` behind the name: user and system.
const USED: [usize; 2] = [11, 12];

/// The machine's CPU time from a point in time on, without that of the bench, its children and its service.
pub struct Others {
    began: Instant,
    before_s: f64,
    service: PathBuf,
}

impl Others {
    /// From now on; all processes of the service have its directory in their command lines.
    pub fn watch(service: &Path) -> Self {
        Self { began: Instant::now(), before_s: others_s(service), service: service.to_owned() }
    }

    /// Number of CPUs that others used since then, on average, or that the hypervisor kept for itself. Call it when all
    /// children have ended.
    pub fn cpus(&self) -> f64 {
        ((others_s(&self.service) - self.before_s) / self.began.elapsed().as_secs_f64()).max(0.0)
    }
}

fn others_s(service: &Path) -> f64 {
    let own = [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN].map(|who| {
        let usage = getrusage(who).expect("a process may read its own usage");
        [usage.user_time(), usage.system_time()].map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
    });
    let stat = fs::read_to_string("/proc/stat").expect("/proc is mounted");
    seconds(stat.lines().next().unwrap_or_default(), &BUSY)
        - own.as_flattened().iter().sum::<f64>()
        - of_service_s(service)
}

fn of_service_s(service: &Path) -> f64 {
    let service = service.as_os_str().as_encoded_bytes();
    let of = |process: fs::DirEntry| {
        let command = fs::read(process.path().join("cmdline")).ok()?;
        command.windows(service.len()).any(|part| part == service).then_some(())?;
        let stat = fs::read_to_string(process.path().join("stat")).ok()?;
        Some(seconds(stat.rsplit(')').next()?, &USED))
    };
    fs::read_dir("/proc").expect("/proc is mounted").flatten().filter_map(of).sum()
}

/// The sum of these words, which count the kernel's ticks.
fn seconds(words: &str, at: &[usize]) -> f64 {
    let words: Vec<&str> = words.split_whitespace().collect();
    let ticks: f64 = at.iter().filter_map(|at| words.get(*at)?.parse::<f64>().ok()).sum();
    ticks / sysconf(SysconfVar::CLK_TCK).ok().flatten().expect("Linux has ticks") as f64
}
