//! The secrets of one testbed, which all of its supervisors have and nobody else.

use crate::{
    Result,
    identity::Identity,
    network::Hosts,
    place, secrets,
    tls::{self, Certificates},
};
use serde::{Deserialize, Serialize};
use shortage::FileContext;
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

/// Secrets and certificates.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shared {
    /// The administrator's.
    pub(crate) password: String,
    /// Of Erlang's distribution.
    pub(crate) cookie: String,
    /// For requests to control servers and to the S3M interface.
    pub(crate) token: String,
    pub(crate) certificates: Certificates,
}

impl Shared {
    /// New ones, with a certificate for these hosts.
    pub(crate) fn new(hosts: Hosts) -> Result<Self> {
        Ok(Self {
            password: secrets::random_hex(16)?,
            cookie: secrets::random_hex(16)?,
            token: secrets::random_hex(16)?,
            certificates: tls::generate(hosts)?,
        })
    }

    /// Leaves them in a file of the user's own for the supervisor that is about to start.
    pub(crate) fn leave(&self, dir: &Path) -> Result<()> {
        let text = serde_json::to_string(self).expect("strings are written as JSON");
        secrets::write(&file(dir), &text, 0o600, None)
    }

    /// Those that were left, or new ones. The file is removed.
    pub(crate) fn take(dir: &Path, hosts: Hosts) -> Result<Self> {
        let path = file(dir);
        match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::new(hosts),
            read => {
                let text = read.on("read", &path)?;
                fs::remove_file(&path).on("remove", &path)?;
                serde_json::from_str(&text).map_err(io::Error::other).on("read", &path).map_err(Into::into)
            }
        }
    }

    /// Writes the administrator's password and the certificates where every part and the clients of this host find them.
    pub(crate) fn lay_out(&self, dir: &Path, owner: &Identity) -> Result<()> {
        secrets::write(&place::password_file(dir), &self.password, 0o600, None)?;
        let tls_dir = place::tls_dir(dir);
        place::create(&tls_dir, None)?;
        secrets::write(&place::ca_file(dir), &self.certificates.ca, 0o644, None)?;
        secrets::write(&tls_dir.join("server.pem"), &self.certificates.server, 0o644, None)?;
        secrets::write(&tls_dir.join("server.key"), &self.certificates.server_key, 0o600, Some(owner))
    }
}

/// Without a secret.
impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

fn file(dir: &Path) -> PathBuf {
    dir.join("shared.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_for_a_supervisor_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        let left = Shared::new(Hosts::Loopback).unwrap();
        left.leave(dir.path()).unwrap();
        assert_eq!(Shared::take(dir.path(), Hosts::Loopback).unwrap().password, left.password);
        assert_ne!(
            Shared::take(dir.path(), Hosts::Loopback).unwrap().password,
            left.password,
            "then new ones are made"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
