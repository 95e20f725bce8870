//! Reads the counters of a testbed's links: a run signals the supervisor, which writes them to a file.
//!
//! Not a socket: a path may be longer than a socket's address allows, and a signal needs no listener.

use crate::{
    Error, Result,
    network::{Link, Network, forwarder},
    process::{Proc, Process},
};
use nix::{
    sys::signal::Signal,
    time::{ClockId, clock_gettime},
};
use serde::{Deserialize, Serialize};
use shortage::{FileContext, SystemContext};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the supervisor may take to count.
const LIMIT: Duration = Duration::from_secs(2);

/// The contents of the file.
#[derive(Serialize, Deserialize)]
struct Counted {
    /// On the clock that all processes of a host share.
    started_ns: u128,
    links: Vec<Link>,
}

fn file(dir: &Path) -> PathBuf {
    dir.join("links.json")
}

fn now_ns() -> Result<u128> {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).when("read the clock")?;
    Ok(Duration::from(now).as_nanos())
}

/// The supervisor's part. `forwarder` sends a signal to the forwarder.
pub fn save(dir: &Path, network: &Network, forwarder: impl FnOnce(Signal) -> bool) -> Result<()> {
    let mut counted = Counted { started_ns: now_ns()?, links: network.count()? };
    let by_forwarder =
        |link: &&mut Link| link.distance.as_ref().is_some_and(|distance| distance.by == forwarder::FORWARDER_WORD);
    if let Some(link) = counted.links.iter_mut().find(by_forwarder) {
        link.forwarded = Some(forwarder::counters(dir, forwarder)?);
    }
    let (path, new) = (file(dir), dir.join("links.json.new"));
    let text = serde_json::to_string(&counted).expect("counters are plain data");
    fs::write(&new, text).on("write", &new)?;
    Ok(fs::rename(&new, &path).on("write", &path)?)
}

/// The caller's part: sends the request, and waits for counters that are not older than it.
pub fn request(dir: &Path, supervisor: Process) -> Result<Vec<Link>> {
    let requested_ns = now_ns()?;
    if !Proc::open()?.signal(supervisor, Signal::SIGUSR1) {
        return Err(Error::NoCounters);
    }
    let end = Instant::now() + LIMIT;
    while Instant::now() < end {
        let counted: Option<Counted> = fs::read(file(dir)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(counted) = counted.filter(|counted| counted.started_ns >= requested_ns) {
            return Ok(counted.links);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Err(Error::NoCounters)
}
