//! The programs `ip`, `tc` and `nft`, used instead of a netlink library.

use crate::{Error, Result};
use shortage::SystemContext;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[derive(Debug, Clone)]
pub struct Tools {
    ip: PathBuf,
    tc: PathBuf,
    /// Only a firewall needs it.
    nft: Option<PathBuf>,
}

impl Tools {
    pub fn find() -> Result<Self> {
        let find = |name: &'static str| {
            let path = std::env::var_os("PATH").unwrap_or_default();
            // Debian's directory for them, which a plain user's PATH lacks.
            let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
            folders.map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or(Error::NoNetworkProgram(name))
        };
        Ok(Self { ip: find("ip")?, tc: find("tc")?, nft: find("nft").ok() })
    }

    /// Runs `ip` with these words in this process's namespace; returns its output.
    pub fn ip(&self, words: &str, stdin: Option<Stdio>) -> Result<String> {
        run(&self.ip, words, stdin)
    }

    /// The same for `tc`.
    pub fn tc(&self, words: &str) -> Result<String> {
        run(&self.tc, words, None)
    }

    /// The same for `nft`.
    pub fn nft(&self, words: &str) -> Result<String> {
        run(self.nft.as_ref().ok_or(Error::NoNftables)?, words, None)
    }
}

fn run(program: &Path, words: &str, stdin: Option<Stdio>) -> Result<String> {
    let output = Command::new(program)
        .args(words.split_whitespace())
        .env_clear()
        .stdin(stdin.unwrap_or_else(Stdio::null))
        .output()
        .when("run `ip`, `tc` or `nft`")?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(Error::Network {
        command: format!("{} {words}", program.display()),
        message: message.lines().next().unwrap_or("nothing").to_owned(),
    })
}
