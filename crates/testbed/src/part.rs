//! What every part has in common: how it is started, and where what it prints goes.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::FileContext;
use crate::identity::Identity;
use crate::{Result, place};

/// What a part that is this very program may need of our own environment.
const OWN_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "STREAMHARNESS_STUNNEL", "STREAMHARNESS_HAPROXY"];

/// `program` as a part: as the user of all parts, with an empty environment, and with a console of its own.
pub fn command(dir: &Path, part: &str, program: impl AsRef<Path>, identity: &Identity) -> Result<Command> {
    let console = console(dir, part);
    let output = File::create(&console).on("create", &console)?;
    let errors = output.try_clone().on("create", &console)?;
    let mut command = Command::new(program.as_ref());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")
        // The Erlang VM looks for code in its directory and the one above, and complains if it may not list them.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    identity.apply(&mut command);
    Ok(command)
}

/// This very program again as a part. Found by the kernel's own link, since its path may be closed to that user.
pub fn own_command(dir: &Path, part: &str, identity: &Identity) -> Result<Command> {
    let mut command = command(dir, part, "/proc/self/exe", identity)?;
    command.envs(OWN_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    Ok(command)
}

/// Everything that it has printed, in particular why it does not start.
pub fn said(dir: &Path, part: &str) -> String {
    fs::read_to_string(console(dir, part)).unwrap_or_default()
}

/// The file of all that it prints.
pub fn console(dir: &Path, part: &str) -> PathBuf {
    place::log_dir(dir).join(format!("{}.console.log", part.replace(' ', "-")))
}
