//! Requests to the supervisor and its replies: a file each in a directory of the testbed, and a signal.
//!
//! Not a socket, as with the counters of links: a path may be longer than a socket's address allows.

use super::{Deed, Progress};
use crate::{
    Error, Result, place,
    process::{Proc, Process},
    secrets,
};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use shortage::FileContext;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long the supervisor may take to reply: it looks at a service, which may be silent.
const REPLY_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(2);
const REQUEST: &str = "request";
const REPLY: &str = "reply";

/// A request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Does it; undoes it once the owner is gone.
    Begin(Deed, Process),
    /// Undoes it.
    Undo,
    /// Looks how far it has come.
    Look,
}

/// A deed that the supervisor has begun. It is undone when this is dropped.
#[derive(Debug)]
pub struct InForce {
    dir: PathBuf,
    supervisor: Process,
    number: u64,
    undone: bool,
}

pub fn folder(dir: &Path) -> PathBuf {
    dir.join("faults")
}

/// Makes the directory of requests, which only the supervisor's user may enter.
pub fn lay_out(dir: &Path) -> Result<()> {
    let folder = folder(dir);
    place::create(&folder, None)?;
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).on("set the mode of", &folder)?)
}

/// The requests that wait, each with its number and its step.
pub fn waiting(dir: &Path) -> Vec<(u64, u64, Request)> {
    let mut requests: Vec<(u64, u64, Request)> = fs::read_dir(folder(dir))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (number, step) = name.strip_suffix(&format!(".{REQUEST}"))?.split_once('-')?;
            let request = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
            let _ = fs::remove_file(entry.path());
            Some((number.parse().ok()?, step.parse().ok()?, request))
        })
        .collect();
    requests.sort_by_key(|(number, step, _)| (*number, *step));
    requests
}

/// Replies to a request: whether it is complete, or why it failed.
pub fn reply(dir: &Path, number: u64, step: u64, reply: &std::result::Result<bool, String>) -> Result<()> {
    write(&folder(dir).join(format!("{number}-{step}.{REPLY}")), reply)
}

/// Under another name first: a reader never sees half of it.
fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    let new = path.with_extension("new");
    let text = serde_json::to_string(value).expect("it is plain data");
    fs::write(&new, text).on("write", &new)?;
    Ok(fs::rename(&new, path).on("write", path)?)
}

impl InForce {
    pub(super) fn begin(dir: &Path, supervisor: Process, deed: Deed) -> Result<Self> {
        let number = secrets::random_number()?;
        let owner = Proc::open()?.process(std::process::id() as i32);
        let owner = owner.ok_or_else(|| Error::Fault("this process is not in /proc".to_owned()))?;
        let mut in_force = Self { dir: dir.to_owned(), supervisor, number, undone: false };
        match in_force.ask(&Request::Begin(deed, owner)) {
            Ok(_) => Ok(in_force),
            Err(error) => {
                in_force.undone = true;
                Err(error)
            }
        }
    }

    /// How far it has come.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if it has failed.
    pub fn look(&self) -> Result<Progress> {
        Ok(if self.ask(&Request::Look)? { Progress::Complete } else { Progress::Working })
    }

    /// Begins to undo it.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if that fails.
    pub fn undo(&mut self) -> Result<()> {
        if !std::mem::replace(&mut self.undone, true) {
            self.ask(&Request::Undo)?;
        }
        Ok(())
    }

    fn ask(&self, request: &Request) -> Result<bool> {
        let step = secrets::random_number()?;
        let file = |extension: &str| folder(&self.dir).join(format!("{}-{step}.{extension}", self.number));
        write(&file(REQUEST), request)?;
        let lost = || Error::Fault("the testbed's supervisor is gone".to_owned());
        let proc = Proc::open()?;
        if !proc.signal(self.supervisor, Signal::SIGUSR2) {
            return Err(lost());
        }
        let (end, replied) = (Instant::now() + REPLY_LIMIT, file(REPLY));
        loop {
            match fs::read(&replied) {
                Ok(bytes) => {
                    let _ = fs::remove_file(&replied);
                    let reply: std::result::Result<bool, String> = serde_json::from_slice(&bytes)
                        .unwrap_or_else(|_| Err("the supervisor's reply cannot be read".to_owned()));
                    return reply.map_err(Error::Fault);
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).on("read", &replied)?,
                Err(_) if !proc.is_alive(self.supervisor) => return Err(lost()),
                Err(_) if Instant::now() > end => {
                    let _ = fs::remove_file(file(REQUEST));
                    let sentence = format!("the testbed's supervisor did not reply within {} s", REPLY_LIMIT.as_secs());
                    return Err(Error::Fault(sentence));
                }
                Err(_) => std::thread::sleep(LOOK_EVERY),
            }
        }
    }
}

impl Drop for InForce {
    fn drop(&mut self) {
        // The supervisor undoes it in any case when this process ends.
        let _ = self.undo();
    }
}
