//! The common start of parts, and the files of their output.

use crate::{Result, identity::Identity, place};
use shortage::FileContext;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Variables of our environment that a part may need if it is this program again.
const OWN_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "STREAMHARNESS_STUNNEL", "STREAMHARNESS_HAPROXY"];

/// `program` as a part: as the user of all parts, with an empty environment, and with a console of its own.
pub fn command(dir: &Path, part: &str, program: impl AsRef<Path>, identity: &Identity) -> Result<Command> {
    let mut command = privileged(dir, part, program)?;
    identity.apply(&mut command);
    Ok(command)
}

/// The same as the user of the supervisor, for a part that sets up the kernel and takes no connections itself.
pub fn privileged(dir: &Path, part: &str, program: impl AsRef<Path>) -> Result<Command> {
    let console = console(dir, part);
    let output = File::create(&console).on("create", &console)?;
    let errors = output.try_clone().on("create", &console)?;
    let mut command = Command::new(program.as_ref());
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin")
        // The Erlang VM searches its directory and the parent for code, and warns if it may not list them.
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors);
    Ok(command)
}

/// This program again as a part. Started by the kernel's own link, since that user may not have access to its path.
pub fn own_command(dir: &Path, part: &str, identity: &Identity) -> Result<Command> {
    let mut command = command(dir, part, "/proc/self/exe", identity)?;
    command.envs(OWN_VARIABLES.into_iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    Ok(command)
}

/// Everything that a part has printed, in particular why it did not start.
pub fn output(dir: &Path, part: &str) -> String {
    fs::read_to_string(console(dir, part)).unwrap_or_default()
}

/// The file of all that it prints.
pub fn console(dir: &Path, part: &str) -> PathBuf {
    place::log_dir(dir).join(format!("{}.console.log", part.replace(' ', "-")))
}
