//! A running testbed as its users see it: where to connect, and with which variables.

use std::ffi::OsString;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::error::FileContext;
use crate::ports::Ports;
use crate::process::Proc;
use crate::rabbitmq::config::USER;
use crate::state::{Phase, State};
use crate::status::{self, Status};
use crate::{Error, Result, lock, place};

/// A testbed that is up, as far as its state file and its lock say.
#[derive(Debug, Clone)]
pub struct Testbed {
    dir: PathBuf,
    state: State,
}

/// What producers and consumers of one architecture connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// `dts` or `dts-plain`.
    pub architecture: String,
    /// `amqps://bench@localhost:PORT`, one per node, without a password.
    pub producer_urls: Vec<String>,
    /// Likewise for consumers.
    pub consumer_urls: Vec<String>,
    /// The file that holds the password, and nothing else.
    pub password_file: PathBuf,
    /// The certificate authority to trust, where the route has TLS.
    pub ca: Option<PathBuf>,
    /// `http://bench@localhost:PORT`, the first node's.
    pub management_url: String,
    /// Each leg on the way, in words.
    pub hops: Vec<String>,
}

/// The testbed in `dir`. None unless it is up and ready.
pub fn find(dir: &Path) -> Result<Option<Testbed>> {
    if !lock::is_held(dir) {
        return Ok(None);
    }
    let dir = std::path::absolute(dir).on("resolve", dir)?;
    let ready = State::load(&dir)?.filter(|state| state.phase == Phase::Ready);
    Ok(ready.map(|state| Testbed { dir, state }))
}

impl Testbed {
    /// Its private directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How many broker nodes it was started with.
    pub fn nodes(&self) -> usize {
        self.state.nodes
    }

    /// The broker's version.
    pub fn rabbitmq_version(&self) -> &str {
        &self.state.rabbitmq_version
    }

    /// The route of `dts` (AMQPS) or `dts-plain` (AMQP); none for architectures this testbed has not got.
    pub fn route(&self, architecture: &str) -> Option<Route> {
        let ports = self.ports();
        let (urls, ca, protocol) = match architecture {
            "dts" => (self.urls("amqps", Ports::amqps), Some(place::ca_file(&self.dir)), "AMQPS"),
            "dts-plain" => (self.urls("amqp", Ports::amqp), None, "AMQP"),
            _ => return None,
        };
        Some(Route {
            architecture: architecture.to_owned(),
            producer_urls: urls.clone(),
            consumer_urls: urls,
            password_file: place::password_file(&self.dir),
            ca,
            management_url: format!("http://{USER}@localhost:{}", ports.management(1)),
            hops: vec![format!("client -> RabbitMQ {} node ({protocol}, loopback)", self.state.rabbitmq_version)],
        })
    }

    fn urls(&self, scheme: &str, port: fn(Ports, usize) -> u16) -> Vec<String> {
        let url = |node| format!("{scheme}://{USER}@localhost:{}", port(self.ports(), node));
        (1..=self.nodes()).map(url).collect()
    }

    /// What scripts need, without the password.
    pub fn env(&self) -> Vec<(String, String)> {
        let tls = self.urls("amqps", Ports::amqps);
        let path = |path: PathBuf| path.display().to_string();
        [
            ("URL", tls[0].clone()),
            ("URLS", tls.join(",")),
            ("PLAIN_URLS", self.urls("amqp", Ports::amqp).join(",")),
            ("PASSWORD_FILE", path(place::password_file(&self.dir))),
            ("CA", path(place::ca_file(&self.dir))),
            ("MGMT_URL", format!("http://localhost:{}", self.ports().management(1))),
        ]
        .map(|(name, value)| (format!("STREAMHARNESS_{name}"), value))
        .into()
    }

    /// [`Testbed::env`] as lines for a shell's `eval`.
    pub fn env_lines(&self) -> String {
        // No value holds a quote: the directory's name was checked before it was created.
        self.env().iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect()
    }

    /// Runs `command` with these variables and waits for it. Its exit code; 128 + signal if a signal ended it.
    pub fn exec(&self, command: &[OsString]) -> Result<u8> {
        let (program, arguments) = command
            .split_first()
            .ok_or_else(|| Error::Exec { command: String::new(), source: std::io::Error::other("no command given") })?;
        let status = Command::new(program)
            .args(arguments)
            .envs(self.env())
            .status()
            .map_err(|source| Error::Exec { command: program.to_string_lossy().into_owned(), source })?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
        Ok(code as u8)
    }

    /// Looks at every part, now.
    pub fn status(&self) -> Result<Status> {
        let password = fs::read_to_string(place::password_file(&self.dir)).ok();
        status::look(&self.dir, &self.state, self.ports(), password)
    }

    /// The names of parts that have ended.
    pub(crate) fn dead_parts(&self) -> Result<Vec<String>> {
        let proc = Proc::open()?;
        let dead = self.state.processes().filter(|(_, process)| !proc.is_alive(*process));
        Ok(dead.map(|(name, _)| name.to_owned()).collect())
    }

    fn ports(&self) -> Ports {
        Ports { base: self.state.base_port }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn testbed() -> Testbed {
        Testbed { dir: "/tmp/t".into(), state: crate::state::tests::example() }
    }

    #[test]
    fn dts_is_encrypted_and_dts_plain_is_not_on_the_same_nodes() {
        let dts = testbed().route("dts").unwrap();
        assert_eq!(dts.producer_urls, ["amqps://bench@localhost:12011", "amqps://bench@localhost:12012"]);
        assert_eq!(dts.ca.as_deref(), Some(Path::new("/tmp/t/tls/ca.pem")));
        let plain = testbed().route("dts-plain").unwrap();
        assert_eq!(plain.consumer_urls, ["amqp://bench@localhost:12001", "amqp://bench@localhost:12002"]);
        assert_eq!(plain.ca, None);
        assert_eq!(testbed().route("mss"), None);
    }

    #[test]
    fn the_lines_for_scripts_name_the_password_file_and_every_node() {
        let lines = testbed().env_lines();
        assert!(lines.starts_with("export STREAMHARNESS_URL='amqps://bench@localhost:12011'\n"), "{lines}");
        assert!(lines.contains("export STREAMHARNESS_PASSWORD_FILE='/tmp/t/password'\n"), "{lines}");
        assert!(lines.contains("PLAIN_URLS='amqp://bench@localhost:12001,amqp://bench@localhost:12002'"), "{lines}");
    }

    #[test]
    fn a_state_file_without_a_held_lock_is_no_testbed() {
        let dir = tempfile::tempdir().unwrap();
        crate::state::tests::example().save(dir.path()).unwrap();
        assert!(find(dir.path()).unwrap().is_none());
        let lock = lock::take(dir.path()).unwrap().unwrap();
        assert!(find(dir.path()).unwrap().is_some());
        drop(lock);
    }
}
