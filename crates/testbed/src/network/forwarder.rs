//! The process that carries packets over the distance between the clients and the rest: its start, and its counters.

use crate::{Error, Result, identity::Identity, part, place};
use distance::{Conditions, Counters};
use nix::{
    sched::{CloneFlags, setns},
    sys::signal::Signal,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};
use shortage::{FileContext, SystemContext};
use std::{
    fs::{self, File},
    io::{stdin, stdout},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// The name of its part.
pub const FORWARDER: &str = "distance";
/// Its word in states and records.
pub const FORWARDER_WORD: &str = "forwarder";
/// How long it may take to report its counters.
const LIMIT: Duration = Duration::from_secs(1);
/// The most that it keeps in each direction.
const QUEUE_BYTES_MAX: f64 = 512e6;
/// The rate that a link without a limit is taken to have: more than one core carries.
const UNLIMITED_BITS_PER_SECOND: f64 = 1e10;

/// What it gets at its start: its two devices (the host's, the switch's), and what it does.
#[derive(Debug)]
pub struct Forwarder {
    pub ends: [OwnedFd; 2],
    pub conditions: Conditions,
    pub queue_bytes: usize,
}

/// The counters in its file.
#[derive(Serialize, Deserialize)]
struct Reported {
    /// On the clock that all processes of a host share.
    reported_ns: u128,
    /// From the host, and to it.
    counters: [Counters; 2],
}

/// The bytes of its queue in each direction, for links of this rate together; `None`: unlimited.
pub fn queue_bytes(conditions: Conditions, rate_bits_per_second: Option<u64>) -> Result<usize> {
    let rate = rate_bits_per_second.map_or(UNLIMITED_BITS_PER_SECOND, |rate| rate as f64);
    let needed = distance::queue_bytes(conditions, rate);
    if rate_bits_per_second.is_some() && needed > QUEUE_BYTES_MAX {
        return Err(Error::Queue {
            delay_ms: conditions.longest().as_secs_f64() * 1e3,
            mbit: rate / 1e6,
            needed_mb: needed / 1e6,
            most_mb: QUEUE_BYTES_MAX / 1e6,
        });
    }
    Ok(needed.min(QUEUE_BYTES_MAX) as usize)
}

fn folder(dir: &Path) -> PathBuf {
    dir.join("distance")
}

fn file(dir: &Path) -> PathBuf {
    folder(dir).join("counters.json")
}

fn now_ns() -> Result<u128> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).when("read the clock")?;
    Ok(Duration::from(now).as_nanos())
}

impl Forwarder {
    /// The command of its process, which gets the devices as its standard input and output.
    pub fn command(self, dir: &Path, identity: &Identity) -> Result<Command> {
        place::create(&folder(dir), Some(identity))?;
        let mut command = part::own_command(dir, FORWARDER, identity)?;
        let [host, switch] = self.ends;
        command
            .args(["testbed", "distance", "--dir"])
            .arg(dir)
            .args(["--conditions", &self.conditions.to_string()])
            .args(["--queue-bytes", &self.queue_bytes.to_string()])
            .stdin(host)
            .stdout(switch);
        Ok(command)
    }
}

/// The body of `testbed distance`. Standard input and output are the two devices.
pub fn serve(dir: &Path, conditions: Conditions, queue_bytes: usize) -> Result<()> {
    let requested = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGUSR1, Arc::clone(&requested)).when("handle signals")?;
    let (host, switch) = (stdin(), stdout());
    let seed = crate::secrets::random_number()?;
    let heed = |counters: [&Counters; 2]| {
        if requested.swap(false, Ordering::Relaxed)
            && let Err(error) = report(dir, counters)
        {
            crate::message::log(error);
        }
        true
    };
    Ok(distance::carry([host.as_fd(), switch.as_fd()], conditions, seed, queue_bytes, heed)
        .when("carry packets between the clients and the switch")?)
}

/// The same between a switch and one of the hosts of `launch/local-hosts`, which is the network of the process `pid`: makes
/// both devices, and carries packets until it is killed. Half of the delay between two hosts is on the link of either.
pub fn serve_host(pid: u32, port: &str, between_hosts: &str) -> Result<()> {
    let delay = super::options::parse_delay(between_hosts)? / 2;
    let conditions = Conditions { delay, ..Conditions::default() };
    let network = |process: &str| {
        let path = PathBuf::from(format!("/proc/{process}/ns/net"));
        File::open(&path).on("open", &path)
    };
    let (switch, host) = (network("self")?, network(&pid.to_string())?);
    let open = |name: &str, network: &File| {
        setns(network, CloneFlags::CLONE_NEWNET).when("enter a network namespace")?;
        distance::open_device(name, true).map_err(|source| Error::NoDistance {
            what: "--local-delay",
            netem: false,
            source,
        })
    };
    let ends = [open("eth0", &host)?, open(port, &switch)?];
    distance::prefer(0);
    Ok(distance::carry([ends[0].as_fd(), ends[1].as_fd()], conditions, 0, queue_bytes(conditions, None)?, |_| true)
        .when("carry packets between a host and the switch")?)
}

fn report(dir: &Path, counters: [&Counters; 2]) -> Result<()> {
    let reported = Reported { reported_ns: now_ns()?, counters: counters.map(Clone::clone) };
    let (path, new) = (file(dir), folder(dir).join("counters.json.new"));
    let text = serde_json::to_string(&reported).expect("counters are plain data");
    fs::write(&new, text).on("write", &new)?;
    Ok(fs::rename(&new, &path).on("write", &path)?)
}

/// Its counters from the host and to it, which it reports when `signal` reaches it.
pub fn counters(dir: &Path, signal: impl FnOnce(Signal) -> bool) -> Result<[Counters; 2]> {
    let requested_ns = now_ns()?;
    let end = Instant::now() + LIMIT;
    let is_there = signal(Signal::SIGUSR1);
    while is_there && Instant::now() < end {
        let reported: Option<Reported> = fs::read(file(dir)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(reported) = reported.filter(|reported| reported.reported_ns >= requested_ns) {
            return Ok(reported.counters);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Err(Error::NoForwarder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_that_the_queue_cannot_hold_is_rejected_with_its_bytes_and_an_unlimited_link_is_not() {
        let conditions = Conditions { delay: Duration::from_secs(10), ..Conditions::default() };
        let error = queue_bytes(conditions, Some(1_000_000_000)).unwrap_err().to_string();
        assert!(error.contains("1567 MB") && error.contains("--delay"), "{error}");
        assert!(queue_bytes(conditions, Some(100_000_000)).unwrap() > 125_000_000);
        assert_eq!(queue_bytes(conditions, None).unwrap(), QUEUE_BYTES_MAX as usize);
    }
}
